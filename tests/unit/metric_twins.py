"""Slow, obvious twins of the compiled metrics, written from definitions.md alone.

Plain Python and numpy, one formula after the other, no shared state: what the kernels must equal.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise

import numpy as np

NAN = math.nan


def twin_returns(curve, initial_cash, ruin_idx=-1):
    marks = [initial_cash, *curve]
    returns = [after / before - 1.0 if before > 0.0 else 0.0 for before, after in pairwise(marks)]
    if ruin_idx >= 0:
        returns[ruin_idx + 1 :] = [0.0] * (len(returns) - ruin_idx - 1)
    return np.array(returns)


def per_bar(annual, periods_per_year):
    return (1.0 + annual) ** (1.0 / periods_per_year) - 1.0


def ratio(above, below):
    return above / below if below != 0.0 else NAN


def spread(values):
    """Return the sample standard deviation, exactly 0 for values that never vary."""
    values = np.asarray(values)
    if values.size < 2:
        return NAN
    return 0.0 if values.max() == values.min() else float(np.std(values, ddof=1))


def twin_headline(curve, returns, initial_cash, periods_per_year, risk_free, mar):
    n = len(curve)
    growth = curve[-1] / initial_cash
    rf, target = per_bar(risk_free, periods_per_year), per_bar(mar, periods_per_year)
    peaks = np.maximum.accumulate([initial_cash, *curve])
    max_drawdown = float(np.min(np.array([initial_cash, *curve]) / peaks - 1.0))
    downside = math.sqrt(np.sum(np.minimum(returns - target, 0.0) ** 2) / n)
    cagr = growth ** (periods_per_year / n) - 1.0 if growth >= 0.0 else NAN
    return {
        "total_return": growth - 1.0,
        "cagr": cagr,
        "volatility": spread(returns) * math.sqrt(periods_per_year),
        "sharpe": ratio(np.mean(returns - rf), spread(returns)) * math.sqrt(periods_per_year),
        "sortino": ratio(np.mean(returns - target), downside) * math.sqrt(periods_per_year),
        "max_drawdown": max_drawdown,
        "calmar": ratio(cagr, abs(max_drawdown)),
    }


def twin_drawdown_lengths(curve, stamps, initial_cash):
    """Walk the curve, the initial cash in front; it is dated at the first bar."""
    marks = [initial_cash, *curve]
    times = [stamps[0], *stamps]
    peaks = np.maximum.accumulate(marks)
    at_peak = [i for i, mark in enumerate(marks) if mark == peaks[i]]
    episodes = [(a, b) for a, b in pairwise(at_peak) if b > a + 1]
    if at_peak[-1] < len(marks) - 1:
        episodes.append((at_peak[-1], len(marks) - 1))
    if not episodes:
        return {"max_drawdown_bars": NAN, "max_drawdown_days": NAN}
    return {
        "max_drawdown_bars": max(b - a for a, b in episodes),
        "max_drawdown_days": max((times[b] - times[a]) / 86_400e9 for a, b in episodes),
    }


def twin_distribution(returns):
    n = len(returns)
    ordered = np.sort(returns)
    p5, p95 = np.percentile(returns, 5), np.percentile(returns, 95)
    centred = returns - returns.mean()
    m2 = np.mean(centred**2)
    flat = returns.max() == returns.min() or m2 <= (1e-15 * returns.mean()) ** 2
    return {
        "omega": ratio(returns[returns > 0].sum(), -returns[returns < 0].sum()),
        "var_95": p5,
        "cvar_95": ordered[: math.floor(0.05 * (n - 1)) + 1].mean(),
        "skew": NAN if flat else np.mean(centred**3) / m2**1.5,
        "kurtosis": NAN if flat else np.mean(centred**4) / m2**2,
        "tail_ratio": ratio(abs(p95), abs(p5)),
    }


def twin_ulcer(curve, initial_cash):
    drawdown = np.array(curve) / np.maximum.accumulate([initial_cash, *curve])[1:] - 1.0
    return math.sqrt(np.sum(drawdown**2) / (len(curve) - 1)) if len(curve) > 1 else NAN


def twin_calendar(returns, stamps):
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    days = [(epoch + timedelta(microseconds=int(s) // 1000)).date() for s in stamps]

    def compounded(key):
        pairs = zip(days, returns, strict=True)
        return [
            math.prod(1.0 + r for _, r in group) - 1.0
            for _, group in groupby(pairs, key=lambda pair: key(pair[0]))
        ]

    by_day = compounded(lambda day: day)
    by_month = compounded(lambda day: (day.year, day.month))
    return {
        "best_day": max(by_day),
        "worst_day": min(by_day),
        "best_month": max(by_month),
        "worst_month": min(by_month),
    }


def twin_trades(pnl, returns, bars_held):
    """Closed trades only."""
    pnl, returns = np.array(pnl, dtype=float), np.array(returns, dtype=float)
    n = len(pnl)
    if n == 0:
        names = (
            "win_rate profit_factor expectancy expectancy_return payoff_ratio sqn kelly "
            "longest_win_streak longest_loss_streak mean_trade_bars max_trade_bars best_trade "
            "worst_trade"
        )
        return dict.fromkeys(names.split(), NAN)
    wins, losses = pnl[pnl > 0], pnl[pnl < 0]
    win_rate = len(wins) / n
    payoff = wins.mean() / abs(losses.mean()) if len(wins) and len(losses) else NAN

    def longest(sign):
        return max((len(list(g)) for s, g in groupby(np.sign(pnl)) if s == sign), default=0)

    return {
        "win_rate": win_rate,
        "profit_factor": ratio(wins.sum(), abs(losses.sum())),
        "expectancy": pnl.mean(),
        "expectancy_return": returns.mean(),
        "payoff_ratio": payoff,
        "sqn": ratio(math.sqrt(n) * pnl.mean(), spread(pnl)),
        "kelly": win_rate - (1.0 - win_rate) / payoff,
        "longest_win_streak": longest(1),
        "longest_loss_streak": longest(-1),
        "mean_trade_bars": np.mean(bars_held),
        "max_trade_bars": max(bars_held),
        "best_trade": returns.max(),
        "worst_trade": returns.min(),
    }


def twin_benchmark_curve(close, initial_cash, fee_rate, fee_fixed, slippage):
    price = close[0] * (1.0 + slippage)
    shares = (initial_cash - fee_fixed) / (price * (1.0 + fee_rate))
    if shares <= 0.0:
        return np.full(len(close), initial_cash)
    left = initial_cash - shares * price - (fee_rate * shares * price + fee_fixed)  # rounding
    return left + shares * np.asarray(close)


def twin_relative(returns, benchmark, risk_free, periods_per_year):
    rf = per_bar(risk_free, periods_per_year)
    active = returns - benchmark
    flat = benchmark.max() == benchmark.min()
    beta = NAN if flat else np.cov(returns, benchmark, ddof=1)[0, 1] / np.var(benchmark, ddof=1)
    growth = 1.0 + np.mean(returns - rf - beta * (benchmark - rf))
    still = flat or returns.max() == returns.min()
    return {
        "beta": beta,
        "alpha": growth**periods_per_year - 1.0 if growth >= 0.0 else NAN,
        "correlation": NAN if still else np.corrcoef(returns, benchmark)[0, 1],
        "information_ratio": ratio(active.mean(), spread(active)) * math.sqrt(periods_per_year),
        "tracking_error": spread(active) * math.sqrt(periods_per_year),
    }
