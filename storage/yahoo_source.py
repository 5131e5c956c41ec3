"""Daily bars of Yahoo Finance, through yfinance: the extra ``fetch`` brings it.

Runs in the child process of `storage.ingest` only: yfinance loads pandas, and keeps a cache on
disk if it may.
"""

from __future__ import annotations

import os
from datetime import date, timedelta
from typing import Any

import numpy as np
import yfinance
from yfinance.exceptions import YFException, YFTickerMissingError

from backtest.errors import InputError
from storage.sources import FetchedBars, FetchOrder, SourceUnavailable

_REQUEST_SECONDS = 20
_PRICES = {
    "open": "Open",
    "high": "High",
    "low": "Low",
    "close": "Close",
    "volume": "Volume",
    "adj_close": "Adj Close",
}
_NOT_FOUND = 404


class YahooSource:
    """Yahoo's daily bars: closes are adjusted for splits, the adjusted close for dividends too."""

    def fetch(self, order: FetchOrder) -> FetchedBars:
        """Return daily bars; see `storage.sources.BarSource`."""
        # No folder can be made below a file: it then does without its cache.
        yfinance.set_tz_cache_location(os.path.join(os.devnull, "cache"))
        yfinance.config.debug.hide_exceptions = False
        try:
            table = yfinance.Ticker(order.symbol).history(**_build_query(order))
        except YFTickerMissingError as error:
            raise _unknown(order, error.rationale) from error
        except (YFException, OSError, ValueError) as error:
            answer = getattr(error, "response", None)
            if getattr(answer, "status_code", None) == _NOT_FOUND:
                raise _unknown(order, "no such instrument") from error
            # What follows is where curl documents its numbers.
            reason = (str(error) or type(error).__name__).partition(". See ")[0]
            shown = reason.splitlines()[0][:200].rstrip(".")
            raise SourceUnavailable(f"Yahoo Finance does not answer: {shown}") from error
        # A day that Yahoo lists without prices is no bar.
        table = table.dropna(subset=["Open", "High", "Low", "Close"])
        if len(table) < 2:
            raise _unknown(order, "fewer than two bars in this period")
        days = table.index.tz_localize(None).to_numpy().astype("datetime64[ns]").astype(np.int64)
        columns: dict[str, Any] = {
            role: table[name].to_numpy(dtype=np.float64) for role, name in _PRICES.items()
        }
        return FetchedBars(timestamps=days, **columns)


def _build_query(order: FetchOrder) -> dict[str, Any]:
    query: dict[str, Any] = {
        "interval": "1d",
        "auto_adjust": False,
        "actions": False,
        "timeout": _REQUEST_SECONDS,
    }
    if order.start is None and order.end is None:
        return {**query, "period": "max"}
    if order.start is not None:
        query["start"] = order.start
    if order.end is not None:  # Yahoo's end is exclusive
        query["end"] = (date.fromisoformat(order.end) + timedelta(days=1)).isoformat()
    return query


def _unknown(order: FetchOrder, reason: str) -> InputError:
    message = f"Yahoo Finance has nothing to give: {reason}; look the symbol up there"
    return InputError.of("symbol", order.symbol, message)
