"""Slow, obvious versions of the published rules: plain lists, one bar at a time, no kernels.

Every function returns one signal per bar (BUY 1, SELL -1, EXIT 2, HOLD 0).
"""

from __future__ import annotations

import json
import math
from datetime import date, timedelta
from pathlib import Path

from tests.unit import indicator_twins

TABLE = Path(__file__).parents[2] / "rules" / "paper_rules" / "nyse_calendar.json"


def follow(positions: list[int]) -> list[int]:
    """Return the signals that lead through positions 1, 0 and -1, from flat."""
    signals = []
    for before, now in zip([0, *positions], positions, strict=False):
        signals.append(0 if now == before else {1: 1, -1: -1, 0: 2}[now])
    return signals


def classify(value: list[float], level: list[float], band: float) -> list[int | None]:
    """Return 1 above the band around a level, -1 below it, 0 inside, None before both are known."""
    kinds: list[int | None] = []
    for x, y in zip(value, level, strict=True):
        if math.isnan(x) or math.isnan(y):
            kinds.append(None)
        elif x > y * (1 + band):
            kinds.append(1)
        else:
            kinds.append(-1 if x < y * (1 - band) else 0)
    return kinds


def variable_ma(close, *, short, long, band):
    kinds = classify(indicator_twins.sma(close, short), indicator_twins.sma(close, long), band)
    return follow([kind or 0 for kind in kinds])


def hold_after(events: list[int], hold: int) -> list[int]:
    """Return signals that take an event, hold, and look for the next one on the day after."""
    signals = [0] * len(events)
    t = 0
    while t < len(events):
        if events[t] == 0:
            t += 1
            continue
        signals[t] = events[t]
        if t + hold < len(events):
            signals[t + hold] = 2
        t += hold + 1
    return signals


def fixed_ma(close, *, short, long, band, hold):
    kinds = classify(indicator_twins.sma(close, short), indicator_twins.sma(close, long), band)
    events = [0] * len(close)
    for t in range(1, len(close)):
        if kinds[t] and kinds[t - 1] is not None and kinds[t] != kinds[t - 1]:
            events[t] = kinds[t]
    return hold_after(events, hold)


def range_break(close, *, window, band, hold):
    events = [0] * len(close)
    for t in range(window, len(close)):
        before = close[t - window : t]
        if close[t] > max(before) * (1 + band):
            events[t] = 1
        elif close[t] < min(before) * (1 - band):
            events[t] = -1
    return hold_after(events, hold)


def connors(close, *, window, oversold, trend, exit_window):
    rsi = indicator_twins.rsi(close, window)
    slow = indicator_twins.sma(close, trend)
    fast = indicator_twins.sma(close, exit_window)
    positions, position = [], 0
    for t in range(len(close)):
        if position == 1 and close[t] > fast[t]:
            position = 0
        elif position == 0 and close[t] > slow[t] and rsi[t] < oversold:
            position = 1
        positions.append(position)
    return follow(positions)


def week52(close, *, window, threshold):
    positions = [0] * len(close)
    for t in range(window - 1, len(close)):
        if close[t] / max(close[t - window + 1 : t + 1]) >= threshold:
            positions[t] = 1
    return follow(positions)


def break_side(high, low, close, t, window):
    """Return on which side of the `window` bars before it bar t closes; 0 within them."""
    if t < window:
        return 0
    if close[t] > max(high[t - window : t]):
        return 1
    return -1 if close[t] < min(low[t - window : t]) else 0


def judge_breakouts(high, low, close, *, entry, exit):  # noqa: A002
    """Return (side, first bar, last bar, whether it won) of every 20-day breakout, one by one."""
    n = indicator_twins.atr(high, low, close, 20)
    trades = []
    start = max(entry, 20)
    while start < len(close):
        side = break_side(high, low, close, start, entry)
        if side == 0:
            start += 1
            continue
        end = start + 1
        while end < len(close):
            gain = side * (close[end] - close[start])
            if gain <= -2 * n[start] or break_side(high, low, close, end, exit) == -side:
                break
            end += 1
        won = end < len(close) and side * (close[end] - close[start]) > 0
        trades.append((side, start, end, won))
        start = end  # the bar that ends one may begin another
    return trades


