"""Positions held on the shipped data under same_close equal what pandas makes of each rule.

The twins in `paper_twins` go bar by bar; these are the rules as columns, with the published
parameters and month ends as calendar months, the way a reader of the publication would write them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backtest.bars import Bars, adjust_bars
from rules.spec import parse_run_request
from storage.bar_files import load_bar_file
from tasks.compute import build_local_run_spec, compute_run

DATA = Path(__file__).parents[2] / "data"
Rule = Callable[[pd.Series], pd.Series]


@pytest.fixture(scope="module", params=["AAPL", "IBM", "MSFT"])
def bars(request) -> Bars:
    return adjust_bars(load_bar_file(DATA / f"{request.param}.csv")[0])


def compute_positions(bars: Bars, rule: str, params: dict[str, Any], **trading: Any) -> np.ndarray:
    """Return the sign of the position at every close, as a run reports it."""
    body = {"dataset": "X", "rule": rule, "params": params}
    settings = {"fill": "same_close", "size": 0.01, **trading}
    spec = build_local_run_spec(parse_run_request({**body, "trading": settings}), "X", bars)
    return np.sign(compute_run(spec, bars, ()).columns["position"])


def follow_months(close: pd.Series, decide: Rule) -> pd.Series:
    """Return daily positions: what `decide` makes of month-end closes, from those days on."""
    last_days = close.groupby(close.index.to_period("M")).tail(1)
    # The last bar of the data, 2013-03-01, ends no month.
    return decide(last_days.iloc[:-1]).reindex(close.index).ffill().fillna(0.0)


def compare_averages(short: int, long: int, band: float) -> Rule:
    def decide(close: pd.Series) -> pd.Series:
        fast, slow = close.rolling(short).mean(), close.rolling(long).mean()
        above, below = fast > slow * (1 + band), fast < slow * (1 - band)
        return above.astype(float) - below.astype(float)

    return decide


def follow_momentum(rate: float) -> Rule:
    return lambda close: np.sign(close / close.shift(12) - 1.0 - rate)


def follow_average(close: pd.Series) -> pd.Series:
    return (close > close.rolling(10).mean()).astype(float)


def follow_cohorts(formation: int, holding: int) -> Rule:
    def decide(close: pd.Series) -> pd.Series:
        signs = np.sign(close - close.shift(formation))
        return np.sign(signs.rolling(holding, min_periods=1).sum())

    return decide


def stay_near_high(close: pd.Series) -> pd.Series:
    return (close / close.rolling(252).max() >= 0.95).astype(float)


def monthly(decide: Rule) -> Rule:
    return lambda close: follow_months(close, decide)


CASES: list[tuple[str, dict[str, Any], dict[str, Any], Rule]] = [
    *[
        (
            "bll_variable_ma",
            {"short": short, "long": long, "band": band},
            {},
            compare_averages(short, long, band),
        )
        for short, long in [(1, 50), (1, 150), (5, 150), (1, 200), (2, 200)]
        for band in (0.0, 0.01)
    ],
    ("week52_high", {}, {}, stay_near_high),
    ("tsmom", {}, {}, monthly(follow_momentum(0.0))),
    ("tsmom", {}, {"cash_rate": 0.05}, monthly(follow_momentum(0.05))),
    (
        "absolute_momentum",
        {},
        {"cash_rate": 0.05},
        monthly(lambda close: follow_momentum(0.05)(close).clip(lower=0.0)),
    ),
    ("faber_timing", {}, {}, monthly(follow_average)),
    *[
        (
            "jt_momentum",
            {"formation_months": formation, "holding_months": holding},
            {},
            monthly(follow_cohorts(formation, holding)),
        )
        for formation, holding in [(6, 6), (12, 3), (3, 12)]
    ],
]


@pytest.mark.parametrize(("rule", "params", "trading", "decide"), CASES)
def test_positions_are_those_of_the_rule_written_as_columns(bars, rule, params, trading, decide):
    dates = pd.to_datetime(bars.timestamps, unit="ns")
    wanted = decide(pd.Series(bars.close, index=dates)).fillna(0.0).to_numpy()
    held = compute_positions(bars, rule, params, direction="long_short", **trading)
    assert len(set(wanted)) >= 2
    np.testing.assert_array_equal(held, wanted)
    if rule in ("bll_variable_ma", "tsmom"):
        held = compute_positions(bars, rule, params, direction="long_only", **trading)
        np.testing.assert_array_equal(held, np.clip(wanted, 0.0, None))
