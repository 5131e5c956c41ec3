"""Beyond float64: an order that overflows is rejected, a curve that overflows is undefined."""

import math

import numpy as np
import pytest

from backtest.engine import HEADLINE_METRICS, build_engine_config, run_engine, stream_engine
from backtest.metrics import compute_metrics
from rules.spec import TradingSpec

BUY = np.array([1, 0, 0, 0], dtype=np.int8)
PRICES = np.array([10.0, 11.0, 5.0, 12.0])


def build_config(periods_per_year=252.0, **trading):
    values = TradingSpec().model_dump() | {"fill": "same_close", **trading}
    return build_engine_config(values, periods_per_year)


@pytest.mark.parametrize(
    ("prices", "trading"),
    [
        (PRICES, {"lot_size": 1e-310}),  # q / L overflows
        (PRICES * 1e-306, {}),  # q overflows
    ],
)
def test_an_order_for_infinitely_many_shares_is_rejected(prices, trading):
    result = run_engine(prices, prices, prices, prices, BUY, None, build_config(**trading))
    assert result.n_rejected_orders == 1
    assert result.equity.tolist() == [100_000.0] * 4
    assert result.position.tolist() == [0.0] * 4


def test_a_curve_beyond_float64_has_no_metrics_but_counts():
    n_bars = 400
    prices = np.full(n_bars, 10.0)
    signal = np.zeros(n_bars, dtype=np.int8)
    config = build_config(periods_per_year=1.0, cash_rate=9.0)
    streamed = stream_engine(prices, prices, prices, prices, signal, None, config)
    metrics = dict(zip(HEADLINE_METRICS, streamed.tolist(), strict=True))
    assert metrics.pop("n_trades") == 0
    assert all(math.isnan(value) for value in metrics.values())
    result = run_engine(prices, prices, prices, prices, signal, None, config)
    full = compute_metrics(result, prices, np.arange(n_bars) * 86_400_000_000_000, config)
    assert math.isnan(full["max_drawdown"])
    assert math.isnan(full["ulcer_index"])
    assert math.isnan(full["tracking_error"])


@pytest.mark.parametrize("name", ["cash_rate", "borrow_rate", "risk_free", "mar"])
def test_a_rate_without_a_finite_value_per_bar_is_refused_by_name(name):
    with pytest.raises(ValueError, match=f"{name} = 10.0"):
        build_config(periods_per_year=0.001, **{name: 10.0})
