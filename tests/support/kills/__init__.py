"""Kills at random: what `benchmarks/verify_kills.py` is made of."""
