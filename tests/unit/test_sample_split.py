"""Performance inside a published sample and after it, on curves that can be followed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from adapters.sample_split import build_sample_split, measure_part

DAY_NS = 86_400_000_000_000
FIGURES = ("total_return", "cagr", "volatility", "sharpe", "max_drawdown")


def build_days(first: str, n_days: int) -> np.ndarray:
    return np.datetime64(first, "D").astype(np.int64) * DAY_NS + DAY_NS * np.arange(n_days)


def split(sample, first, equity, **changes):
    options = {"initial_cash": 100.0, "periods_per_year": 252.0, "risk_free": 0.0} | changes
    stamps = build_days(first, len(equity))
    return build_sample_split(sample, stamps, "daily", np.array(equity), **options)


def test_a_rule_without_a_published_sample_has_no_split():
    assert split(None, "2000-01-01", [100.0, 110.0]) is None


def test_both_ends_of_the_sample_belong_to_it_and_bars_before_to_neither_part():
    equity = [100.0, 110.0, 121.0, 60.5, 121.0]
    answer = split(("2000-01-02", "2000-01-03"), "2000-01-01", equity)
    assert answer["published"] == ["2000-01-02", "2000-01-03"]
    inside, after = answer["inside"], answer["after"]
    assert (inside["first_time"], inside["last_time"], inside["n_bars"]) == (
        "2000-01-02",
        "2000-01-03",
        2,
    )
    assert inside["total_return"] == pytest.approx(0.21), "from the equity of the bar before"
    assert inside["max_drawdown"] == 0.0
    assert (after["n_bars"], after["total_return"]) == (2, 0.0)
    assert after["max_drawdown"] == pytest.approx(-0.5), "the equity at the border is a peak"
    assert after["volatility"] == pytest.approx(np.std([-0.5, 1.0], ddof=1) * math.sqrt(252))
    assert answer["reasons"] == {}


def test_the_first_bar_of_a_run_starts_from_the_initial_cash():
    answer = split(("1999-01-01", "2001-01-01"), "2000-01-01", [90.0, 99.0])
    assert answer["inside"]["total_return"] == pytest.approx(-0.01)
    assert answer["inside"]["max_drawdown"] == pytest.approx(-0.1)
    assert answer["inside"]["cagr"] == pytest.approx(0.99**126 - 1)


@pytest.mark.parametrize(
    ("sample", "empty", "reason"),
    [
        (("1990-01-01", "1995-12-31"), "inside", "no bar of the run lies from 1990-01-01 to"),
        (("1990-01-01", "2005-12-31"), "after", "no bar of the run lies after 2005-12-31"),
        (("2010-01-01", "2015-12-31"), "inside", "no bar of the run lies from 2010-01-01 to"),
    ],
)
def test_a_part_without_bars_is_null_and_says_why(sample, empty, reason):
    answer = split(sample, "2000-01-01", [100.0, 101.0, 102.0])
    assert answer[empty] is None
    assert answer["reasons"][empty].startswith(reason)


def test_sharpe_is_taken_above_the_risk_free_rate_and_undefined_without_dispersion():
    returns = np.array([0.01, -0.02, 0.03])
    equity = 100 * np.cumprod(1 + returns)
    part = measure_part(100.0, equity, 252.0, 0.05)
    excess = returns - (1.05 ** (1 / 252) - 1)
    assert part["sharpe"] == pytest.approx(excess.mean() / returns.std(ddof=1) * math.sqrt(252))
    flat = measure_part(100.0, np.array([100.0, 100.0, 100.0]), 252.0, 0.0)
    assert flat["sharpe"] is None
    assert flat["volatility"] == 0.0
    alone = measure_part(100.0, np.array([101.0]), 252.0, 0.0)
    assert alone["volatility"] is None
    assert alone["total_return"] == pytest.approx(0.01)


def test_ruin_leaves_no_growth_to_speak_of_and_nothing_after_it():
    ruined = measure_part(100.0, np.array([50.0, -10.0, -10.0]), 252.0, 0.0)
    assert ruined["total_return"] == pytest.approx(-1.1)
    assert ruined["cagr"] is None
    assert ruined["max_drawdown"] == pytest.approx(-1.1)
    lost = measure_part(100.0, np.array([0.0, 0.0]), 252.0, 0.0)
    assert lost["cagr"] == -1.0
    later = measure_part(-10.0, np.array([-10.0, -10.0]), 252.0, 0.0)
    assert [later[name] for name in FIGURES] == [None] * 5


def test_growth_per_year_beyond_float64_is_undefined_and_no_error():
    part = measure_part(100.0, np.array([110.0, 130.0]), 1e7, 0.0)
    assert part["cagr"] is None
    assert part["total_return"] == pytest.approx(0.3)


def test_the_whole_run_as_one_part_has_the_runs_own_metrics():
    from backtest.bars import build_bars
    from rules.spec import parse_run_request
    from tasks.compute import build_local_run_spec, compute_run

    rng = np.random.default_rng(3)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, 600)))
    bars, warnings = build_bars(build_days("1990-01-01", 600), close, close, close, close)
    request = parse_run_request(
        {"dataset": "X", "rule": "tsmom", "trading": {"direction": "long_short", "risk_free": 0.02}}
    )
    summary = compute_run(build_local_run_spec(request, "X", bars), bars, warnings).summary
    inside = summary["sample"]["inside"]
    assert inside["n_bars"] == 600
    for name in FIGURES:
        assert inside[name] == pytest.approx(summary["metrics"][name], abs=1e-12)
    assert summary["rule"]["label"] == "exact"
    assert summary["rule"]["deviations"]
