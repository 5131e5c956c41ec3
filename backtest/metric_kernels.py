"""Compiled loops behind the metrics: arrays and scalars in, tuples of floats out.

Every kernel makes one pass (central moments need a second one), allocates nothing and answers NaN
for what is undefined. Its slow, obvious twin stands in ``tests/unit/metric_twins.py``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from backtest.jit import jit

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NS_PER_DAY = 86_400_000_000_000


@jit
def fill_returns(equity: FloatArray, initial_cash: float, n_live: int, returns: FloatArray) -> None:
    """Write the simple return of every bar; bars after ruin (from ``n_live`` on) return 0.

    After ruin equity is constant and may be 0 or negative, where a quotient would be NaN.
    """
    returns[0] = equity[0] / initial_cash - 1.0
    for t in range(1, n_live):
        returns[t] = equity[t] / equity[t - 1] - 1.0
    for t in range(n_live, equity.size):
        returns[t] = 0.0


@jit
def scan_drawdowns(
    equity: FloatArray, timestamps: IntArray, initial_cash: float
) -> tuple[float, float, float]:
    """Return the longest drawdown in bars and in calendar days, and the ulcer index.

    An episode runs from the last bar at its peak to the bar that reaches the peak again; an open
    one is counted to the last bar. The initial cash lies one bar before the first and is dated at
    the first. NaN lengths without a drawdown, as backtesting.py answers; unlike it, an open
    episode of the last bar alone counts.
    """
    n_bars = equity.size
    peak = initial_cash
    peak_idx = -1
    longest_bars = 0
    longest_ns = 0
    sum_squares = 0.0
    for t in range(n_bars):
        if equity[t] < peak:
            drawdown = equity[t] / peak - 1.0
            sum_squares += drawdown * drawdown
            continue
        if peak_idx < t - 1:
            longest_bars = max(longest_bars, t - peak_idx)
            longest_ns = max(longest_ns, timestamps[t] - timestamps[max(peak_idx, 0)])
        peak = equity[t]
        peak_idx = t
    if peak_idx < n_bars - 1:
        longest_bars = max(longest_bars, n_bars - 1 - peak_idx)
        longest_ns = max(longest_ns, timestamps[n_bars - 1] - timestamps[max(peak_idx, 0)])
    ulcer = math.sqrt(sum_squares / (n_bars - 1)) if n_bars > 1 else math.nan
    if longest_bars == 0:
        return math.nan, math.nan, ulcer
    return float(longest_bars), longest_ns / NS_PER_DAY, ulcer


@jit
def find_next_month(day: int) -> int:
    """Return the first day of the following month, in days since 1970-01-01.

    Howard Hinnant, chrono-compatible low-level date algorithms, ``civil_from_days`` and back: the
    year starts on 1 March, so that the leap day is its last; an era has 146,097 days.
    """
    shifted = day + 719_468  # [days] from 0000-03-01 to 1970-01-01
    era = shifted // 146_097
    day_of_era = shifted - era * 146_097
    year_of_era = (
        day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    start_of_year = 365 * year_of_era + year_of_era // 4 - year_of_era // 100
    month = (5 * (day_of_era - start_of_year) + 2) // 153  # 0 is March
    if month == 11:  # February ends with the shifted year: add its length, leap day or not
        year = year_of_era + 1
        return era * 146_097 + 365 * year + year // 4 - year // 100 + year // 400 - 719_468
    return era * 146_097 + start_of_year + (153 * (month + 1) + 2) // 5 - 719_468


@jit
def compound(before: float, after: float) -> float:
    """Return the return from one mark to a later one; 0 after ruin, where equity is constant."""
    return 0.0 if after == before else after / before - 1.0


@jit
def scan_calendar(
    equity: FloatArray, timestamps: IntArray, initial_cash: float
) -> tuple[float, float, float, float]:
    """Return best and worst day, best and worst month: UTC calendar periods, compounded.

    Partial periods count. A bar longer than a day belongs to the day and month it is stamped with.
    """
    best_day = best_month = -math.inf
    worst_day = worst_month = math.inf
    day_base = month_base = initial_cash
    day = timestamps[0] // NS_PER_DAY
    day_end = (day + 1) * NS_PER_DAY
    month_end = find_next_month(day) * NS_PER_DAY
    for t in range(1, equity.size + 1):
        last = t == equity.size
        if last or timestamps[t] >= day_end:
            value = compound(day_base, equity[t - 1])
            best_day = max(best_day, value)
            worst_day = min(worst_day, value)
            day_base = equity[t - 1]
            if last or timestamps[t] >= month_end:
                value = compound(month_base, equity[t - 1])
                best_month = max(best_month, value)
                worst_month = min(worst_month, value)
                month_base = equity[t - 1]
            if not last:
                day = timestamps[t] // NS_PER_DAY
                day_end = (day + 1) * NS_PER_DAY
                if timestamps[t] >= month_end:
                    month_end = find_next_month(day) * NS_PER_DAY
    return best_day, worst_day, best_month, worst_month


@jit
def scan_moments(returns: FloatArray) -> tuple[float, float, float]:
    """Return population skewness, raw population kurtosis and omega of the returns.

    Skewness and kurtosis are NaN for returns that never vary, and where their spread is lost in
    the rounding of their mean (scipy's test: below 1e-15 of it). Omega is NaN without a loss.
    """
    total = gains = losses = 0.0
    for value in returns:
        total += value
        gains += max(value, 0.0)
        losses += max(-value, 0.0)
    n_bars = returns.size
    mean = total / n_bars
    m2 = m3 = m4 = 0.0
    for value in returns:
        centred = value - mean
        square = centred * centred
        m2 += square
        m3 += square * centred
        m4 += square * square
    m2 /= n_bars
    omega = gains / losses if losses > 0.0 else math.nan
    if returns.min() == returns.max() or m2 <= (1e-15 * mean) ** 2:
        return math.nan, math.nan, omega
    return m3 / n_bars / m2**1.5, m4 / n_bars / (m2 * m2), omega


@jit
def scan_tails(
    returns: FloatArray, low: float, low_next: float, high: float, high_next: float
) -> tuple[float, float, float]:
    """Return VaR 95 %, CVaR 95 % and the tail ratio.

    The order statistics next to the 5 % and the 95 % rank come from one partition of the returns.
    The tail is summed in time order, so that the result does not depend on the order in which a
    processor's partition happens to leave it.
    """
    last = returns.size - 1
    n_tail = int(0.05 * last) + 1
    total = 0.0
    n_below = 0
    for value in returns:
        if value < low:
            total += value
            n_below += 1
    cvar = (total + (n_tail - n_below) * low) / n_tail
    low_percentile = interpolate(low, low_next, 0.05 * last)
    high_percentile = interpolate(high, high_next, 0.95 * last)
    if low_percentile == 0.0:
        return low_percentile, cvar, math.nan
    return low_percentile, cvar, abs(high_percentile) / abs(low_percentile)


@jit
def interpolate(below: float, above: float, rank: float) -> float:
    """Return the value at a fractional rank between two neighbours, as numpy's percentile does."""
    fraction = rank - math.floor(rank)
    if fraction < 0.5:
        return below + (above - below) * fraction
    return above - (above - below) * (1.0 - fraction)


@jit
def scan_relative(
    returns: FloatArray, benchmark: FloatArray, risk_free: float, periods_per_year: float
) -> tuple[float, float, float, float, float]:
    """Return beta, alpha, correlation, information ratio and tracking error.

    ``risk_free`` is per bar. Beta, alpha and correlation are NaN against a benchmark that never
    varies, correlation also for returns that never vary, the information ratio where the
    difference never varies, and alpha where the mean excess return is a loss above 100 % a bar.
    """
    n_bars = returns.size
    sum_r = sum_b = sum_d = 0.0
    min_d = math.inf
    max_d = -math.inf
    for t in range(n_bars):
        sum_r += returns[t]
        sum_b += benchmark[t]
        active = returns[t] - benchmark[t]
        sum_d += active
        min_d = min(min_d, active)
        max_d = max(max_d, active)
    mean_r, mean_b, mean_d = sum_r / n_bars, sum_b / n_bars, sum_d / n_bars
    var_r = var_b = var_d = cov = 0.0
    for t in range(n_bars):
        centred_r = returns[t] - mean_r
        centred_b = benchmark[t] - mean_b
        centred_d = returns[t] - benchmark[t] - mean_d
        var_r += centred_r * centred_r
        var_b += centred_b * centred_b
        var_d += centred_d * centred_d
        cov += centred_r * centred_b
    flat_b = benchmark.min() == benchmark.max() or var_b == 0.0
    flat_r = returns.min() == returns.max() or var_r == 0.0
    flat_d = min_d == max_d or var_d == 0.0
    beta = math.nan if flat_b else cov / var_b
    growth = 1.0 + (mean_r - risk_free - beta * (mean_b - risk_free))
    alpha = growth**periods_per_year - 1.0 if growth >= 0.0 else math.nan
    correlation = math.nan if flat_b or flat_r else cov / math.sqrt(var_r) / math.sqrt(var_b)
    deviation = 0.0 if flat_d else math.sqrt(var_d / (n_bars - 1))
    information = math.nan if flat_d else mean_d / deviation * math.sqrt(periods_per_year)
    return beta, alpha, correlation, information, deviation * math.sqrt(periods_per_year)


@jit
def scan_trades(
    pnl: FloatArray, returns: FloatArray, bars_held: IntArray
) -> tuple[float, float, float, float, float, float, float, float, float, float]:
    """Return what closed trades say beyond the headline metrics.

    In order: mean return, payoff ratio, SQN, Kelly fraction, longest winning and losing streak,
    mean and longest holding time in bars, best and worst return. A trade with no profit and no
    loss counts as a trade and as neither (backtesting.py, vectorbt), and ends both streaks.
    Without a trade all are NaN.
    """
    n_trades = pnl.size
    if n_trades == 0:
        nan = math.nan
        return nan, nan, nan, nan, nan, nan, nan, nan, nan, nan
    n_wins = n_losses = wins_in_row = losses_in_row = most_wins = most_losses = 0
    won = lost = total_return = 0.0
    total_bars = most_bars = 0
    for k in range(n_trades):
        total_return += returns[k]
        total_bars += bars_held[k]
        most_bars = max(most_bars, bars_held[k])
        wins_in_row = wins_in_row + 1 if pnl[k] > 0.0 else 0
        losses_in_row = losses_in_row + 1 if pnl[k] < 0.0 else 0
        most_wins = max(most_wins, wins_in_row)
        most_losses = max(most_losses, losses_in_row)
        if pnl[k] > 0.0:
            won += pnl[k]
            n_wins += 1
        elif pnl[k] < 0.0:
            lost -= pnl[k]
            n_losses += 1
    payoff = won / n_wins / (lost / n_losses) if n_wins > 0 and n_losses > 0 else math.nan
    win_rate = n_wins / n_trades
    return (
        total_return / n_trades,
        payoff,
        compute_sqn(pnl),
        win_rate - (1.0 - win_rate) / payoff,
        float(most_wins),
        float(most_losses),
        total_bars / n_trades,
        float(most_bars),
        returns.max(),
        returns.min(),
    )


@jit
def compute_sqn(pnl: FloatArray) -> float:
    """Return Van Tharp's system quality number, NaN for fewer than two different results."""
    if pnl.min() == pnl.max():
        return math.nan
    total = squares = 0.0
    for value in pnl:
        total += value
    mean = total / pnl.size
    for value in pnl:
        squares += (value - mean) ** 2
    return math.sqrt(pnl.size) * mean / math.sqrt(squares / (pnl.size - 1))


@jit
def measure_curve(
    equity: FloatArray,
    timestamps: IntArray,
    initial_cash: float,
    n_live: int,
    returns: FloatArray,
) -> tuple[float, float, float, float, float, float, float, float, float, float]:
    """Fill ``returns`` and return everything that needs no sorting: the four scans above in turn.

    In order: longest drawdown in bars and days, ulcer index; best and worst day, best and worst
    month; skewness, kurtosis, omega.
    """
    fill_returns(equity, initial_cash, n_live, returns)
    longest_bars, longest_days, ulcer = scan_drawdowns(equity, timestamps, initial_cash)
    best_day, worst_day, best_month, worst_month = scan_calendar(equity, timestamps, initial_cash)
    skew, kurtosis, omega = scan_moments(returns)
    return (
        longest_bars,
        longest_days,
        ulcer,
        best_day,
        worst_day,
        best_month,
        worst_month,
        skew,
        kurtosis,
        omega,
    )
