"""What can go wrong in storage; a driver's error is the cause, never the message."""

from __future__ import annotations


class StorageError(Exception):
    """Base of everything that storage raises on its own account."""


class StorageUnavailable(StorageError):
    """The database cannot be reached, is silent, or stayed locked through every retry.

    Nothing of the transaction is known to be stored; every operation may simply be repeated.
    """


class SchemaError(StorageError):
    """The database has no schema, or one of another version; the message names the command."""


class IdempotencyConflict(StorageError):
    """An idempotency key was used again, for a different request."""


class UnknownDataset(StorageError):
    """A run names a dataset whose content is not (or no longer) stored."""
