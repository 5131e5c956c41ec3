"""Bars, engine, metrics and statistics: numpy and numba only."""
