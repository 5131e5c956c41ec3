"""In which term each library's headline metrics differ from ours, in words; texts only.

A metric without a text is computed alike. Sources are what the figures of `adapters.conventions`
follow.
"""

from __future__ import annotations

from typing import Any

_YEAR_OF_DAYS = "a year has 365 days over the length of a bar, not the bars per year of the run"
_NO_TURNOVER = "it has no such figure"
_NO_TRADES = "it sees returns only and knows no trades"
_DAILY_ONLY = "it samples equity once a day, which wider bars do not have"

CONVENTIONS: tuple[dict[str, Any], ...] = (
    {
        "name": "vectorbt",
        "title": "vectorbt",
        "source": "vectorbt 1.2, Portfolio.stats and returns accessor with their defaults",
        "percent": [],
        "terms": {
            "cagr": _YEAR_OF_DAYS,
            "volatility": _YEAR_OF_DAYS,
            "sharpe": _YEAR_OF_DAYS,
            "sortino": _YEAR_OF_DAYS,
            "max_drawdown": "counts from the first close; the initial cash is no peak",
            "calmar": f"its annual return: {_YEAR_OF_DAYS}",
            "exposure": "it reports the share of value that is invested, not of time",
            "turnover": _NO_TURNOVER,
            "n_trades": "its total counts the open position",
        },
    },
    {
        "name": "backtesting_py",
        "title": "backtesting.py",
        "source": "backtesting.py 0.6.6, compute_stats",
        "percent": ["expectancy"],
        "terms": {
            "total_return": "counts from the first close, so the first bar's cost is left out",
            "cagr": "years of 365.25 calendar days instead of bars",
            "volatility": "deviation of compounded daily returns "
            "(SSRN 3054517), not the deviation times the root of a year",
            "sharpe": "geometric annual return over that compounded deviation",
            "sortino": "geometric annual return less the risk-free rate over the downside "
            "deviation around 0",
            "max_drawdown": "counts from the first close; the initial cash is no peak",
            "calmar": "geometric annual return of its daily returns",
            "profit_factor": "sums returns of trades instead of their P&L",
            "expectancy": "mean return of a trade instead of its mean P&L",
            "exposure": "bars of closed trades only; the open position does not count",
            "turnover": _NO_TURNOVER,
        },
    },
    {
        "name": "quantstats",
        "title": "quantstats",
        "source": "quantstats 0.0.86, stats with their defaults, fed the run's returns",
        "percent": [],
        "terms": {
            "cagr": "252 periods a year, whatever the bars",
            "volatility": "252 periods a year, whatever the bars",
            "sharpe": "252 periods a year, whatever the bars",
            "sortino": "252 periods a year, and the risk-free rate instead of the minimum "
            "acceptable one",
            "max_drawdown": "falls within a day are not seen: it is fed daily returns",
            "calmar": "its CAGR: 252 periods a year, whatever the bars",
            "win_rate": "share of the days with a gain among those that moved, not of trades",
            "profit_factor": "gains over losses of days, not of trades",
            "expectancy": _NO_TRADES,
            "exposure": "share of the days whose return is not zero, rounded up to a whole percent",
            "turnover": _NO_TURNOVER,
            "n_trades": _NO_TRADES,
        },
    },
    {
        "name": "lean",
        "title": "LEAN",
        "source": "QuantConnect/Lean, Common/Statistics/PortfolioStatistics.cs and Statistics.cs, "
        "by their published formulas",
        "percent": [],
        "terms": {
            "cagr": "years of 365 calendar days instead of bars",
            "volatility": f"daily returns, 252 a year (365 with weekends); {_DAILY_ONLY}",
            "sharpe": "annual return is (1 + mean daily return)^252 - 1, less the annual "
            f"risk-free rate; {_DAILY_ONLY}",
            "sortino": "the same annual return over the sample deviation of the losing days alone; "
            f"{_DAILY_ONLY}",
            "max_drawdown": "rounded to three digits",
            "calmar": "it has no such figure",
            "win_rate": "a trade that breaks even counts as a loss; 0 without a trade",
            "profit_factor": "it has no such figure in its summary",
            "expectancy": "win rate x payoff ratio - loss rate, a ratio, not money",
            "exposure": "it has no such figure",
            "turnover": "it has no such figure by year: it reports a mean per day",
            "n_trades": "its total counts orders, two for a round trip",
        },
    },
)
