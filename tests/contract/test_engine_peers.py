"""Trades side by side with backtesting.py 0.6.6 and vectorbt 1.2, where their semantics coincide.

Where they do not, and why:

- Both start late: backtesting.py calls a strategy from the second bar on and never fills an order
  of the last one, so signals leave the first and the last bars free.
- Order of events: with a close order pending at the open, backtesting.py tests the stop first,
  and vectorbt ignores a signal in the bar of a stop. We trade in the order of time: the open
  first, then the bar's stops, then the close. Signals that meet a touched stop are left out.
- backtesting.py has whole shares, no slippage on both sides (its ``spread`` is paid at the entry
  only), a commission below 10 %, and zeroes the equity at ruin where we keep the debt.
- vectorbt watches stops from the bar after the fill, as we do under ``same_close`` and
  ``worst_of_bar``, never on the fill bar as under ``next_open``; its trailing stop follows highs,
  ours closes; in a percentage it cannot turn a position around.
- Neither has ``worst_of_bar``; vectorbt is fed its prices. backtesting.py has no trailing stop
  in its core. Neither pays interest.
"""

from __future__ import annotations

import numpy as np
import pytest
import talib

from backtest.engine import EXIT_REASONS
from tests.support.engine_peers import (
    BUY,
    EXIT,
    SELL,
    build_signal,
    build_walk,
    load_prices,
    remove_clashes,
    run_backtesting_py,
    run_ours,
    run_vectorbt,
    sort_rows,
)

MARKETS = ["AAPL", "IBM", "MSFT", 1, 2, 3]
FIXED = {"initial_cash": 1e9, "size": 100.0, "size_type": "shares", "fee_rate": 0.001}
SIDES = {"long_only": (BUY, SELL, EXIT), "short_only": (SELL, BUY, EXIT), "long_short": (BUY, SELL)}


def load_market(name):
    return build_walk(name) if isinstance(name, int) else load_prices(name)


def assert_same_rows(ours, theirs, minimum):
    assert len(ours) >= minimum, "the case exercises too little"
    assert [(r.entry_idx, r.exit_idx, r.direction) for r in ours] == [
        (r.entry_idx, r.exit_idx, r.direction) for r in theirs
    ]
    for name in ("shares", "entry_price", "exit_price"):
        np.testing.assert_allclose(
            [getattr(row, name) for row in ours],
            [getattr(row, name) for row in theirs],
            rtol=1e-9,
            err_msg=name,
        )


def assert_same_pnl(ours, theirs):
    """To a billionth of what was traded: pnl is a small difference of large values."""
    scale = max(row.shares * row.entry_price for row in ours)
    np.testing.assert_allclose(
        [row.pnl for row in ours], [row.pnl for row in theirs], rtol=1e-9, atol=1e-9 * scale
    )


@pytest.mark.parametrize("direction", list(SIDES))
@pytest.mark.parametrize("market", MARKETS)
def test_backtesting_py_fills_signals_at_the_next_open_alike(market, direction):
    prices = load_market(market)
    signal = build_signal(5, len(prices[3]), SIDES[direction])
    trading = FIXED | {"direction": direction, "fee_fixed": 2.0}
    ours, result, _ = run_ours(prices, signal, trading)
    theirs, equity = run_backtesting_py(prices, signal, trading)
    assert_same_rows(sort_rows(ours), theirs, minimum=50)
    assert_same_pnl(sort_rows(ours), theirs)
    np.testing.assert_allclose(result.equity, equity, rtol=1e-9)


@pytest.mark.parametrize("direction", list(SIDES))
@pytest.mark.parametrize("market", ["AAPL", 1])
def test_backtesting_py_trades_on_close_alike(market, direction):
    prices = load_market(market)
    signal = build_signal(6, len(prices[3]), SIDES[direction])
    trading = FIXED | {"direction": direction, "fill": "same_close"}
    ours, _, _ = run_ours(prices, signal, trading)
    theirs, _ = run_backtesting_py(prices, signal, trading)
    assert_same_rows(sort_rows(ours), theirs, minimum=40)
    assert_same_pnl(sort_rows(ours), theirs)


@pytest.mark.parametrize("fill", ["next_open", "same_close"])
@pytest.mark.parametrize("direction", list(SIDES))
@pytest.mark.parametrize("market", ["AAPL", "MSFT", 1, 2])
def test_backtesting_py_stops_and_takes_profit_alike(market, direction, fill):
    prices = load_market(market)
    trading = FIXED | {
        "direction": direction,
        "fill": fill,
        "stop_loss": 0.03,
        "take_profit": 0.04,
    }
    # A close order at close[t] is worked off by backtesting.py in bar t + 1, after its stops.
    lag = 1 if fill == "same_close" else 0
    raw = build_signal(7, len(prices[3]), SIDES[direction], share=0.3)
    signal = remove_clashes(prices, raw, trading, lag=lag)
    ours, _, reasons = run_ours(prices, signal, trading)
    assert {"signal", "stop_loss", "take_profit"} <= set(reasons)
    theirs, _ = run_backtesting_py(prices, signal, trading)
    assert_same_rows(sort_rows(ours), theirs, minimum=100)
    assert_same_pnl(sort_rows(ours), theirs)


