"""The version of the product, read by the build and shown by every tier."""

__version__ = "0.1.0"
