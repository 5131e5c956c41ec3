"""What a person should look at before trusting bars: jumps, gaps, stale prices, odd days.

Numpy only: the web tier reports on stored bars, and a child process on those of a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtest.bar_times import DAY_NS, Spacing, format_times
from backtest.bars import JUMP_LIMIT

# Columns that a report reads.
REPORT_COLUMNS = ("timestamps", "close", "volume", "adj_factor")

_MOST_EXAMPLES = 20
# Calendar days between two bars beyond which something is missing, holidays included.
_GAP_DAYS = {"intraday": 7, "daily": 7, "weekly": 15, "monthly": 63}
# Bars in a row at one price beyond which it looks filled in.
_STALE_BARS = {"intraday": 240, "daily": 5, "weekly": 5, "monthly": 4}
# Weekdays a year without a bar: an exchange is closed on 8 to 12, a few have up to 20.
_MOST_HOLIDAYS = 20.0
# A market that trades on this share of all weekend days is open on them.
_OPEN_WEEKENDS = 0.5
_DAYS_PER_YEAR = 365.25
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Finding = dict[str, Any]
Days = NDArray[np.int64]


def build_bar_report(
    columns: Mapping[str, NDArray[Any]], spacing: Spacing, warnings: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what is notable about bars.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (n_bars,)
        `REPORT_COLUMNS`, unadjusted.
    spacing : {"intraday", "daily", "weekly", "monthly"}
    warnings : sequence of mapping
        Of the file, as stored: bars that were widened cannot be told from the others any more.

    Returns
    -------
    dict
        ``close`` (first, last, lowest, highest) and ``findings``: each with ``code``, ``level``
        (``warning`` asks for a look, ``note`` does not), ``message``, ``count`` and up to 20
        ``examples`` of ``idx``, ``time`` and ``text``.
    """
    times, close = columns["timestamps"], columns["close"]
    findings = [
        *_find_jumps(times, close, columns["adj_factor"], spacing),
        *_find_gaps(times, spacing),
        *_find_clamped(times, spacing, warnings),
        *_find_idle(times, columns["volume"], spacing),
        *_find_stale(times, close, spacing),
        *(_find_odd_days(times) if spacing == "daily" else ()),
    ]
    return {
        "close": {
            "first": float(close[0]),
            "last": float(close[-1]),
            "lowest": float(close.min()),
            "highest": float(close.max()),
        },
        "findings": sorted(findings, key=lambda item: item["level"] != "warning"),
    }


def _build_finding(
    code: str, level: str, message: str, count: int, examples: Iterable[tuple[int, str, str]]
) -> Finding:
    shown = [{"idx": idx, "time": time, "text": text} for idx, time, text in examples]
    return {"code": code, "level": level, "message": message, "count": count, "examples": shown}


