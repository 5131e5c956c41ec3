"""What rounding must not do: drift, noise in flat markets, spikes that linger, NaN that spreads."""

from __future__ import annotations

import math
import sys
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from numba import njit

from rules import indicator_kernels as kernels
from rules import technical_indicators as ti


@pytest.fixture(scope="module")
def million():
    """A random walk of 1,000,000 bars that spans six orders of magnitude."""
    rng = np.random.default_rng(1)
    return np.exp(np.cumsum(rng.normal(0, 0.006, 1_000_000)))


def compute_exact_window(x, t, window):
    """Return (mean, population variance) in rational arithmetic."""
    values = [Fraction(float(value)) for value in x[t - window + 1 : t + 1]]
    mean = sum(values) / window
    return float(mean), float(sum((value - mean) ** 2 for value in values) / window)


@pytest.mark.parametrize("window", [2, 20, 201])
def test_windows_do_not_drift_over_a_million_bars(million, window):
    mean = ti.compute_sma(million, window)
    std = ti.compute_rolling_std(million, window)
    upper, middle, _ = ti.compute_bollinger(million, window)
    for t in [*range(window - 1, window + 3), 333_333, 777_777, *range(999_990, 1_000_000)]:
        exact_mean, exact_variance = compute_exact_window(million, t, window)
        assert mean[t] == pytest.approx(exact_mean, rel=1e-14)
        assert std[t] == pytest.approx(math.sqrt(exact_variance), rel=1e-11)
        assert middle[t] == mean[t]
        assert upper[t] == mean[t] + 2.0 * std[t]


def test_a_spike_leaves_nothing_behind_once_it_has_left_the_window():
    x = np.linspace(1.0, 2.0, 400)
    spiked = x.copy()
    spiked[100] = 1e15
    for compute in (
        lambda values: ti.compute_sma(values, 20),
        lambda values: ti.compute_rolling_std(values, 20),
        lambda values: ti.compute_realised_volatility(values, 20),
    ):
        clean, after = compute(x), compute(spiked)
        np.testing.assert_allclose(after[122:], clean[122:], rtol=1e-12)
        assert abs(after[110] - clean[110]) > 1e-3, "the spike was inside this window"


@pytest.mark.parametrize("price", [0.1, 1 / 3, 7.0, 123.456, 1e-9, 1e9])
@pytest.mark.parametrize("window", [1, 2, 3, 14, 20, 199])
def test_a_flat_market_is_flat_to_the_last_bit(price, window):
    x = np.full(700, price)
    assert (ti.compute_sma(x, window)[window - 1 :] == price).all()
    assert (ti.compute_ema(x, window)[window - 1 :] == price).all()
    assert (ti.compute_rolling_std(x, window)[window - 1 :] == 0.0).all()
    assert (ti.compute_rsi(x, window)[window:] == 50.0).all()
    assert (ti.compute_cci(x, x, x, window)[window - 1 :] == 0.0).all()
    assert (ti.compute_atr(x, x, x, window)[window:] == 0.0).all()
    assert (ti.compute_adx(x, x, x, window)[2 * window - 1 :] == 0.0).all()
    slow_k, slow_d = ti.compute_stochastic(x, x, x, window)
    assert (slow_k[window + 3 :] == 0.0).all()
    assert (slow_d[window + 3 :] == 0.0).all()
    line, signal, histogram = ti.compute_macd(x, window, window + 5, 9)
    for values in (line, signal, histogram):
        assert (values[window + 12 :] == 0.0).all()


def test_averages_of_a_market_that_stops_moving_do_not_cross_by_rounding():
    rng = np.random.default_rng(3)
    x = np.concatenate([100 + np.cumsum(rng.normal(0, 1, 300)).round(2), np.full(2000, 99.97)])
    fast, slow = ti.compute_sma(x, 7), ti.compute_sma(x, 31)
    for crosses in (ti.compute_crosses_above(fast, slow), ti.compute_crosses_below(fast, slow)):
        assert crosses[:340].any()
        assert not crosses[340:].any()


def test_equal_means_of_whole_numbers_compare_equal():
    x = np.tile([1.0, 2.0, 4.0], 200)
    np.testing.assert_array_equal(ti.compute_sma(x, 3)[5:], ti.compute_sma(x, 6)[5:])
    assert (ti.compute_sma(x, 3)[2:] == 7 / 3).all()


def test_leading_nan_is_skipped_so_that_indicators_chain():
    x = np.linspace(1.0, 3.0, 50) ** 2
    padded = np.concatenate([np.full(9, np.nan), x])
    for compute in (
        lambda values: ti.compute_sma(values, 5),
        lambda values: ti.compute_ema(values, 5),
        lambda values: ti.compute_rsi(values, 5),
        lambda values: ti.compute_rolling_std(values, 5),
        lambda values: ti.compute_macd(values, 3, 6, 4)[1],
        lambda values: ti.compute_roc(values, 5),
    ):
        np.testing.assert_array_equal(compute(padded)[9:], compute(x))
        assert np.isnan(compute(padded)[:9]).all()
        assert np.isnan(compute(np.full(30, np.nan))).all()


