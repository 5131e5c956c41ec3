"""The web tier: API v1 and dashboard."""
