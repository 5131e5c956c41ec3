"""Tables of the page against slow, obvious twins."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.tables import (
    build_return_tables,
    build_trade_histogram,
    compute_drawdown,
    find_drawdown_episodes,
    sum_traded_by_year,
    summarise_trades,
)

DAY_NS = 86_400_000_000_000

curves = st.lists(st.floats(1.0, 1000.0), min_size=1, max_size=60).map(np.array)


def slow_drawdown(equity: list[float], initial_cash: float) -> list[float]:
    peak, drawdown = initial_cash, []
    for value in equity:
        peak = max(peak, value)
        drawdown.append(value / peak - 1.0)
    return drawdown


def slow_episodes(equity: list[float], initial_cash: float) -> list[tuple[int, int | None, float]]:
    """(last bar at the peak, recovery, depth) with -1 for a peak that is the initial cash."""
    episodes, start, depth = [], None, 0.0
    for t, value in enumerate(slow_drawdown(equity, initial_cash)):
        if value < 0:
            start = t if start is None else start
            depth = min(depth, value)
        elif start is not None:
            episodes.append((start - 1, t, depth))
            start, depth = None, 0.0
    if start is not None:
        episodes.append((start - 1, None, depth))
    return episodes


@given(curves)
def test_drawdown_agrees_with_its_twin(equity: np.ndarray) -> None:
    assert compute_drawdown(equity, 100.0).tolist() == slow_drawdown(equity.tolist(), 100.0)


@given(curves)
def test_the_ten_deepest_episodes_agree_with_their_twin(equity: np.ndarray) -> None:
    stamps = np.arange(equity.size) * DAY_NS
    found = find_drawdown_episodes(stamps, "daily", equity, 100.0)
    expected = sorted(slow_episodes(equity.tolist(), 100.0), key=lambda item: item[2])[:10]
    assert [item["depth"] for item in found] == [depth for *_, depth in expected]
    for item, (peak, recovery, _) in zip(found, expected, strict=True):
        assert item["recovery_idx"] == recovery
        assert item["peak_idx"] == max(peak, 0)
        until = equity.size - 1 if recovery is None else recovery
        assert item["bars"] == until - peak


def test_an_episode_names_its_days() -> None:
    stamps = np.array([0, 1, 4, 5, 8]) * DAY_NS
    (episode,) = find_drawdown_episodes(
        stamps, "daily", np.array([100.0, 110.0, 99.0, 104.5, 111.0]), 100.0
    )
    assert episode == {
        "peak_time": "1970-01-02",
        "trough_time": "1970-01-05",
        "recovery_time": "1970-01-09",
        "depth": pytest.approx(-0.1),
        "bars": 3,
        "days": 7.0,
        "peak_idx": 1,
        "trough_idx": 2,
        "recovery_idx": 4,
    }


def test_a_curve_that_only_rises_has_no_episode() -> None:
    assert find_drawdown_episodes(np.arange(3) * DAY_NS, "daily", np.array([1.0, 2, 3]), 1.0) == []


def test_monthly_and_yearly_returns_compound_to_the_total() -> None:
    rng = np.random.default_rng(5)
    stamps = (np.datetime64("2003-11-17", "ns") + np.arange(900) * np.timedelta64(1, "D")).astype(
        np.int64
    )
    equity = 100.0 * np.cumprod(1 + rng.normal(0, 0.01, 900))
    tables = build_return_tables(stamps, equity, equity * 2, 100.0)
    assert (tables["monthly"][0]["year"], tables["monthly"][0]["month"]) == (2003, 11)
    assert [row["year"] for row in tables["yearly"]] == [2003, 2004, 2005, 2006]
    for rows in tables.values():
        assert math.prod(1 + row["run"] for row in rows) == pytest.approx(equity[-1] / 100.0)


def test_a_period_that_starts_below_zero_has_no_return() -> None:
    stamps = np.array(["2001-01-31", "2001-02-28"], "datetime64[ns]").astype(np.int64)
    tables = build_return_tables(stamps, np.array([-5.0, -5.0]), np.array([1.0, 2.0]), 10.0)
    assert [row["run"] for row in tables["monthly"]] == [-1.5, None]


@given(st.lists(st.floats(-0.99, 50.0), min_size=1, max_size=50))
def test_every_closed_trade_is_in_its_histogram_bin(returns: list[float]) -> None:
    trades = [{"return": value, "exit_reason": "signal"} for value in returns]
    histogram = build_trade_histogram([*trades, {"return": 9.0, "exit_reason": "open"}])
    edges, counts = histogram["edges"], histogram["counts"]
    assert sum(counts) == len(returns)
    assert len(edges) == len(counts) + 1
    assert edges[0] <= min(returns) + 1e-9
    assert edges[-1] >= max(returns) - 1e-9


def test_no_closed_trade_gives_an_empty_histogram_and_no_means() -> None:
    assert build_trade_histogram([])["counts"] == []
    totals = summarise_trades([])
    assert (totals["n_closed"], totals["mean_return"], totals["pnl"]) == (0, None, 0)


def test_traded_value_falls_into_the_year_of_its_fill() -> None:
    stamps = np.array(["2001-12-31", "2002-01-01", "2004-06-30"], "datetime64[ns]").astype(np.int64)
    shares, price = np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 5.0, 1.0, 2.0])
    rows = sum_traded_by_year(stamps, np.array([0, 1, 1, 2]), shares, price)
    assert rows == [
        {"year": 2001, "fills": 1, "value": 10.0},
        {"year": 2002, "fills": 2, "value": 13.0},
        {"year": 2004, "fills": 1, "value": 8.0},
    ]


def test_no_fill_gives_no_traded_year() -> None:
    empty = np.array([])
    assert sum_traded_by_year(np.arange(3), empty.astype(np.int64), empty, empty) == []
