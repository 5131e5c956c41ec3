"""Signals as lists of events: most bars hold, and a sweep does not look at those.

numpy only at import, so that rules can name the type without loading numba.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_NO_WEIGHT = np.empty(0)


@dataclass(frozen=True, slots=True, eq=False)
class SignalEvents:
    """The events of several signals, one behind the other.

    Signal i has the events ``offsets[i] : offsets[i + 1]``, in bar order, none of them HOLD.

    Parameters
    ----------
    offsets : ndarray of int64, shape (n_signals + 1,)
    bar : ndarray of int32, shape (n_events,)
        Index of the bar that decides.
    code : ndarray of int8, shape (n_events,)
        BUY 1, SELL -1, EXIT 2.
    weight : ndarray of float64, shape (n_events,) or (0,)
        Size multiplier of an entry decided there, in [0, 1]; empty for 1 throughout.
    """

    offsets: NDArray[np.int64]
    bar: NDArray[np.int32]
    code: NDArray[np.int8]
    weight: FloatArray

    @property
    def n_signals(self) -> int:
        """Number of signals."""
        return int(self.offsets.size - 1)


def build_events(signal: NDArray[np.int8], weight: FloatArray | None = None) -> SignalEvents:
    """Build the events of one signal of shape (n_bars,)."""
    bar = np.flatnonzero(signal).astype(np.int32)
    offsets = np.array([0, bar.size], dtype=np.int64)
    return SignalEvents(offsets, bar, signal[bar], _NO_WEIGHT if weight is None else weight[bar])


def join_events(parts: Sequence[SignalEvents]) -> SignalEvents:
    """Join tables of signals, in order; where only some carry weights the others get 1."""
    weighted = any(part.weight.size for part in parts)
    sizes = np.concatenate([np.diff(part.offsets) for part in parts])
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    weight = _NO_WEIGHT
    if weighted:
        filled = [part.weight if part.weight.size else np.ones(part.bar.size) for part in parts]
        weight = np.concatenate(filled)
    return SignalEvents(
        offsets,
        np.concatenate([part.bar for part in parts]),
        np.concatenate([part.code for part in parts]),
        weight,
    )


def split_events(events: SignalEvents, sizes: Sequence[int]) -> list[SignalEvents]:
    """Split a table into tables of so many signals each, in order, as views."""
    parts = []
    first = 0
    for size in sizes:
        offsets = events.offsets[first : first + size + 1]
        inside = slice(offsets[0], offsets[-1])
        weight = events.weight[inside] if events.weight.size else _NO_WEIGHT
        parts.append(
            SignalEvents(offsets - offsets[0], events.bar[inside], events.code[inside], weight)
        )
        first += size
    return parts
