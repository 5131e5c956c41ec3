"""The report: escaped, whole by itself, and drawn from whatever was stored."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from adapters.metric_texts import GROUPS, METRIC_TEXTS
from adapters.report import REPORT_COLUMNS, build_policy, list_assumptions, render_report
from adapters.report_charts import build_report_charts
from adapters.report_format import DASH, format_metric, format_price
from backtest.bars import Bars
from backtest.metrics import METRIC_NAMES
from backtest.version import DEFINITIONS_VERSION
from rules.spec import TradingSpec, parse_run_request
from tasks.compute import build_local_run_spec, compute_run

ROOT = Path(__file__).parents[2]
DAY_NS = 86_400_000_000_000


def build_bars(n_bars: int = 400) -> Bars:
    random = np.random.default_rng(3)
    close = 50.0 * np.exp(np.cumsum(random.normal(0.0, 0.02, n_bars)))
    opened = close * np.exp(random.normal(0.0, 0.005, n_bars))
    return Bars(
        timestamps=np.arange(n_bars, dtype=np.int64) * DAY_NS,
        open=opened,
        high=np.maximum(opened, close) * 1.01,
        low=np.minimum(opened, close) * 0.99,
        close=close,
        volume=np.full(n_bars, 1000.0),
        adj_factor=np.ones(n_bars),
        spacing="daily",
        periods_per_year=365.0,
    )


def compute(symbol: str = "WALK", **request: Any) -> tuple[dict[str, Any], list[Any], dict]:
    bars = build_bars()
    parsed = parse_run_request({"dataset": symbol, "rule": "rsi", **request})
    spec = build_local_run_spec(parsed, symbol, bars)
    outcome = compute_run(spec, bars, [])
    return outcome.summary, outcome.trades, outcome.columns


@pytest.fixture(scope="module")
def outcome() -> tuple[dict[str, Any], list[Any], dict]:
    return compute()


def test_the_report_shows_every_figure_of_the_run(outcome: Any) -> None:
    summary, trades, columns = outcome
    page = render_report(summary, trades, columns, "the-run")
    for name, text in METRIC_TEXTS.items():
        assert f">{text.label}<" in page or f">{text.label} <" in page, name
    assert format_metric("total_return", summary["metrics"]["total_return"]) in page
    assert summary["fingerprint"] in page
    assert "the-run" in page
    assert page.count("<svg") == 3


def test_what_was_chosen_is_not_rounded() -> None:
    trading = {
        **TradingSpec().model_dump(),
        "fee_rate": 0.00002,
        "size": 0.125,
        "stop_loss": 0.0025,
    }
    trading.update(risk_free=0.0125, cash_rate=0.03, lot_size=0.5)
    said = dict(list_assumptions({"trading": trading, "dataset": {"adjusted": False}}))
    assert said["Costs"] == "0.002% fee per side"
    assert said["Size"] == "12.5%, lots of 0.5, long only"
    assert said["Stops"] == "stop 0.25%"
    assert (said["Risk-free"], said["Cash rate"]) == ("1.25%", "3.0%")
    assert "Year" not in said
    trading.update(size_type="value", size=1_234_567.25, fee_fixed=4.9512345, periods_per_year=365)
    said = dict(list_assumptions({"trading": trading, "dataset": {"adjusted": False}}))
    assert said["Size"] == "1234567.25 USD, lots of 0.5, long only"
    assert said["Costs"] == "0.002% fee + 4.9512345 fixed per side"
    assert said["Year"] == "365 bars"


@pytest.mark.parametrize(("days", "text"), [(0.37, "0.37"), (1234.0, "1,234"), (None, "–")])
def test_a_part_of_a_day_is_not_rounded_away(days: float | None, text: str) -> None:
    assert format_metric("max_drawdown_days", days) == text


def test_a_small_price_keeps_its_digits() -> None:
    prices = [250_000.0, 56.144, 1.7156, 0.0001234, None]
    assert [format_price(price) for price in prices] == [
        *("250,000", "56.14", "1.716", "0.0001234", "–"),
    ]


def test_what_people_wrote_never_becomes_markup(outcome: Any) -> None:
    summary, trades, columns = (*copy.deepcopy(outcome[:2]), outcome[2])
    evil = "<script>alert(1)</script>\"'&"
    summary["spec"]["dataset"]["symbol"] = evil
    summary["rule"]["title"] = evil
    summary["rule"]["source"] = evil
    summary["warnings"] = [{"code": evil, "message": evil, "count": 1, "first": evil}]
    trades[0]["exit_reason"] = evil
    page = render_report(summary, trades, columns, evil)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_policy_names_the_very_style_of_the_page(outcome: Any) -> None:
    page = render_report(*outcome, None)
    styles = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert len(styles) == 1
    assert " style=" not in page
    assert build_policy() in page.replace("&#39;", "'")


def test_a_result_of_an_earlier_version_has_a_report_without_conventions(outcome: Any) -> None:
    summary = {
        name: value
        for name, value in outcome[0].items()
        if name not in ("conventions", "definitions_version", "sample")
    }
    page = render_report(summary, outcome[1], outcome[2], "old")
    assert "As other libraries" not in page
    assert "Definitions, version 1" in page


@pytest.mark.parametrize(
    "request_parts",
    [
        {"rule": "buy_and_hold"},
        {"trading": {"direction": "short_only", "size_type": "value", "size": 90_000}},
        {"start": "1970-03-01", "end": "1970-03-05"},
    ],
)
def test_paths_stay_inside_their_picture(request_parts: dict[str, Any]) -> None:
    summary, trades, columns = compute(**request_parts)
    for chart in build_report_charts(summary, trades, columns):
        for d in [line.d for line in chart.lines] + [d for _, d in chart.marks]:
            numbers = [float(text) for text in re.findall(r"-?\d+\.?\d*", d)]
            assert numbers, chart.title
            assert all(-20 <= number <= chart.width + 20 for number in numbers), chart.title
        assert chart.y_ticks, chart.title
        assert "nan" not in str(chart.lines), chart.title


def test_a_ruined_run_is_drawn_and_called_so(outcome: Any) -> None:
    summary, trades, columns = copy.deepcopy(outcome)
    summary["metrics"].update(ruined=True, cagr=None)
    summary["undefined"]["cagr"] = "equity ended below zero, so there is no growth rate"
    columns["equity"][-3:] = -5.0
    page = render_report(summary, trades, columns, "ruin")
    assert "RUINED" in page
    assert "equity ended below zero" in page
    assert format_metric("cagr", None) == DASH


def test_a_chart_is_well_formed(outcome: Any) -> None:
    page = render_report(*outcome, "x")
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        assert ElementTree.fromstring(svg).tag == "svg"


def test_an_exit_that_breaks_even_is_marked_neither_as_gain_nor_as_loss(outcome: Any) -> None:
    summary, trades, columns = outcome
    level = [{**trade, "pnl": 0.0} for trade in trades]
    price = build_report_charts(summary, level, columns)[1]
    assert {kind for kind, _ in price.marks} == {"entry", "even"}
    legend = "</span> even"
    assert legend in render_report(summary, level, columns, "id")
    assert legend not in render_report(summary, trades, columns, "id")


def test_a_book_of_many_trades_says_how_many_are_not_listed(outcome: Any) -> None:
    summary, trades, columns = outcome
    page = render_report(summary, trades * 200, columns, "x")
    assert page.count("<td>long</td>") == 120
    assert "later trades are not listed here" in page


def test_every_metric_is_explained_and_none_that_does_not_exist() -> None:
    assert set(METRIC_TEXTS) == {name for name in METRIC_NAMES if not name.startswith("benchmark_")}
    assert {text.group for text in METRIC_TEXTS.values()} == set(GROUPS)
    definitions = (ROOT / "docs" / "definitions.md").read_text()
    assert f"This is version {DEFINITIONS_VERSION}." in definitions
    for name, text in METRIC_TEXTS.items():
        assert f"`{name}`" in definitions, name
        assert text.definition.endswith("."), name
        assert text.formula, name


def test_the_report_needs_no_more_columns_than_it_names(outcome: Any) -> None:
    summary, trades, columns = outcome
    assert render_report(summary, trades, {name: columns[name] for name in REPORT_COLUMNS}, "x")
