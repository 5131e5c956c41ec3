"""Thinning of series: never more points than asked for, and no spike lost."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from adapters.views import build_series_view, select_points


@given(
    n=st.integers(1, 3000),
    n_series=st.integers(1, 4),
    max_points=st.integers(20, 500),
    seed=st.integers(0, 2**32 - 1),
)
def test_thinning_keeps_ends_and_extremes_within_its_bound(
    n: int, n_series: int, max_points: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    series = [rng.normal(size=n) for _ in range(n_series)]
    chosen = select_points(series, max_points)
    assert len(chosen) <= max(max_points, 2 + 4 * n_series)
    assert chosen[0] == 0
    assert chosen[-1] == n - 1
    assert (np.diff(chosen) > 0).all()
    for values in series:
        assert values.min() in values[chosen]
        assert values.max() in values[chosen]


def test_a_short_series_is_not_thinned() -> None:
    assert select_points([np.arange(10.0)], 10).tolist() == list(range(10))


def test_one_spike_among_a_million_bars_survives() -> None:
    values = np.ones(1_000_000)
    values[654_321] = 50.0
    values[111_111] = np.nan
    chosen = select_points([values], 1000)
    assert len(chosen) <= 1000
    assert 654_321 in chosen


def test_a_window_is_inclusive_and_keeps_bar_indexes() -> None:
    days = np.arange(100) * 86_400_000_000_000
    columns = {"time": days, "equity": np.arange(100.0), "cash": np.full(100, np.nan)}
    view = build_series_view(columns, ["equity", "cash"], "daily", start_idx=10, end_idx=12)
    assert view["idx"] == [10, 11, 12]
    assert view["time"] == ["1970-01-11", "1970-01-12", "1970-01-13"]
    assert view["epoch"] == [864000.0, 950400.0, 1036800.0]
    assert view["equity"] == [10.0, 11.0, 12.0]
    assert view["cash"] == [None, None, None]


def test_a_window_beyond_the_data_is_empty() -> None:
    columns = {"time": np.arange(5), "equity": np.arange(5.0)}
    view = build_series_view(columns, ["equity"], "daily", start_idx=9, end_idx=20)
    assert view == {"idx": [], "time": [], "epoch": [], "equity": []}
