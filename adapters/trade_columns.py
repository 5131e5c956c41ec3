"""The trades of a run in columns: those of a window for charts, all of them for a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.adapter import to_json_list

IntArray = NDArray[np.int64]

_WORDS = ("entry_time", "exit_time", "direction", "exit_reason")
_LAST_BAR = np.iinfo(np.int32).max
_COUNTS = ("bars_held", "entry_idx", "exit_idx")
_FIGURES = (
    *("shares", "entry_price", "exit_price", "commission", "pnl", "return"),
    *("mae", "mfe"),
)


class TradeColumns:
    """Trades as arrays, in their order: a third of a kilobyte a trade becomes some 130 bytes.

    Parameters
    ----------
    trades : sequence of mapping
        As `adapters.adapter.build_trades` gives them: in order of entry, and so of exit, because
        one is over before the next begins.
    """

    def __init__(self, trades: Sequence[Mapping[str, Any]]) -> None:
        self.n_trades = len(trades)
        kinds: dict[str, np.dtype[Any]] = {name: np.dtype(np.bytes_) for name in _WORDS}
        kinds |= {name: np.dtype(np.int32) for name in _COUNTS}
        kinds |= {name: np.dtype(np.float64) for name in _FIGURES}  # None becomes NaN
        self._columns: dict[str, NDArray[Any]] = {
            name: np.array([trade[name] for trade in trades], dtype=kind)
            for name, kind in kinds.items()
        }

    def take(self, chosen: IntArray) -> dict[str, list[Any]]:
        """Return trades by their positions: ``number`` (from 1) and one list per field."""
        taken: dict[str, list[Any]] = {"number": (chosen + 1).tolist()}
        for name, values in self._columns.items():
            part = values[chosen]
            taken[name] = part.astype(str).tolist() if name in _WORDS else to_json_list(part)
        return taken

    def find(self, start_idx: int, end_idx: int | None) -> IntArray:
        """Return the positions of the trades that touch the bars from start to end, inclusive."""
        entries, exits = self._columns["entry_idx"], self._columns["exit_idx"]
        first = int(np.searchsorted(exits, min(start_idx, _LAST_BAR), "left"))
        last = int(np.searchsorted(entries, min(end_idx or 0, _LAST_BAR), "right"))
        if end_idx is None:
            last = self.n_trades
        return np.arange(first, max(first, last), dtype=np.int64)

    def thin(self, found: IntArray, limit: int) -> IntArray:
        """Return at most `limit` of the trades `found`, spread evenly over their bars.

        Of the trades that begin in one of `limit` equal parts of the time the first is kept: marks
        that would lie on top of each other are one mark.
        """
        if found.size <= limit:
            return found
        entries = self._columns["entry_idx"][found].astype(np.int64)
        width = -(-int(entries[-1] - entries[0] + 1) // limit)
        _, first = np.unique((entries - entries[0]) // width, return_index=True)
        return found[first]


def build_trade_view(
    trades: TradeColumns, start_idx: int, end_idx: int | None, limit: int
) -> dict[str, Any]:
    """Return the trades of a window, thinned to `limit`, and how many there are."""
    found = trades.find(start_idx, end_idx)
    return {
        "n_trades": trades.n_trades,
        "n_found": int(found.size),
        "trades": trades.take(trades.thin(found, limit)),
    }
