"""One hash over all results of a sweep, equal wherever and in whatever chunks it was computed."""

from __future__ import annotations

import hashlib

import numpy as np

from adapters.sweep_columns import (
    HEADLINE_METRICS,
    STATUS_EXCLUDED,
    FloatArray,
    StatusArray,
    SweepColumns,
)

# The one NaN that is hashed: which of the many bit patterns a computation leaves behind differs
# between processors and says nothing.
CANONICAL_NAN = np.uint64(0x7FF8000000000000).view(np.float64)


class ResultHasher:
    """SHA-256 over the headline metrics, fed column after column.

    Feed all positions of the first metric in position order, then all of the second, and so on in
    the order of `HEADLINE_METRICS`; excluded positions are skipped here. Where a column is cut
    makes no difference.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, values: FloatArray, status: StatusArray) -> None:
        """Add the next values of the current column, float64 (n,), with their status, uint8 (n,).

        Positive and negative zero differ, as they do in the results.
        """
        excluded = status == STATUS_EXCLUDED
        kept = values[~excluded] if excluded.any() else values
        undefined = np.isnan(kept)
        if undefined.any():
            kept = np.where(undefined, CANONICAL_NAN, kept)
        self._hash.update(np.ascontiguousarray(kept, dtype="<f8").data)

    def hexdigest(self) -> str:
        """Return the hash of what was added so far."""
        return self._hash.hexdigest()


def compute_result_sha256(columns: SweepColumns) -> str:
    """Return the hash of a sweep's results.

    Parameters
    ----------
    columns : SweepColumns
        All results; each metric is read once.

    Returns
    -------
    str
        64 hexadecimal digits; see definitions 7.
    """
    hasher = ResultHasher()
    for name in HEADLINE_METRICS:
        for chunk in columns.read([name]):
            hasher.add(chunk.columns[name], chunk.status)
    return hasher.hexdigest()
