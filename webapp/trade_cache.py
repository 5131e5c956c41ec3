"""Trades of the results that people look at, kept because every zoom asks for some of them."""

from __future__ import annotations

import threading
from collections import OrderedDict

from adapters.trade_columns import TradeColumns

# [trades] * [some 130 bytes] = [13 MB]
_MOST_TRADES = 100_000


class TradeCache:
    """The trades last asked for, by run: they never change."""

    def __init__(self, most: int = _MOST_TRADES) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, TradeColumns] = OrderedDict()

    def find(self, run_id: str) -> TradeColumns | None:
        """Return the trades of a run, if they are kept."""
        with self._lock:
            if run_id in self._kept:
                self._kept.move_to_end(run_id)
            return self._kept.get(run_id)

    def keep(self, run_id: str, trades: TradeColumns) -> None:
        """Keep the trades of a run for as long as the later ones leave room; the last stay."""
        with self._lock:
            self._kept[run_id] = trades
            self._kept.move_to_end(run_id)
            while len(self._kept) > 1 and self._count() > self._most:
                self._kept.popitem(last=False)

    def _count(self) -> int:
        return sum(trades.n_trades for trades in self._kept.values())
