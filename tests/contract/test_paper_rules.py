"""What the published rules owe their readers, and that no later bar ever changes a signal."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.bars import Bars, adjust_bars, build_bars
from rules.base_rule import BaseRule, list_rules
from rules.paper_rules.month_ends import load_calendar
from rules.rule_validator import check_no_lookahead, validate_params
from storage.bar_files import load_bar_file

DATA = Path(__file__).parents[2] / "data"
DAY_NS = 86_400_000_000_000
RULES = {rule.metadata.name: rule for rule in list_rules()}
PAPER_RULES = {
    name: rule for name, rule in RULES.items() if type(rule).__module__.startswith("rules.paper_")
}
# Short enough that every data set below holds many signals of the slow rules.
QUICK: dict[str, dict[str, Any]] = {
    "jt_momentum": {"formation_months": 2, "holding_months": 3},
    "long_term_reversal": {"formation_months": 3, "holding_months": 4},
    "tsmom": {"lookback_months": 3, "sizing": "volatility", "target_volatility": 0.1},
    "absolute_momentum": {"lookback_months": 2},
    "faber_timing": {"months": 3},
}


def list_times(kind: str, n_bars: int) -> np.ndarray:
    if kind in ("sessions", "sessions_with_gaps", "five_day_week"):
        # The last begins before the table does, so that the calendar becomes known on the way.
        first = np.datetime64("1951-06-01" if kind == "five_day_week" else "1999-11-10")
        days = first + np.arange(2 * n_bars)
        days = days[np.is_busday(days)]
        covered = days >= load_calendar().first
        days = days[~covered | np.isin(days, load_calendar().sessions)][:n_bars]
        if kind == "sessions_with_gaps":
            days = np.delete(days, np.random.default_rng(1).integers(1, n_bars - 1, n_bars // 12))
        return days.astype("datetime64[ns]").astype(np.int64)
    first = 12_000 * DAY_NS
    if kind == "weekdays":
        days = np.arange(2 * n_bars)
        return first + days[(12_000 + days + 3) % 7 < 5][:n_bars] * DAY_NS
    step = {"every_day": 1.0, "intraday": 0.5, "weekly": 7.0, "monthly": 30.4375}[kind]
    return first + (np.arange(n_bars) * step * DAY_NS).astype(np.int64)


def build_walk(kind: str, n_bars: int, seed: int) -> Bars:
    stamps = list_times(kind, n_bars)
    rng = np.random.default_rng(seed)
    close = 40 * np.exp(np.cumsum(rng.normal(0, 0.02, stamps.size)))
    opening = np.concatenate([[40.0], close[:-1]])
    high, low = np.maximum(opening, close) * 1.004, np.minimum(opening, close) * 0.996
    return build_bars(stamps, opening, high, low, close)[0]


@pytest.fixture(scope="module")
def datasets() -> dict[str, Bars]:
    shipped = {
        symbol: adjust_bars(load_bar_file(DATA / f"{symbol}.csv")[0])
        for symbol in ("AAPL", "IBM", "MSFT")
    }
    sizes = {"weekly": 400, "monthly": 300, "intraday": 1500}
    kinds = ["sessions", "sessions_with_gaps", "five_day_week", "weekdays", "every_day", *sizes]
    walks = {kind: build_walk(kind, sizes.get(kind, 900), 7) for kind in kinds}
    return {**shipped, **walks}


def list_month_ends(bars: Bars) -> list[int]:
    """Return how many bars to keep so that each month, as the calendar has it, comes last."""
    months = bars.timestamps.astype("datetime64[ns]").astype("datetime64[M]")
    return [int(t) + 1 for t in np.flatnonzero(months[1:] != months[:-1])]


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_no_rule_changes_a_signal_when_the_data_end_with_a_month(rule: BaseRule, datasets):
    assert len(datasets) >= 10
    params = validate_params(rule.metadata, QUICK.get(rule.metadata.name, {}))
    n_signals = 0
    for bars in datasets.values():
        check_no_lookahead(rule, bars, params, list_month_ends(bars))
        n_signals += int(np.count_nonzero(rule.compute(bars, **params).signal))
    assert n_signals >= len(datasets), "a rule that never speaks looks ahead of nothing"


@pytest.mark.parametrize("name", QUICK)
def test_a_monthly_rule_looks_at_no_bar_of_the_next_month(name, datasets):
    rule = RULES[name]
    for bars in datasets.values():
        cuts = [kept + 1 for kept in list_month_ends(bars)]
        check_no_lookahead(rule, bars, validate_params(rule.metadata, {}), cuts)


@pytest.mark.parametrize("name", QUICK)
def test_a_file_that_ends_with_a_month_gives_the_signals_of_the_longer_one(name, datasets):
    # Unlike a truncated replay, a shorter file has a spacing and a year of its own.
    rule = RULES[name]
    params = validate_params(rule.metadata, QUICK[name])
    for bars in datasets.values():
        signal = rule.compute(bars, **params).signal
        for kept in list_month_ends(bars)[1::3]:
            columns = (bars.timestamps, bars.open, bars.high, bars.low, bars.close)
            short, _ = build_bars(*(column[:kept] for column in columns))
            np.testing.assert_array_equal(rule.compute(short, **params).signal, signal[:kept])


def test_all_the_published_rules_are_there():
    assert sorted(PAPER_RULES) == [
        "absolute_momentum",
        "bll_fixed_ma",
        "bll_range_break",
        "bll_variable_ma",
        "connors_rsi2",
        "faber_timing",
        "jt_momentum",
        "long_term_reversal",
        "tsmom",
        "turtle_20_10",
        "turtle_55_20",
        "week52_high",
    ]


@pytest.mark.parametrize("rule", PAPER_RULES.values(), ids=PAPER_RULES)
def test_a_published_rule_cites_its_source_and_owns_up_to_every_deviation(rule: BaseRule):
    metadata = rule.metadata
    assert metadata.source[-4:].isdigit(), "the citation ends with the year"
    assert metadata.label in ("exact", "adaptation")
    assert metadata.deviations
    for deviation in metadata.deviations:
        assert deviation.endswith(".")
    if metadata.label == "exact":
        assert any("same_close" in text for text in metadata.deviations)
    if metadata.published_sample is not None:
        first, last = (date.fromisoformat(day) for day in metadata.published_sample)
        assert first < last < date(int(metadata.source[-4:]), 12, 31)
    assert rule.signal_parts(), "takes part in sweeps by a compiled hook"
    assert type(rule).__doc__
