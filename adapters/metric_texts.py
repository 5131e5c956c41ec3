"""What every metric means, in words: the one place for page, report and API.

A shorter form of docs/definitions.md, section 4; where they disagree, one of them is a bug. Texts
only, so that the web tier may import it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal[
    "percent", "signed", "ratio", "probability", "bars", "days", "count", "money", "flag"
]


class MetricText(NamedTuple):
    """One metric explained.

    Parameters
    ----------
    label : str
        As tables name it.
    kind : str
        How it is written: ``signed`` is a percentage and ``money`` an amount that are coloured as
        gain or loss.
    group : str
        Of the tables it stands in.
    definition : str
        One sentence.
    formula : str
        E[0] is the initial cash, E[1..n] equity at each close, r the n simple returns between them,
        b those of buy and hold, ppy the bars a year.
    convention : str
        What others do differently, or whom it equals; may be empty.
    undefined : str
        When it is null; empty if it never is.
    """

    label: str
    kind: Kind
    group: str
    definition: str
    formula: str
    convention: str
    undefined: str


_RETURN, _RISK, _DRAWDOWN = "Return", "Risk", "Drawdown"
_TRADES, _AGAINST, _BOOKS = "Trades", "Against buy & hold", "Book-keeping"
_NEVER_VARIES = "the returns never vary"
_NO_TRADE = "no trade was closed"
_NO_LOSS = "no trade lost, or none was closed"
_HELD_FLAT = "buy and hold, or the difference to it, never varies"
_PARTIAL = "Compounded; partial periods count. As quantstats."

METRIC_TEXTS: dict[str, MetricText] = {
    "total_return": MetricText(
        *("total return", "signed", _RETURN),
        "Last equity over the initial cash, less 1.",
        "E[n] / E[0] − 1",
        "The open position is marked at the last close.",
        "",
    ),
    "cagr": MetricText(
        *("CAGR", "signed", _RETURN),
        "Growth per year that gives the total return.",
        "(E[n] / E[0])^(ppy / n) − 1",
        "Years are counted in bars, as empyrical does; −100 % at zero equity.",
        "equity ended below zero",
    ),
    "volatility": MetricText(
        *("volatility", "percent", _RETURN),
        "How widely the returns scatter, per year.",
        "std(r) × √ppy",
        "Sample deviation (n − 1).",
        "there are fewer than two bars",
    ),
    "best_day": MetricText(
        *("best day", "signed", _RETURN),
        "Highest return of a calendar day.",
        "max over days of Π(1 + r) − 1",
        _PARTIAL,
        "",
    ),
    "worst_day": MetricText(
        *("worst day", "signed", _RETURN),
        "Lowest return of a calendar day.",
        "min over days of Π(1 + r) − 1",
        _PARTIAL,
        "",
    ),
    "best_month": MetricText(
        *("best month", "signed", _RETURN),
        "Highest return of a calendar month.",
        "max over months of Π(1 + r) − 1",
        _PARTIAL,
        "",
    ),
    "worst_month": MetricText(
        *("worst month", "signed", _RETURN),
        "Lowest return of a calendar month.",
        "min over months of Π(1 + r) − 1",
        _PARTIAL,
        "",
    ),
    "sharpe": MetricText(
        *("Sharpe", "ratio", _RISK),
        "Mean return above the risk-free rate over its deviation, per year.",
        "mean(r − rf) / std(r − rf) × √ppy",
        "Arithmetic mean, sample deviation; rf per bar = (1 + annual)^(1 / ppy) − 1.",
        _NEVER_VARIES,
    ),
    "sortino": MetricText(
        *("Sortino", "ratio", _RISK),
        "Mean return above the minimum acceptable one over the downside deviation, per year.",
        "mean(r − mar) × √ppy / √(Σ min(r − mar, 0)² / n)",
        "The downside is divided by all bars, not by the losing ones.",
        "no bar lost",
    ),
    "calmar": MetricText(
        *("Calmar", "ratio", _RISK),
        "Growth per year over the deepest fall.",
        "CAGR / |max drawdown|",
        "Over the whole run, not the last 36 months.",
        "there was no drawdown, or CAGR is not defined",
    ),
    "omega": MetricText(
        *("Omega", "ratio", _RISK),
        "All gains over all losses of the bars.",
        "Σ max(r, 0) / Σ max(−r, 0)",
        "The threshold is 0.",
        "no bar lost",
    ),
    "psr": MetricText(
        *("PSR(0)", "probability", _RISK),
        "Probability that the true Sharpe ratio is above 0, given length, skew and kurtosis.",
        "Φ[SR √(n − 1) / √(1 − skew SR + (kurtosis − 1) / 4 SR²)], SR per bar",
        "Raw kurtosis (normal = 3). Bailey & López de Prado, Journal of Risk 15(2), 2012.",
        _NEVER_VARIES,
    ),
    "ulcer_index": MetricText(
        *("ulcer index", "percent", _RISK),
        "Depth and length of the drawdowns in one figure.",
        "√(Σ drawdown² / (n − 1))",
        "As quantstats.",
        "there are fewer than two bars",
    ),
    "var_95": MetricText(
        *("VaR 95", "signed", _RISK),
        "Return that 95 % of the bars exceed.",
        "5 % percentile of r",
        "Historical, interpolated linearly; per bar, not per year.",
        "",
    ),
    "cvar_95": MetricText(
        *("CVaR 95", "signed", _RISK),
        "Mean of the worst 5 % of the bars.",
        "mean of the ⌊0.05 (n − 1)⌋ + 1 smallest r",
        "As empyrical; per bar.",
        "",
    ),
    "skew": MetricText(
        *("skew", "ratio", _RISK),
        "Negative where the large moves are losses.",
        "mean((r − mean r)³) / std³",
        "Population moments.",
        _NEVER_VARIES,
    ),
    "kurtosis": MetricText(
        *("kurtosis", "ratio", _RISK),
        "How heavy the tails are; a normal distribution has 3.",
        "mean((r − mean r)⁴) / std⁴",
        "Raw population moments: others subtract 3.",
        _NEVER_VARIES,
    ),
    "tail_ratio": MetricText(
        *("tail ratio", "ratio", _RISK),
        "Size of the large gains over that of the large losses.",
        "|95 % percentile of r| / |5 % percentile of r|",
        "As empyrical.",
        "the 5 % percentile is 0",
    ),
    "max_drawdown": MetricText(
        *("max drawdown", "signed", _DRAWDOWN),
        "Deepest fall of equity from a peak.",
        "min(E / running max(E) − 1)",
        "The initial cash is the first peak; marks at closes.",
        "",
    ),
    "max_drawdown_bars": MetricText(
        *("longest drawdown", "count", _DRAWDOWN),
        "Most bars from a peak to its recovery.",
        "max over episodes of recovery − peak",
        "An open episode is counted to the last bar.",
        "there was no drawdown",
    ),
    "max_drawdown_days": MetricText(
        *("longest, days", "days", _DRAWDOWN),
        "The same in calendar days.",
        "max over episodes of recovery − peak",
        "As backtesting.py.",
        "there was no drawdown",
    ),
    "recovery_factor": MetricText(
        *("recovery factor", "ratio", _DRAWDOWN),
        "Total return over the deepest fall.",
        "total return / |max drawdown|",
        "quantstats divides the sum of the returns instead.",
        "there was no drawdown",
    ),
    "n_trades": MetricText(
        *("closed trades", "count", _TRADES),
        "Round trips that ended.",
        "count",
        "LEAN counts orders, two for a round trip.",
        "",
    ),
    "n_open_trades": MetricText(
        *("open trades", "count", _TRADES),
        "Positions held at the last bar, marked at its close.",
        "count",
        "Left out of the statistics of closed trades.",
        "",
    ),
    "win_rate": MetricText(
        *("win rate", "percent", _TRADES),
        "Share of the closed trades that won.",
        "trades with P&L > 0 / closed trades",
        "After costs; a trade that breaks even is no win.",
        _NO_TRADE,
    ),
    "profit_factor": MetricText(
        *("profit factor", "ratio", _TRADES),
        "Money won over money lost.",
        "Σ winning P&L / |Σ losing P&L|",
        "Of P&L as vectorbt; backtesting.py sums returns, quantstats days.",
        _NO_LOSS,
    ),
    "payoff_ratio": MetricText(
        *("payoff ratio", "ratio", _TRADES),
        "Mean win over mean loss.",
        "mean winning P&L / |mean losing P&L|",
        "Closed trades, after costs.",
        "no trade won or none lost",
    ),
    "expectancy": MetricText(
        *("expectancy", "money", _TRADES),
        "Mean P&L of the closed trades, in currency.",
        "mean(P&L)",
        "backtesting.py means the mean return by this word.",
        _NO_TRADE,
    ),
    "expectancy_return": MetricText(
        *("mean trade", "signed", _TRADES),
        "Mean return of the closed trades on their entry value.",
        "mean(P&L / (shares × entry price))",
        "The expectancy of backtesting.py.",
        _NO_TRADE,
    ),
    "best_trade": MetricText(
        *("best trade", "signed", _TRADES),
        "Highest return of a closed trade.",
        "max(P&L / (shares × entry price))",
        "After costs.",
        _NO_TRADE,
    ),
    "worst_trade": MetricText(
        *("worst trade", "signed", _TRADES),
        "Lowest return of a closed trade.",
        "min(P&L / (shares × entry price))",
        "After costs.",
        _NO_TRADE,
    ),
    "mean_trade_bars": MetricText(
        *("mean bars held", "bars", _TRADES),
        "Mean length of the closed trades.",
        "mean(exit bar − entry bar)",
        "0 for a trade that ends in the bar of its entry.",
        _NO_TRADE,
    ),
    "max_trade_bars": MetricText(
        *("most bars held", "count", _TRADES),
        "Length of the longest closed trade.",
        "max(exit bar − entry bar)",
        "",
        _NO_TRADE,
    ),
    "longest_win_streak": MetricText(
        *("win streak", "count", _TRADES),
        "Most winning trades in a row.",
        "count",
        "",
        _NO_TRADE,
    ),
    "longest_loss_streak": MetricText(
        *("loss streak", "count", _TRADES),
        "Most losing trades in a row.",
        "count",
        "",
        _NO_TRADE,
    ),
    "sqn": MetricText(
        *("SQN", "ratio", _TRADES),
        "System quality number: how far the mean P&L is from 0 by chance.",
        "√(closed trades) × mean(P&L) / std(P&L)",
        "Sample deviation, as backtesting.py; not capped at 100 trades.",
        "fewer than two closed trades with different results",
    ),
    "kelly": MetricText(
        *("Kelly", "ratio", _TRADES),
        "The stake that grows fastest, if the past repeats.",
        "p − (1 − p) / payoff ratio, p = win rate",
        "As backtesting.py.",
        "the payoff ratio is not defined",
    ),
    "beta": MetricText(
        *("beta", "ratio", _AGAINST),
        "How much of a move of buy and hold the run makes.",
        "cov(r − rf, b − rf) / var(b − rf)",
        "",
        _HELD_FLAT,
    ),
    "alpha": MetricText(
        *("alpha", "signed", _AGAINST),
        "Return per year that beta does not explain.",
        "(1 + mean(r − rf − beta (b − rf)))^ppy − 1",
        "Compounded, as empyrical.",
        _HELD_FLAT,
    ),
    "correlation": MetricText(
        *("correlation", "ratio", _AGAINST),
        "Correlation of the returns with those of buy and hold.",
        "cov(r, b) / (std(r) std(b))",
        "Pearson.",
        _HELD_FLAT,
    ),
    "information_ratio": MetricText(
        *("information ratio", "ratio", _AGAINST),
        "Mean return above buy and hold over its deviation, per year.",
        "mean(r − b) / std(r − b) × √ppy",
        "empyrical's excess_sharpe is the same per bar.",
        _HELD_FLAT,
    ),
    "tracking_error": MetricText(
        *("tracking error", "percent", _AGAINST),
        "How widely the difference to buy and hold scatters, per year.",
        "std(r − b) × √ppy",
        "Sample deviation.",
        "there are fewer than two bars",
    ),
    "exposure": MetricText(
        *("exposure", "percent", _BOOKS),
        "Share of the bars with a position, or in which one was closed.",
        "bars in the market / n",
        "Of time, not of money.",
        "",
    ),
    "turnover": MetricText(
        *("turnover", "ratio", _BOOKS),
        "Traded value per year over mean equity: 2 is one full round trip a year.",
        "Σ(shares × price of every fill) / mean(E) × ppy / n",
        "Purchases and sales both count.",
        "mean equity is not above zero",
    ),
    "interest": MetricText(
        *("interest", "money", _BOOKS),
        "Sum of the financing booked on idle cash and borrowed shares.",
        "Σ cash rate × free cash − borrow rate × short value",
        "Rates per bar: (1 + annual)^(1 / ppy) − 1.",
        "",
    ),
    "n_rejected_orders": MetricText(
        *("rejected orders", "count", _BOOKS),
        "Entries whose size came out as zero shares.",
        "count",
        "",
        "",
    ),
    "ruined": MetricText(
        *("ruined", "flag", _BOOKS),
        "Equity fell to zero or below; everything was closed and later signals ignored.",
        "min(E) ≤ 0 at a close",
        "",
        "",
    ),
    "n_bars": MetricText(*("bars", "count", _BOOKS), "Bars of the run.", "n", "", ""),
}

GROUPS: tuple[str, ...] = (_RETURN, _RISK, _DRAWDOWN, _TRADES, _AGAINST, _BOOKS)