@pytest.mark.parametrize("market", ["AAPL", "IBM", 1])
def test_backtesting_py_sizes_a_fraction_of_the_cash_in_whole_shares_alike(market):
    prices = load_market(market)
    signal = build_signal(8, len(prices[3]), share=0.05)
    trading = {
        "initial_cash": 1e6,
        "fee_rate": 0.001,
        "size": 0.9,
        "lot_size": 1.0,
        "direction": "long_short",
    }
    ours, result, _ = run_ours(prices, signal, trading)
    theirs, equity = run_backtesting_py(prices, signal, trading)
    assert not result.ruined
    assert_same_rows(sort_rows(ours), theirs, minimum=30)
    np.testing.assert_allclose(result.equity, equity, rtol=1e-9)


@pytest.mark.parametrize("fill", ["next_open", "same_close", "worst_of_bar"])
@pytest.mark.parametrize("market", MARKETS)
def test_vectorbt_invests_all_cash_alike(market, fill):
    prices = load_market(market)
    signal = build_signal(9, len(prices[3]))
    trading = {
        "initial_cash": 1e5,
        "fee_rate": 0.001,
        "fee_fixed": 1.0,
        "slippage": 0.0005,
        "fill": fill,
    }
    ours, result, _ = run_ours(prices, signal, trading)
    theirs, value = run_vectorbt(prices, signal, trading)
    assert_same_rows(sort_rows(ours), theirs, minimum=50)
    assert_same_pnl(sort_rows(ours), theirs)
    np.testing.assert_allclose(result.equity, value, rtol=1e-9)


@pytest.mark.parametrize("direction", ["short_only", "long_short"])
@pytest.mark.parametrize("fill", ["next_open", "same_close", "worst_of_bar"])
def test_vectorbt_shorts_and_turns_a_number_of_shares_alike(direction, fill):
    prices = load_market(1)
    signal = build_signal(10, len(prices[3]))
    trading = FIXED | {"direction": direction, "fill": fill, "slippage": 0.001}
    ours, result, _ = run_ours(prices, signal, trading)
    theirs, value = run_vectorbt(prices, signal, trading)
    assert_same_rows(sort_rows(ours), theirs, minimum=50)
    assert_same_pnl(sort_rows(ours), theirs)
    np.testing.assert_allclose(result.equity, value, rtol=1e-9)


def test_vectorbt_rounds_down_to_lots_alike():
    prices = load_market("IBM")
    signal = build_signal(11, len(prices[3]))
    trading = {"initial_cash": 1e5, "fee_rate": 0.001, "lot_size": 10.0}
    ours, result, _ = run_ours(prices, signal, trading)
    theirs, value = run_vectorbt(prices, signal, trading)
    assert_same_rows(sort_rows(ours), theirs, minimum=50)
    np.testing.assert_allclose(result.equity, value, rtol=1e-9)


@pytest.mark.parametrize("fill", ["same_close", "worst_of_bar"])
@pytest.mark.parametrize("direction", ["long_only", "short_only"])
@pytest.mark.parametrize("market", ["AAPL", 1, 2])
def test_vectorbt_stops_and_takes_profit_alike(market, direction, fill):
    prices = load_market(market)
    trading = FIXED | {
        "direction": direction,
        "fill": fill,
        "stop_loss": 0.05,
        "take_profit": 0.06,
    }
    raw = build_signal(12, len(prices[3]), share=0.2)
    signal = remove_clashes(prices, raw, trading, keep_after_stop=False)
    ours, result, reasons = run_ours(prices, signal, trading)
    assert {"signal", "stop_loss", "take_profit"} <= set(reasons)
    theirs, value = run_vectorbt(prices, signal, trading)
    assert_same_rows(sort_rows(ours), theirs, minimum=50)
    np.testing.assert_allclose(result.equity, value, rtol=1e-9)


def compute_rsi_signal(close):
    rsi = talib.RSI(close, 14)
    signal = np.zeros(len(close), dtype=np.int8)
    signal[1:][(rsi[:-1] >= 30.0) & (rsi[1:] < 30.0)] = BUY
    signal[1:][(rsi[:-1] <= 70.0) & (rsi[1:] > 70.0)] = SELL
    return signal


def test_aapl_with_rsi_long_and_short_is_ruined_on_2004_06_23():
    from backtest.bars import format_times
    from storage.bar_files import load_bar_file
    from tests.support.engine_peers import DATA

    prices = load_prices("AAPL")
    bars, _ = load_bar_file(DATA / "AAPL.csv")
    trading = {"initial_cash": 1e5, "fee_rate": 0.001, "direction": "long_short"}
    _, result, _ = run_ours(prices, compute_rsi_signal(prices[3]), trading)
    assert result.ruined
    assert format_times(bars.timestamps, bars.spacing)[result.ruin_idx] == "2004-06-23"
    assert EXIT_REASONS[result.trades.exit_reason[-1]] == "ruin"
    assert result.equity[result.ruin_idx] < 0.0
    assert (result.equity[result.ruin_idx :] == result.equity[result.ruin_idx]).all()


def test_aapl_with_rsi_long_only_trades_like_both_peers():
    prices = load_prices("AAPL")
    signal = compute_rsi_signal(prices[3])
    trading = FIXED | {"size": 10.0}
    ours, _, _ = run_ours(prices, signal, trading)
    by_close, _, _ = run_ours(prices, signal, trading | {"fill": "same_close"})
    assert_same_rows(ours, run_backtesting_py(prices, signal, trading)[0], minimum=6)
    theirs, _ = run_vectorbt(prices, signal, trading | {"fill": "same_close"})
    assert_same_rows(by_close, theirs, minimum=6)
