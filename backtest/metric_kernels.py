"""Compiled loops behind the metrics: arrays and scalars in, tuples of floats out.

Every kernel makes one pass (central moments need a second one), allocates nothing and answers NaN
for what is undefined. Its slow, obvious twin stands in ``tests/unit/metric_twins.py``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

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
    equity: FloatArray, returns: FloatArray, timestamps: IntArray, initial_cash: float
) -> tuple[float, float, float, float]:
    """Return best and worst day, best and worst month: UTC calendar periods, compounded.

    Partial periods count. A bar longer than a day belongs to the day and month it is stamped with.
    """
    n_bars = equity.size
    best_day = best_month = -math.inf
    worst_day = worst_month = math.inf
    day_base = month_base = initial_cash
    day_start = 0
    day = timestamps[0] // NS_PER_DAY
    day_end = (day + 1) * NS_PER_DAY
    month_end = find_next_month(day) * NS_PER_DAY
    for t in range(1, n_bars + 1):
        if t < n_bars and timestamps[t] < day_end:
            continue
        # The day ends with bar t - 1; a day of one bar needs no division.
        value = returns[t - 1] if day_start == t - 1 else compound(day_base, equity[t - 1])
        best_day = max(best_day, value)
        worst_day = min(worst_day, value)
        day_base = equity[t - 1]
        day_start = t
        if t == n_bars or timestamps[t] >= month_end:
            value = compound(month_base, equity[t - 1])
            best_month = max(best_month, value)
            worst_month = min(worst_month, value)
            month_base = equity[t - 1]
        if t < n_bars:
            day_end += NS_PER_DAY
            if timestamps[t] >= day_end:  # a weekend or a gap lies between
                day_end = (timestamps[t] // NS_PER_DAY + 1) * NS_PER_DAY
            if timestamps[t] >= month_end:
                month_end = find_next_month(timestamps[t] // NS_PER_DAY) * NS_PER_DAY
    return best_day, worst_day, best_month, worst_month


class Sums(NamedTuple):
    """What one pass over the returns of run and benchmark adds up; active is their difference."""

    gains: float
    losses: float  # >= 0
    mean: float
    benchmark_mean: float
    active_mean: float
    varies: bool
    benchmark_varies: bool
    active_varies: bool


class CentredSums(NamedTuple):
    """Sums of powers and products of deviations from the means, over n_bars."""

    second: float
    third: float
    fourth: float
    benchmark: float  # squares
    active: float  # squares
    product: float  # run times benchmark


@jit
def sum_returns(returns: FloatArray, benchmark: FloatArray) -> Sums:
    """Return means, gains and losses, and which series vary at all: max and min differ."""
    gains = losses = total = benchmark_total = active_total = 0.0
    low = benchmark_low = active_low = math.inf
    high = benchmark_high = active_high = -math.inf
    n_bars = returns.size
    for t in range(n_bars):
        value, other = returns[t], benchmark[t]
        active = value - other
        gains += value if value > 0.0 else 0.0
        losses -= value if value < 0.0 else 0.0
        total += value
        benchmark_total += other
        active_total += active
        low, high = min(low, value), max(high, value)
        benchmark_low, benchmark_high = min(benchmark_low, other), max(benchmark_high, other)
        active_low, active_high = min(active_low, active), max(active_high, active)
    return Sums(
        gains,
        losses,
        total / n_bars,
        benchmark_total / n_bars,
        active_total / n_bars,
        low < high,
        benchmark_low < benchmark_high,
        active_low < active_high,
    )


@jit
def sum_centred(returns: FloatArray, benchmark: FloatArray, sums: Sums) -> CentredSums:
    """Return the second pass: raw sums of powers would cancel."""
    second = third = fourth = benchmark_second = active_second = product = 0.0
    for t in range(returns.size):
        value = returns[t] - sums.mean
        other = benchmark[t] - sums.benchmark_mean
        active = returns[t] - benchmark[t] - sums.active_mean
        square = value * value
        second += square
        third += square * value
        fourth += square * square
        benchmark_second += other * other
        active_second += active * active
        product += value * other
    return CentredSums(second, third, fourth, benchmark_second, active_second, product)


@jit
def describe_shape(n_bars: int, sums: Sums, centred: CentredSums) -> tuple[float, float, float]:
    """Return population skewness, raw population kurtosis and omega.

    Skewness and kurtosis are NaN for returns that never vary, and where their spread is lost in
    the rounding of their mean (scipy's test: below 1e-15 of it). Omega is NaN without a loss.
    """
    omega = sums.gains / sums.losses if sums.losses > 0.0 else math.nan
    variance = centred.second / n_bars
    if not sums.varies or variance <= (1e-15 * sums.mean) ** 2:
        return math.nan, math.nan, omega
    skew = centred.third / n_bars / variance**1.5
    kurtosis = centred.fourth / n_bars / (variance * variance)
    return skew, kurtosis, omega


@jit
def describe_against(
    n_bars: int, sums: Sums, centred: CentredSums, risk_free: float, periods_per_year: float
) -> tuple[float, float, float, float, float]:
    """Return beta, alpha, correlation, information ratio and tracking error.

    ``risk_free`` is per bar. Beta, alpha and correlation are NaN against a benchmark that never
    varies, correlation also for returns that never vary, the information ratio where the
    difference never varies, and alpha where the mean excess return is a loss above 100 % a bar.
    """
    beta = alpha = correlation = information = math.nan
    tracking_error = 0.0 if n_bars > 1 else math.nan
    if sums.benchmark_varies and centred.benchmark > 0.0:
        beta = centred.product / centred.benchmark
        growth = 1.0 + (sums.mean - risk_free - beta * (sums.benchmark_mean - risk_free))
        if growth >= 0.0:
            alpha = growth**periods_per_year - 1.0
        if sums.varies and centred.second > 0.0:
            correlation = centred.product / math.sqrt(centred.second) / math.sqrt(centred.benchmark)
    if sums.active_varies and centred.active > 0.0:
        deviation = math.sqrt(centred.active / (n_bars - 1))
        tracking_error = deviation * math.sqrt(periods_per_year)
        information = sums.active_mean / deviation * math.sqrt(periods_per_year)
    return beta, alpha, correlation, information, tracking_error


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
    best, worst = -math.inf, math.inf
    total_bars = most_bars = 0
    for k in range(n_trades):
        total_return += returns[k]
        best, worst = max(best, returns[k]), min(worst, returns[k])
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
        best,
        worst,
    )


@jit
def compute_sqn(pnl: FloatArray) -> float:
    """Return Van Tharp's system quality number, NaN for fewer than two different results."""
    low, high = math.inf, -math.inf
    total = squares = 0.0
    for value in pnl:
        total += value
        low, high = min(low, value), max(high, value)
    if low == high:
        return math.nan
    mean = total / pnl.size
    for value in pnl:
        squares += (value - mean) ** 2
    return math.sqrt(pnl.size) * mean / math.sqrt(squares / (pnl.size - 1))


@jit
def measure_curve(
    equity: FloatArray,
    benchmark_equity: FloatArray,
    timestamps: IntArray,
    initial_cash: float,
    n_live: int,
    risk_free: float,
    periods_per_year: float,
    returns: FloatArray,
    benchmark_returns: FloatArray,
) -> tuple[
    tuple[float, float, float],
    tuple[float, float, float, float],
    tuple[float, float, float],
    tuple[float, float, float, float, float],
]:
    """Fill both arrays of returns and answer everything that needs no sorting.

    Returns
    -------
    tuple of tuples
        Of `scan_drawdowns`, `scan_calendar`, `describe_shape` and `describe_against`.
    """
    n_bars = equity.size
    fill_returns(equity, initial_cash, n_live, returns)
    fill_returns(benchmark_equity, initial_cash, n_bars, benchmark_returns)
    sums = sum_returns(returns, benchmark_returns)
    centred = sum_centred(returns, benchmark_returns, sums)
    return (
        scan_drawdowns(equity, timestamps, initial_cash),
        scan_calendar(equity, returns, timestamps, initial_cash),
        describe_shape(n_bars, sums, centred),
        describe_against(n_bars, sums, centred, risk_free, periods_per_year),
    )