def test_nan_inside_reaches_every_value_that_depends_on_it_and_no_other():
    x = np.linspace(1.0, 3.0, 60)
    holed = x.copy()
    holed[30] = np.nan
    expected = np.zeros(60, dtype=bool)
    expected[:4] = True
    expected[30:35] = True
    for compute in (ti.compute_sma, ti.compute_rolling_std):
        np.testing.assert_array_equal(np.isnan(compute(holed, 5)), expected)
    for recursive in (ti.compute_ema, ti.compute_rsi):
        values = recursive(holed, 5)
        assert np.isfinite(values[5:30]).all()
        assert np.isnan(values[30:]).all(), "a recursion never forgets"


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("nan_idx", range(2, 10))
def test_rolling_extremes_pass_nan_on_from_every_place_of_a_block(sign, nan_idx):
    x = np.array([3.0, 1.0, 2.0, 9.0, 5.0, 4.0, 6.0, 7.0, 0.0, 8.0, 2.0, 5.0])
    x[nan_idx] = np.nan
    out = np.empty_like(x)
    kernels.fill_extreme(x, 3, sign, out)
    best = np.max if sign > 0 else np.min  # both pass NaN on
    expected = [np.nan] * 2 + [best(x[t - 2 : t + 1]) for t in range(2, x.size)]
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("outlier", [1e-6, 1e6])
def test_the_deviation_holds_where_one_value_lies_far_from_all_others(outlier):
    x = np.ones(3000)
    x[1500] = outlier
    std = ti.compute_rolling_std(x, 1000)
    inside = slice(1500, 2500)
    expected = abs(outlier - 1.0) * math.sqrt(999) / 1000
    np.testing.assert_allclose(std[inside], expected, rtol=1e-12)
    assert (std[999:1500] == 0.0).all()
    assert (std[2500:] == 0.0).all()


def test_rsi_is_100_in_a_market_that_only_rises_and_0_in_one_that_only_falls():
    rising = np.arange(1.0, 60.0)
    assert (ti.compute_rsi(rising)[14:] == 100.0).all()
    assert (ti.compute_rsi(rising[::-1])[14:] == 0.0).all()


def test_adx_keeps_its_value_while_nothing_moves():
    moving = np.arange(1.0, 80.0)
    high = np.concatenate([moving, np.full(50, 79.0)])
    # Range without movement: DX stays what it was, and so does its average.
    values = ti.compute_adx(high, high - 1.0, high - 0.5, 1)
    assert (values[78:] == values[78]).all()
    assert values[78] == 100.0


def test_kernels_are_callable_from_other_compiled_code():
    @njit
    def count_crosses(x, windows):
        """Count bars where two averages cross, for each pair of windows, as a sweep would."""
        fast, slow = np.empty(x.size), np.empty(x.size)
        crosses = np.empty(x.size, dtype=np.bool_)
        counts = np.zeros(len(windows), dtype=np.int64)
        for i in range(len(windows)):
            kernels.fill_sma(x, windows[i, 0], fast)
            kernels.fill_sma(x, windows[i, 1], slow)
            kernels.fill_crosses(fast, slow, 1.0, crosses)
            counts[i] = crosses.sum()
        return counts

    rng = np.random.default_rng(5)
    x = 100 + np.cumsum(rng.normal(0, 1, 500))
    pairs = [(3, 10), (5, 20)]
    expected = [
        int(ti.compute_crosses_above(ti.compute_sma(x, fast), ti.compute_sma(x, slow)).sum())
        for fast, slow in pairs
    ]
    assert min(expected) > 0
    assert count_crosses(x, np.array(pairs)).tolist() == expected


@pytest.mark.parametrize(
    "compute",
    [
        ti.compute_sma,
        ti.compute_bollinger,
        ti.compute_rsi,
        lambda x, window: ti.compute_macd(x, window - 1, window, window),
        lambda x, window: ti.compute_donchian(x, x, window),
        lambda x, window: ti.compute_stochastic(x, x, x, window),
        ti.compute_realised_volatility,
    ],
    ids=["sma", "bollinger", "rsi", "macd", "donchian", "stochastic", "realised volatility"],
)
def test_the_cost_of_a_bar_does_not_grow_with_the_window(million, compute, monkeypatch):
    for name, kernel in vars(kernels).items():
        if hasattr(kernel, "py_func"):  # as it is written, uncompiled
            monkeypatch.setattr(kernels, name, kernel.py_func)
    # A loop over the window would execute a hundred times as many lines.
    assert count_lines(compute, million[:4000], 500) < 2 * count_lines(compute, million[:4000], 5)


def count_lines(compute, *arguments):
    """Return how many lines of kernels are executed."""
    counted = Counter()

    def trace(frame, event, _):
        counted[event] += 1
        return trace

    def trace_kernels(frame, event, argument):
        return trace if frame.f_code.co_filename == kernels.__file__ else None

    before = sys.gettrace()
    sys.settrace(trace_kernels)
    try:
        compute(*arguments)
    finally:
        sys.settrace(before)
    assert counted["line"] > len(arguments[0])
    return counted["line"]
