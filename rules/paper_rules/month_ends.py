"""Month ends of bars, decided without ever looking at the next bar.

A daily bar is a month end if and only if the exchange's next session after it lies in another
month, by a table of the New York Stock Exchange that ships (`scripts/build_calendar.py` writes it).
Where the calendar is unknown the end of a month is noticed on the first bar of the next one.

numpy and the standard library only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from backtest.bar_times import DAY_NS

if TYPE_CHECKING:
    from backtest.bars import Bars

_TABLE = Path(__file__).with_name("nyse_calendar.json")

Days = NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class Calendar:
    """Sessions of the exchange.

    Parameters
    ----------
    first, last : datetime64[D]
        The days between which the table knows every session, both included.
    sessions : ndarray of datetime64[D]
        Days on which the exchange opened, or has announced to.
    month_ends : ndarray of datetime64[D]
        Last session of each month.
    """

    first: np.datetime64
    last: np.datetime64
    sessions: Days
    month_ends: Days


@dataclass(frozen=True, slots=True)
class MonthEnds:
    """The months of a set of bars, oldest first; a month without a decision is not among them.

    Parameters
    ----------
    decided : ndarray of int64, shape (n_months,)
        Bar at whose close the end of the month is known.
    close : ndarray of float64, shape (n_months,)
        Close of the month's last bar: that bar's own, or the one before it where the month is
        noticed late.
    """

    decided: NDArray[np.int64]
    close: NDArray[np.float64]


@cache
def load_calendar() -> Calendar:
    """Return the calendar that ships."""
    table = json.loads(_TABLE.read_text())
    first, last = np.datetime64(table["first"], "D"), np.datetime64(table["last"], "D")
    closed = [f"{year}-{day}" for year, days in table["closed_weekdays"].items() for day in days]
    days = np.arange(first, last + 1)
    sessions = days[np.is_busday(days, holidays=np.array(closed, dtype="datetime64[D]"))]
    months = sessions.astype("datetime64[M]")
    # The table ends with a year, so that its last session ends a month.
    is_last = np.append(months[1:] != months[:-1], True)
    return Calendar(first, last, sessions, sessions[is_last])


def find_month_ends(bars: Bars) -> MonthEnds:
    """Find the month ends of bars.

    * Daily: by the calendar as long as no bar has denied it. A bar on a day without a session
      (weekend, holiday) shows that these are not this exchange's bars; from there on, and where the
      table ends, the calendar is unknown. A month whose last session has no bar has no month end.
    * Monthly (more than 15 days from bar to bar): every bar is a month end.
    * Weekly, intraday, or calendar unknown: the first bar of a new month (UTC) is where the month
      before is decided, with the close of that month's last bar.

    Taking later bars away never changes what stands before them; `bars.spacing` is a property of
    the whole dataset.

    Returns
    -------
    MonthEnds
        Empty where no month ends.
    """
    n_bars = bars.n_bars
    if bars.spacing == "monthly":
        return MonthEnds(np.arange(n_bars), bars.close.copy())
    days = (bars.timestamps // DAY_NS).astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    is_known = np.zeros(n_bars, dtype=bool)
    on_time = np.zeros(0, dtype=np.int64)
    if bars.spacing == "daily":
        calendar = load_calendar()
        is_covered = (days >= calendar.first) & (days <= calendar.last)
        denials = np.flatnonzero(is_covered & ~_is_among(days, calendar.sessions))
        is_known = is_covered
        is_known[denials[0] if denials.size else n_bars :] = False
        on_time = np.flatnonzero(is_known & _is_among(days, calendar.month_ends))
    turns = np.flatnonzero(months[1:] != months[:-1]) + 1
    late = turns[~(is_known[turns] & is_known[turns - 1])]
    decided = np.concatenate([on_time, late])
    last_bar = np.concatenate([on_time, late - 1])
    # Decided once: a month that ended by the calendar is not noticed again on the next bar.
    order = np.lexsort((decided, months[last_bar]))
    decided, last_bar = decided[order], last_bar[order]
    ended = months[last_bar]
    is_first = np.ones(ended.size, dtype=bool)
    is_first[1:] = ended[1:] != ended[:-1]
    return MonthEnds(decided[is_first], bars.close[last_bar[is_first]])


def spread_months(
    values: NDArray[np.float64], decided: NDArray[np.int64], n_bars: int
) -> NDArray[np.float64]:
    """Return a series that holds each month's value from the bar that decides it to the next."""
    starts = np.append(decided, n_bars)
    return np.concatenate([np.full(int(starts[0]), np.nan), np.repeat(values, np.diff(starts))])


def spread_return(months: MonthEnds, lookback: int, n_bars: int) -> NDArray[np.float64]:
    """Return the return over the last `lookback` months as of the last month end, NaN before it."""
    close = months.close
    returns = np.full(close.size, np.nan)
    returns[lookback:] = close[lookback:] / close[: max(close.size - lookback, 0)] - 1.0
    return spread_months(returns, months.decided, n_bars)


def _is_among(days: Days, known: Days) -> NDArray[np.bool_]:
    """Return which days are among known, sorted ones."""
    place = np.minimum(np.searchsorted(known, days), known.size - 1)
    among: NDArray[np.bool_] = known[place] == days
    return among
