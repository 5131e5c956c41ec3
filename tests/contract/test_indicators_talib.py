"""Every indicator that TA-Lib has, on every dataset that ships, equal to 1e-9, NaN included."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import talib

from rules import technical_indicators as ti

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module", params=["AAPL", "IBM", "MSFT", "random"])
def columns(request):
    """Return (high, low, close, volume)."""
    if request.param == "random":
        rng = np.random.default_rng(11)
        close = 50 * np.exp(np.cumsum(rng.normal(0, 0.01, 20_000)))
        spread = 1 + rng.exponential(0.01, close.size)
        return close * spread, close / spread, close, rng.uniform(0, 1e7, close.size)
    with (DATA / f"{request.param}.csv").open() as file:
        rows = list(csv.DictReader(file))
    return tuple(
        np.array([float(row[name]) for row in rows]) for name in ("High", "Low", "Close", "Volume")
    )


def assert_equal(actual, expected):
    if not isinstance(actual, tuple):
        actual, expected = (actual,), (expected,)
    for ours, theirs in zip(actual, expected, strict=True):
        assert np.isfinite(theirs).sum() > 3000, "the peer answered"
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("window", [2, 14, 50, 200])
def test_sma_and_ema(columns, window):
    _, _, close, _ = columns
    assert_equal(ti.compute_sma(close, window), talib.SMA(close, window))
    assert_equal(ti.compute_ema(close, window), talib.EMA(close, window))


@pytest.mark.parametrize("window", [2, 3, 14, 50])
def test_rsi(columns, window):
    _, _, close, _ = columns
    assert_equal(ti.compute_rsi(close, window), talib.RSI(close, window))


@pytest.mark.parametrize("windows", [(12, 26, 9), (2, 3, 1), (5, 100, 30)])
def test_macd(columns, windows):
    _, _, close, _ = columns
    assert_equal(ti.compute_macd(close, *windows), talib.MACD(close, *windows))


@pytest.mark.parametrize(("window", "width"), [(20, 2.0), (5, 1.5), (100, 3.0)])
def test_bollinger_bands(columns, window, width):
    _, _, close, _ = columns
    expected = talib.BBANDS(close, window, width, width)
    assert_equal(ti.compute_bollinger(close, window, width), expected)


@pytest.mark.parametrize("window", [2, 14, 50])
def test_atr_and_adx(columns, window):
    high, low, close, _ = columns
    assert_equal(ti.compute_atr(high, low, close, window), talib.ATR(high, low, close, window))
    assert_equal(ti.compute_adx(high, low, close, window), talib.ADX(high, low, close, window))


@pytest.mark.parametrize("windows", [(14, 3, 3), (5, 1, 1), (50, 5, 2)])
def test_stochastic(columns, windows):
    high, low, close, _ = columns
    window, k_smooth, d_smooth = windows
    expected = talib.STOCH(high, low, close, window, k_smooth, 0, d_smooth, 0)
    assert_equal(ti.compute_stochastic(high, low, close, *windows), expected)


@pytest.mark.parametrize("window", [2, 14, 20])
def test_cci(columns, window):
    high, low, close, _ = columns
    ours, theirs = (f(high, low, close, window) for f in (ti.compute_cci, talib.CCI))
    # A bar whose deviation is rounding alone is 0 here; TA-Lib divides rounding by rounding.
    typical = (high + low + close) / 3
    deviation = ti.compute_rolling_std(typical, window)
    noise = deviation < 1e-9 * typical
    assert noise.sum() < 20
    assert_equal(ours[~noise], theirs[~noise])


@pytest.mark.parametrize("window", [1, 10, 100])
def test_roc(columns, window):
    _, _, close, _ = columns
    assert_equal(ti.compute_roc(close, window), talib.ROC(close, window))


def test_obv(columns):
    _, _, close, volume = columns
    assert_equal(ti.compute_obv(close, volume), talib.OBV(close, volume))


@pytest.mark.parametrize("window", [2, 20, 55])
def test_donchian_channel_is_the_extreme_of_the_bars_before(columns, window):
    high, low, _, _ = columns
    upper, _, lower = ti.compute_donchian(high, low, window)
    np.testing.assert_array_equal(upper[1:], talib.MAX(high, window)[:-1])
    np.testing.assert_array_equal(lower[1:], talib.MIN(low, window)[:-1])


@pytest.mark.parametrize("window", [2, 20, 60])
def test_realised_volatility_is_the_deviation_of_returns(columns, window):
    _, _, close, _ = columns
    population = talib.STDDEV(talib.ROCP(close, 1), window)
    sample = population * np.sqrt(window / (window - 1) * 252)
    # TA-Lib subtracts squares of sums that run over the whole series: about 1e-16 is left of
    # variances around 1e-4, and a variance below 1e-14 is answered as 0.
    ours = ti.compute_realised_volatility(close, window, 252.0)
    np.testing.assert_allclose(ours**2, sample**2, rtol=1e-9, atol=1e-11, equal_nan=True)


def test_where_nothing_moves_we_answer_differently_on_purpose():
    flat = np.full(60, 123.456)
    assert (talib.RSI(flat)[14:] == 0.0).all()
    assert (ti.compute_rsi(flat)[14:] == 50.0).all()


@pytest.mark.parametrize("name", ["sma", "rsi", "macd"])
def test_a_million_bars_later_they_still_agree(name):
    rng = np.random.default_rng(2)
    close = 100 + np.cumsum(rng.choice([-0.01, 0.01], 1_000_000))
    close += 1 - close.min()
    pairs = {
        "sma": lambda: (ti.compute_sma(close, 50), talib.SMA(close, 50)),
        "rsi": lambda: (ti.compute_rsi(close, 14), talib.RSI(close, 14)),
        "macd": lambda: (ti.compute_macd(close), talib.MACD(close)),
    }
    assert_equal(*pairs[name]())
