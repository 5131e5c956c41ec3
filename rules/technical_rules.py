"""Technical rules."""
