"""What can go wrong in storage; a driver's error is the cause, never the message."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.records import DatasetUses


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


class TooManyQuestions(StorageError):
    """As many questions about sweeps as may wait for a worker at a time are waiting."""


class UnknownDataset(StorageError):
    """A run names a dataset whose content is not (or no longer) stored."""


class SymbolTaken(StorageError):
    """A dataset cannot have a name that another one has."""


class DatasetInUse(StorageError):
    """A dataset cannot be removed while runs or sweeps stand on it.

    Parameters
    ----------
    uses : DatasetUses
        Which they are.
    """

    def __init__(self, uses: DatasetUses) -> None:
        counted = [
            f"{n:,} {name}{'' if n == 1 else 's'}"
            for n, name in ((uses.n_runs, "run"), (uses.n_sweeps, "sweep"))
            if n
        ]
        shown = [*uses.runs, *uses.sweeps][:3]
        if uses.n_runs + uses.n_sweeps > len(shown):
            shown.append("...")
        verb = "stands" if uses.n_runs + uses.n_sweeps == 1 else "stand"
        super().__init__(f"{' and '.join(counted)} {verb} on it: {', '.join(shown)}")
        self.uses = uses