def _count(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"


def _print_times(times: NDArray[np.int64], idx: Sequence[int], spacing: Spacing) -> list[str]:
    return format_times(times[np.asarray(idx, dtype=np.int64)], spacing)


def _find_jumps(
    times: NDArray[np.int64],
    close: NDArray[np.float64],
    factor: NDArray[np.float64],
    spacing: Spacing,
) -> Iterator[Finding]:
    with np.errstate(over="ignore"):
        change = np.diff(close) / close[:-1]
    places = np.flatnonzero(np.abs(change) > JUMP_LIMIT) + 1
    if not places.size:
        return
    adjusted = close * factor
    with np.errstate(over="ignore"):
        rest = adjusted[places] / adjusted[places - 1] - 1.0
    is_explained = np.abs(rest) <= JUMP_LIMIT
    n_open = int(places.size - is_explained.sum())
    shown = places[:_MOST_EXAMPLES].tolist()
    examples = []
    for idx, time, left, explained in zip(
        shown, _print_times(times, shown, spacing), rest, is_explained, strict=False
    ):
        text = f"{close[idx - 1]:,.6g} to {close[idx]:,.6g}, {change[idx - 1]:+.1%}"
        if explained:
            text += f"; {left:+.1%} by the adjusted close"
        examples.append((idx, time, text))
    message = f"the close moves by more than 40 % on {_count(places.size, 'bar', 'bars')}; "
    if n_open == 0:
        message += "the adjusted close explains it, as after a split"
    elif n_open == places.size:
        message += "an unadjusted split, or a wrong price?"
    else:
        message += f"the adjusted close explains all but {n_open:,}"
    yield _build_finding(
        "price_jump", "warning" if n_open else "note", message, int(places.size), examples
    )


def _find_gaps(times: NDArray[np.int64], spacing: Spacing) -> Iterator[Finding]:
    # Unsigned: two bars may lie further apart than int64 counts nanoseconds, 292 years.
    widths = np.diff(times.view(np.uint64))
    places = np.flatnonzero(widths > np.uint64(_GAP_DAYS[spacing] * DAY_NS)) + 1
    if not places.size:
        return
    shown = places[:_MOST_EXAMPLES].tolist()
    before = _print_times(times, [idx - 1 for idx in shown], spacing)
    examples = [
        (idx, time, f"{int(widths[idx - 1]) / DAY_NS:,.0f} days without a bar since {earlier}")
        for idx, time, earlier in zip(
            shown, _print_times(times, shown, spacing), before, strict=True
        )
    ]
    message = f"{_count(places.size, 'gap', 'gaps')} of more than {_GAP_DAYS[spacing]} days"
    yield _build_finding("date_gap", "warning", message, int(places.size), examples)


def _find_clamped(
    times: NDArray[np.int64], spacing: Spacing, warnings: Sequence[Mapping[str, Any]]
) -> Iterator[Finding]:
    for warning in warnings:
        if warning["code"] != "clamped_bar":
            continue
        first = np.datetime64(str(warning["first"]).removesuffix("Z"), "ns").astype(np.int64)
        idx = min(int(np.searchsorted(times, first)), times.size - 1)
        example = (idx, str(warning["first"]), "the first of them")
        yield _build_finding(
            "clamped_bar", "note", warning["message"], int(warning["count"]), [example]
        )


def _find_idle(
    times: NDArray[np.int64], volume: NDArray[np.float64], spacing: Spacing
) -> Iterator[Finding]:
    places = np.flatnonzero(volume == 0.0)
    if places.size == volume.size:
        message = "no bar has any volume; rules that look at volume see zeros"
        yield _build_finding("zero_volume", "note", message, int(places.size), ())
    elif places.size:
        shown = places[:_MOST_EXAMPLES].tolist()
        examples = [
            (idx, time, "no volume")
            for idx, time in zip(shown, _print_times(times, shown, spacing), strict=True)
        ]
        message = f"nothing was traded on {_count(places.size, 'bar', 'bars')}"
        yield _build_finding("zero_volume", "warning", message, int(places.size), examples)


def _find_stale(
    times: NDArray[np.int64], close: NDArray[np.float64], spacing: Spacing
) -> Iterator[Finding]:
    starts = np.flatnonzero(np.concatenate(([True], close[1:] != close[:-1])))
    lengths = np.diff(np.append(starts, close.size))
    long = np.flatnonzero(lengths >= _STALE_BARS[spacing])
    if not long.size:
        return
    longest = long[np.argsort(-lengths[long], kind="stable")][:_MOST_EXAMPLES]
    shown = starts[longest].tolist()
    examples = [
        (idx, time, f"{length:,} bars at {close[idx]:,.6g}")
        for idx, time, length in zip(
            shown, _print_times(times, shown, spacing), lengths[longest].tolist(), strict=True
        )
    ]
    message = f"the close stands still for {_STALE_BARS[spacing]} bars or more, "
    message += f"{_count(long.size, 'time', 'times')}; was it filled in?"
    yield _build_finding("stale_close", "warning", message, int(long.size), examples)


def _find_odd_days(times: NDArray[np.int64]) -> Iterator[Finding]:
    """Find bars on weekends, and days of trade that have none."""
    days = times // DAY_NS
    is_weekend = _weekdays(days) >= 5
    calendar = np.arange(days[0], days[-1] + 1)
    n_weekends = int((_weekdays(calendar) >= 5).sum())
    is_open = bool(n_weekends) and is_weekend.sum() >= _OPEN_WEEKENDS * n_weekends
    if is_weekend.any() and not is_open:
        places = np.flatnonzero(is_weekend)
        shown = places[:_MOST_EXAMPLES].tolist()
        examples = [(idx, *_describe_day(int(days[idx]))) for idx in shown]
        message = f"{_count(places.size, 'bar lies', 'bars lie')} on a Saturday or Sunday"
        yield _build_finding("weekend_bar", "warning", message, int(places.size), examples)
    expected = calendar if is_open else calendar[_weekdays(calendar) < 5]
    missing = np.setdiff1d(expected, days, assume_unique=True)
    if not missing.size:
        return
    per_year = missing.size / max((days[-1] - days[0] + 1) / _DAYS_PER_YEAR, 1.0)
    shown_days = missing[:_MOST_EXAMPLES]
    examples = [
        (int(idx), *_describe_day(int(day)))
        for idx, day in zip(np.searchsorted(days, shown_days), shown_days, strict=True)
    ]
    kind = ("day", "days") if is_open else ("weekday", "weekdays")
    many = is_open or per_year > _MOST_HOLIDAYS
    message = f"{_count(missing.size, kind[0] + ' has', kind[1] + ' have')} no bar, "
    message += f"{per_year:.1f} a year"
    message += "" if many else "; an exchange has some 9 holidays"
    level = "warning" if many else "note"
    yield _build_finding("missing_day", level, message, int(missing.size), examples)


def _weekdays(days: Days) -> Days:
    """Return 0 for Monday to 6 for Sunday; 1970-01-01 was a Thursday."""
    return np.asarray((days + 3) % 7)


def _describe_day(day: int) -> tuple[str, str]:
    return str(np.datetime64(day, "D")), _WEEKDAYS[(day + 3) % 7]