def turtle_20_10(high, low, close, *, entry, exit, failsafe):  # noqa: A002
    trades = judge_breakouts(high, low, close, entry=entry, exit=exit)
    begins = {first: (i, side) for i, (side, first, _, _) in enumerate(trades)}
    positions, position = [], 0
    for t in range(len(close)):
        if t >= max(entry, 20):
            if position and break_side(high, low, close, t, exit) == -position:
                position = 0
            if t in begins:
                i, side = begins[t]
                if i == 0 or not trades[i - 1][3]:
                    position = side
            if position == 0:
                position = break_side(high, low, close, t, failsafe)
        positions.append(position)
    return follow(positions)


def turtle_55_20(high, low, close, *, entry, exit):  # noqa: A002
    positions, position = [], 0
    for t in range(len(close)):
        side = break_side(high, low, close, t, entry)
        if t >= entry and position and break_side(high, low, close, t, exit) == -position:
            position = 0
        position = side or position
        positions.append(position)
    return follow(positions)


def find_months(days: list[date], close: list[float], spacing: str) -> list[tuple[int, float]]:
    """Return (deciding bar, month-end close) of every month, looking at one bar after the other."""
    if spacing == "monthly":
        return list(enumerate(close))
    table = json.loads(TABLE.read_text())
    first, last = date.fromisoformat(table["first"]), date.fromisoformat(table["last"])
    months: list[tuple[int, float]] = []
    ended: set[tuple[int, int]] = set()
    denied, known_before = spacing != "daily", False

    def is_session(day: date) -> bool:
        return day.weekday() < 5 and f"{day:%m-%d}" not in table["closed_weekdays"][str(day.year)]

    for t, day in enumerate(days):
        covered = first <= day <= last
        denied = denied or (covered and not is_session(day))
        known = covered and not denied
        if t and (day.year, day.month) != (days[t - 1].year, days[t - 1].month):
            month = (days[t - 1].year, days[t - 1].month)
            if not (known and known_before) and month not in ended:
                months.append((t, close[t - 1]))
                ended.add(month)
        if known:
            following = day + timedelta(days=1)
            while following <= last and not is_session(following):
                following += timedelta(days=1)
            if following.month != day.month:
                months.append((t, close[t]))
                ended.add((day.year, day.month))
        known_before = known
    return months


def spread(months: list[tuple[int, float]], positions: list[int], n_bars: int) -> list[int]:
    signals = [0] * n_bars
    for (bar, _), signal in zip(months, follow(positions), strict=True):
        signals[bar] = signal
    return signals


def momentum(months, n_bars, *, lookback_months, cash_rate, goes_short):
    positions = []
    for k in range(len(months)):
        position = 0
        if k >= lookback_months:
            growth = months[k][1] / months[k - lookback_months][1]
            bills = (1 + cash_rate) ** (lookback_months / 12)
            position = 1 if growth > bills else (-1 if growth < bills and goes_short else 0)
        positions.append(position)
    return spread(months, positions, n_bars)


def faber(months, n_bars, *, months_averaged):
    closes = [close for _, close in months]
    positions = [
        int(
            k + 1 >= months_averaged
            and closes[k] > sum(closes[k + 1 - months_averaged : k + 1]) / months_averaged
        )
        for k in range(len(closes))
    ]
    return spread(months, positions, n_bars)


def cohorts(months, n_bars, *, formation_months, holding_months):
    closes = [close for _, close in months]
    positions = []
    for k in range(len(closes)):
        votes = 0
        for founded in range(max(formation_months, k - holding_months + 1), k + 1):
            rise = closes[founded] - closes[founded - formation_months]
            votes += (rise > 0) - (rise < 0)
        positions.append((votes > 0) - (votes < 0))
    return spread(months, positions, n_bars)


def reversal(months, n_bars, *, formation_months, holding_months):
    closes = [close for _, close in months]
    positions = [0] * len(closes)
    k = formation_months
    while k < len(closes):
        if closes[k] < closes[k - formation_months]:
            for held in range(k, min(k + holding_months, len(closes))):
                positions[held] = 1
            k += holding_months
        else:
            k += 1
    return spread(months, positions, n_bars)


def ex_ante_volatility(close: list[float], t: int, per_year: float) -> float:
    """Return the volatility of Moskowitz, Ooi and Pedersen from the returns up to bar t >= 1."""
    decay = 60 / 61
    returns = [close[i] / close[i - 1] - 1 for i in range(1, t + 1)]
    weights = [decay ** (len(returns) - 1 - i) for i in range(len(returns))]
    total = sum(weights)
    mean = sum(w * r for w, r in zip(weights, returns, strict=True)) / total
    spread_ = sum(w * (r - mean) ** 2 for w, r in zip(weights, returns, strict=True)) / total
    return math.sqrt(spread_ * per_year)
