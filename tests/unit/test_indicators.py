"""Every indicator against its plain Python twin, on random and on awkward series."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import technical_indicators as ti
from tests.unit import indicator_twins as twins

# Compilation happens inside the first example.
relaxed = settings(deadline=None, max_examples=60)

prices = st.floats(0.5, 500.0, allow_subnormal=False)
# Whole numbers out of a few make ties, flat stretches and exact crossings likely.
coarse_prices = st.integers(1, 4).map(float)
windows = st.integers(1, 12)


@st.composite
def price_series(draw, minimum=1):
    element = draw(st.sampled_from([prices, coarse_prices]))
    return draw(st.lists(element, min_size=minimum, max_size=60))


@st.composite
def bar_columns(draw):
    """Draw (high, low, close) with low <= close <= high; some bars are flat."""
    close = draw(price_series())
    count = len(close)
    reach = st.sampled_from([0.0, 0.25, 1.0])
    up = draw(st.lists(reach, min_size=count, max_size=count))
    down = draw(st.lists(reach, min_size=count, max_size=count))
    high = [c + a for c, a in zip(close, up, strict=True)]
    low = [c * (1 - b / 2) for c, b in zip(close, down, strict=True)]
    return high, low, close


def assert_equal(actual, expected, scale=1.0):
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9 * scale, equal_nan=True)


@relaxed
@given(price_series(), windows)
def test_sma_equals_its_twin(x, window):
    assert_equal(ti.compute_sma(x, window), twins.sma(x, window))


@relaxed
@given(price_series(), windows)
def test_ema_equals_its_twin(x, window):
    assert_equal(ti.compute_ema(x, window), twins.ema(x, window))


@relaxed
@given(price_series(), st.integers(2, 12), st.integers(0, 1))
def test_rolling_std_equals_its_twin(x, window, ddof):
    expected = twins.std(x, window, ddof)
    # The square root of a rounding error of 1e-16 is 1e-8 of the price: hence on the squares.
    assert_equal(ti.compute_rolling_std(x, window, ddof) ** 2, np.square(expected))


@relaxed
@given(price_series(), windows)
def test_rsi_equals_its_twin(x, window):
    assert_equal(ti.compute_rsi(x, window), twins.rsi(x, window))


@relaxed
@given(price_series(), windows, windows, windows)
def test_macd_equals_its_twin(x, first, second, signal):
    fast, slow = sorted((first, second))
    for actual, expected in zip(
        ti.compute_macd(x, fast, slow, signal), twins.macd(x, fast, slow, signal), strict=True
    ):
        assert_equal(actual, expected)


@relaxed
@given(price_series(), windows, st.floats(0.5, 4.0))
def test_bollinger_bands_equal_their_twins(x, window, width):
    upper, middle, lower = ti.compute_bollinger(x, window, width)
    mean, deviation = np.array(twins.sma(x, window)), np.array(twins.std(x, window, 0))
    assert_equal(middle, mean)
    assert_equal(upper, mean + width * deviation, scale=100.0)
    assert_equal(lower, mean - width * deviation, scale=100.0)


@relaxed
@given(bar_columns(), windows)
def test_atr_equals_its_twin(columns, window):
    assert_equal(ti.compute_atr(*columns, window), twins.atr(*columns, window))


@relaxed
@given(bar_columns(), windows)
def test_adx_equals_its_twin(columns, window):
    assert_equal(ti.compute_adx(*columns, window), twins.adx(*columns, window), scale=100.0)


@relaxed
@given(bar_columns(), windows, st.integers(1, 4), st.integers(1, 4))
def test_stochastic_equals_its_twin(columns, window, k_smooth, d_smooth):
    for actual, expected in zip(
        ti.compute_stochastic(*columns, window, k_smooth, d_smooth),
        twins.stochastic(*columns, window, k_smooth, d_smooth),
        strict=True,
    ):
        assert_equal(actual, expected, scale=100.0)


@relaxed
@given(st.lists(coarse_prices, min_size=1, max_size=60), windows)
def test_cci_equals_its_twin(close, window):
    columns = [c + 1.0 for c in close], [c - 0.5 for c in close], close
    # Where a deviation is nothing but the rounding of the mean, the quotient has no digits left.
    expected = np.array(twins.cci(*columns, window))
    assert_equal(ti.compute_cci(*columns, window), expected, scale=100.0)


@relaxed
@given(price_series(), windows)
def test_roc_equals_its_twin(x, window):
    assert_equal(ti.compute_roc(x, window), twins.roc(x, window), scale=100.0)


@relaxed
@given(price_series(), st.randoms(use_true_random=False))
def test_obv_equals_its_twin(close, random):
    volume = [float(random.randrange(1000)) for _ in close]
    assert ti.compute_obv(close, volume).tolist() == twins.obv(close, volume)


@relaxed
@given(bar_columns(), windows)
def test_donchian_channel_equals_its_twin_exactly(columns, window):
    high, low, _ = columns
    for actual, expected in zip(
        ti.compute_donchian(high, low, window), twins.donchian(high, low, window), strict=True
    ):
        np.testing.assert_array_equal(actual, expected)


@relaxed
@given(price_series(), st.integers(2, 12))
def test_realised_volatility_equals_its_twin(close, window):
    actual = ti.compute_realised_volatility(close, window, 252.0)
    expected = np.array(twins.realised_volatility(close, window, 252.0))
    assert_equal(actual**2, expected**2, scale=1e6)  # returns reach 1000, their squares 1e6


@relaxed
@given(st.lists(st.tuples(*[st.sampled_from([1.0, 2.0, 3.0, np.nan])] * 2), min_size=1))
def test_crosses_equal_their_twins(pairs):
    x, y = (list(column) for column in zip(*pairs, strict=True))
    assert ti.compute_crosses_above(x, y).tolist() == twins.crosses_above(x, y)
    negated = [-value for value in x], [-value for value in y]
    assert ti.compute_crosses_below(x, y).tolist() == twins.crosses_above(*negated)


@relaxed
@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 8))
def test_recent_equals_its_twin(condition, lookback):
    actual = ti.compute_recent(np.array(condition), lookback)
    assert actual.tolist() == twins.recent(condition, lookback)


def test_crosses_take_a_fixed_level_on_either_side():
    x = [29.0, 30.0, 31.0, 30.0, 29.0]
    assert np.flatnonzero(ti.compute_crosses_above(x, 30.0)).tolist() == [2]
    assert np.flatnonzero(ti.compute_crosses_below(x, 30.0)).tolist() == [4]
    assert np.flatnonzero(ti.compute_crosses_below(30.0, x)).tolist() == [2]


def test_onsets_are_the_bars_where_a_condition_becomes_true():
    condition = np.array([True, True, False, True, True, False])
    assert ti.compute_onsets(condition).tolist() == [True, False, False, True, False, False]
    assert condition.tolist() == [True, True, False, True, True, False], "the input stays as it was"


def test_a_signal_is_built_from_the_bars_that_buy_and_sell():
    signal = ti.build_signal(np.array([True, False, False]), np.array([False, False, True]))
    assert signal.dtype == np.int8
    assert signal.tolist() == [1, 0, -1]


FIRST_VALUES = {
    "sma": (lambda o: ti.compute_sma(o, 20), 19),
    "ema": (lambda o: ti.compute_ema(o, 20), 19),
    "rsi": (lambda o: ti.compute_rsi(o, 14), 14),
    "macd": (lambda o: ti.compute_macd(o)[0], 33),
    "macd_signal": (lambda o: ti.compute_macd(o)[1], 33),
    "macd_histogram": (lambda o: ti.compute_macd(o)[2], 33),
    "bollinger_upper": (lambda o: ti.compute_bollinger(o)[0], 19),
    "bollinger_middle": (lambda o: ti.compute_bollinger(o)[1], 19),
    "bollinger_lower": (lambda o: ti.compute_bollinger(o)[2], 19),
    "rolling_std": (lambda o: ti.compute_rolling_std(o, 20), 19),
    "atr": (lambda o: ti.compute_atr(o + 1, o - 1, o), 14),
    "adx": (lambda o: ti.compute_adx(o + 1, o - 1, o), 27),
    "stochastic_k": (lambda o: ti.compute_stochastic(o + 1, o - 1, o)[0], 17),
    "stochastic_d": (lambda o: ti.compute_stochastic(o + 1, o - 1, o)[1], 17),
    "cci": (lambda o: ti.compute_cci(o + 1, o - 1, o), 19),
    "roc": (lambda o: ti.compute_roc(o), 10),
    "obv": (lambda o: ti.compute_obv(o, o), 0),
    "donchian_upper": (lambda o: ti.compute_donchian(o + 1, o - 1)[0], 20),
    "donchian_middle": (lambda o: ti.compute_donchian(o + 1, o - 1)[1], 20),
    "donchian_lower": (lambda o: ti.compute_donchian(o + 1, o - 1)[2], 20),
    "realised_volatility": (lambda o: ti.compute_realised_volatility(o), 20),
}


@pytest.fixture(scope="module")
def walk():
    rng = np.random.default_rng(7)
    return 100 * np.exp(np.cumsum(rng.normal(0, 0.02, 300)))


@pytest.mark.parametrize("name", FIRST_VALUES)
def test_warm_up_is_nan_and_everything_after_it_is_a_number(name, walk):
    compute, first = FIRST_VALUES[name]
    values = compute(walk)
    assert np.isnan(values[:first]).all()
    assert np.isfinite(values[first:]).all()


@pytest.mark.parametrize("name", FIRST_VALUES)
@pytest.mark.parametrize("n_bars", [1, 2, 5])
def test_input_shorter_than_the_warm_up_gives_only_nan(name, n_bars, walk):
    compute, first = FIRST_VALUES[name]
    assert np.isnan(compute(walk[:n_bars])[:first]).all()
    for short in range(n_bars, first + 1, 4):
        assert np.isnan(compute(walk[:short])).all()


@pytest.mark.parametrize("name", FIRST_VALUES)
def test_a_value_never_changes_when_bars_are_added(name, walk):
    compute, _ = FIRST_VALUES[name]
    full = compute(walk)
    for n_bars in (1, 18, 19, 20, 21, 34, 40, 41, 77, 299):
        np.testing.assert_array_equal(compute(walk[:n_bars]), full[:n_bars])


@pytest.mark.parametrize("name", FIRST_VALUES)
def test_the_input_is_not_touched_and_may_be_read_only(name, walk):
    compute, _ = FIRST_VALUES[name]
    frozen = walk.copy()
    frozen.setflags(write=False)
    np.testing.assert_array_equal(compute(frozen), compute(walk))
    np.testing.assert_array_equal(frozen, walk)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ti.compute_sma([1.0, 2.0], 0), "window must be at least 1 bars, got 0"),
        (lambda: ti.compute_rolling_std([1.0], 1, 1), "window must be at least 2 bars, got 1"),
        (lambda: ti.compute_realised_volatility([1.0], 1), "window must be at least 2"),
        (lambda: ti.compute_macd([1.0], 26, 12, 9), r"fast \(26\) must not exceed slow \(12\)"),
        (lambda: ti.compute_macd([1.0], 0, 12, 9), "fast must be at least 1"),
        (lambda: ti.compute_macd([1.0], 2, 12, 0), "signal must be at least 1"),
        (lambda: ti.compute_stochastic([1.0], [1.0], [1.0], 14, 0), "k_smooth must be"),
        (lambda: ti.compute_stochastic([1.0], [1.0], [1.0], 14, 3, 0), "d_smooth must be"),
        (lambda: ti.compute_recent(np.array([True]), 0), "lookback must be at least 1"),
        (lambda: ti.compute_atr([1.0, 2.0], [1.0], [1.0]), r"got shapes \(2,\), \(1,\), \(1,\)"),
        (lambda: ti.compute_sma([[1.0]], 1), r"one-dimensional .* got shapes \(1, 1\)"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_with_the_reason(call, message):
    with pytest.raises(ValueError, match=message):
        call()
