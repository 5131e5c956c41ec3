"""A stored result as one HTML page that needs nothing else: the tear sheet.

No script, no request, pictures as SVG; one style element, whose hash a server may name in its
content policy.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray

from adapters import report_format
from adapters.adapter import identify_result
from adapters.convention_terms import CONVENTIONS
from adapters.metric_texts import GROUPS, METRIC_TEXTS
from adapters.report_charts import build_report_charts

REPORT_COLUMNS = ("time", "equity", "benchmark", "close", "drawdown", "benchmark_drawdown")

_TEMPLATES = Path(__file__).parent / "templates"
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
# A page of paper holds some 60; a book of 50,000 trades is what the CSV export is for.
_MAX_TRADES = 120
_KPIS = ("total_return", "cagr", "sharpe", "max_drawdown", "win_rate", "n_trades", "exposure")
_HEADLINE = (
    *("total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown", "calmar"),
    *("win_rate", "profit_factor", "expectancy", "exposure", "turnover", "n_trades"),
)


def render_report(
    summary: Mapping[str, Any],
    trades: Sequence[Mapping[str, Any]],
    columns: Mapping[str, NDArray[Any]],
    run_id: str | None,
) -> str:
    """Return the page.

    Parameters
    ----------
    columns : mapping of str to ndarray
        At least `REPORT_COLUMNS`.
    run_id : str or None
        None for a result that is stored nowhere.
    """
    shown = trades[:_MAX_TRADES]
    return (
        _environment()
        .get_template("report.html")
        .render(
            summary=summary,
            spec=summary["spec"],
            identity=identify_result(summary, run_id),
            title=build_title(summary),
            assumptions=list_assumptions(summary["spec"]),
            kpis=_KPIS,
            charts=build_report_charts(summary, trades, columns),
            years=_arrange_months(summary["returns"]),
            months=_MONTHS,
            groups=[
                (group, [name for name, text in METRIC_TEXTS.items() if text.group == group])
                for group in GROUPS
            ],
            texts=METRIC_TEXTS,
            conventions=_list_conventions() if summary.get("conventions") else (),
            headline=_HEADLINE,
            day_digits=report_format.count_day_digits(row["days"] for row in summary["drawdowns"]),
            trades=shown,
            n_hidden=len(trades) - len(shown),
            style=load_style(),
            policy=build_policy(),
        )
    )


def build_title(summary: Mapping[str, Any]) -> str:
    """Return symbol, rule and parameters on one line."""
    spec = summary["spec"]
    values = ", ".join(
        f"{value:.12g}" if isinstance(value, float) else str(value)
        for value in spec["params"].values()
    )
    rule = summary["rule"]["title"]
    return f"{spec['dataset']['symbol']} {rule}({values})" if values else rule


def list_assumptions(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the run took for granted, by heading."""
    trading = spec["trading"]
    percent, chosen = report_format.format_chosen_percent, report_format.format_chosen
    costs = [f"{percent(trading['fee_rate'], 2)} fee"]
    if trading["fee_fixed"]:
        costs.append(f"{chosen(trading['fee_fixed'])} fixed")
    if trading["slippage"]:
        costs.append(f"{percent(trading['slippage'], 2)} slippage")
    unit = {"value": "USD", "shares": "shares"}.get(trading["size_type"])
    size = f"{chosen(trading['size'])} {unit}" if unit else percent(trading["size"])
    stops = [
        f"{word} {percent(trading[name], 1)}"
        for name, word in (
            ("stop_loss", "stop"),
            ("take_profit", "take"),
            ("trailing_stop", "trail"),
        )
        if trading[name]
    ]
    if trading["lot_size"]:
        size += f", lots of {chosen(trading['lot_size'])}"
    rates = [("Minimum acceptable return", "mar"), ("Cash rate", "cash_rate")]
    rates.append(("Borrow rate", "borrow_rate"))
    year = trading["periods_per_year"]
    return [
        ("Fill", trading["fill"].replace("_", " ")),
        ("Costs", f"{' + '.join(costs)} per side"),
        ("Prices", "split and dividend adjusted" if spec["dataset"]["adjusted"] else "raw"),
        ("Size", f"{size}, {trading['direction'].replace('_', ' ')}"),
        ("Stops", ", ".join(stops) or "none"),
        ("Cash", f"{chosen(trading['initial_cash'])} USD"),
        ("Risk-free", percent(trading["risk_free"], 1)),
        *((title, percent(trading[name], 1)) for title, name in rates if trading[name]),
        *([("Year", f"{chosen(year)} bars")] if year else []),
    ]


def _list_conventions() -> list[dict[str, Any]]:
    """Return the conventions with metrics that differ in the same term named together."""
    listed = []
    for convention in CONVENTIONS:
        labels: dict[str, list[str]] = {}
        for name, term in convention["terms"].items():
            if name in _HEADLINE:
                labels.setdefault(term, []).append(METRIC_TEXTS[name].label)
        differences = [(", ".join(names), term) for term, names in labels.items()]
        listed.append({**convention, "differences": differences})
    return listed


def _arrange_months(returns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row a year with twelve months, None where the run has none."""
    rows = {row["year"]: {**row, "months": [None] * 12} for row in returns["yearly"]}
    for month in returns["monthly"]:
        rows[month["year"]]["months"][month["month"] - 1] = month["run"]
    return list(rows.values())


@cache
def load_style() -> str:
    """Return the page's only style element, without its tags."""
    return (_TEMPLATES / "report.css").read_text(encoding="utf-8")


@cache
def build_policy() -> str:
    """Return the content policy under which the page works: its own style and nothing else."""
    digest = hashlib.sha256(load_style().encode()).digest()
    return (
        f"default-src 'none'; style-src 'sha256-{base64.b64encode(digest).decode()}'; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("format_metric", "format_percent", "format_signed", "format_number"):
        environment.globals[name] = getattr(report_format, name)
    for name in ("format_money", "format_amount", "format_price", "metric_class", "sign_class"):
        environment.globals[name] = getattr(report_format, name)
    environment.globals["DASH"] = report_format.DASH
    return environment
