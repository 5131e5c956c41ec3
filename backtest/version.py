"""The version of the product, read by the build and shown by every tier."""

__version__ = "0.1.0"

# Of docs/definitions.md; raise it when a number comes to mean something else.
DEFINITIONS_VERSION = "1"
