"""The four report charts: pictures in memory, no register of figures, no growth."""

import base64
import gc
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from adapters.chart_data import prepare_orders, prepare_trade_pnl
from adapters.charts import CHART_NAMES, render_charts
from adapters.tables import compute_drawdown

N_BARS = 400


def stored_result(n_trades: int) -> tuple[dict, list, dict]:
    rng = np.random.default_rng(1)
    close = 50 * np.cumprod(1 + rng.normal(0, 0.02, N_BARS))
    equity = 1e5 * np.cumprod(1 + rng.normal(0, 0.01, N_BARS))
    benchmark = 1e5 * close / close[0]
    columns = {
        "time": np.arange(N_BARS) * 86_400_000_000_000,
        "close": close,
        "equity": equity,
        "benchmark": benchmark,
        "drawdown": compute_drawdown(equity, 1e5),
        "benchmark_drawdown": compute_drawdown(benchmark, 1e5),
    }
    trades = [
        {
            "entry_idx": 10 * i,
            "exit_idx": 10 * i + 5,
            "entry_price": close[10 * i],
            "exit_price": close[10 * i + 5],
            "pnl": float(close[10 * i + 5] - close[10 * i]),
            "exit_reason": "signal",
        }
        for i in range(n_trades)
    ]
    spec = {"trading": {"initial_cash": 1e5}, "dataset": {"symbol": "X"}, "params": {"window": 3}}
    return {"spec": spec, "rule": {"title": "RSI"}, "fingerprint": "f" * 64}, trades, columns


@pytest.mark.parametrize("n_trades", [0, 1, 30])
def test_all_four_charts_are_png_data_uris(n_trades: int) -> None:
    charts = render_charts(*stored_result(n_trades))
    assert tuple(charts) == CHART_NAMES
    for uri in charts.values():
        head, _, body = uri.partition(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(body).startswith(b"\x89PNG\r\n\x1a\n")


def test_a_picture_says_whose_it_is() -> None:
    uri = render_charts(*stored_result(1), "the-run")["orders"]
    picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
    assert picture.text == {
        "run_id": "the-run",
        "fingerprint": "f" * 64,
        "definitions_version": "1",
    }


def test_the_same_result_draws_the_same_pictures() -> None:
    assert render_charts(*stored_result(5)) == render_charts(*stored_result(5))


def test_exits_are_marked_by_their_result_and_an_open_trade_has_none() -> None:
    summary, trades, columns = stored_result(10)
    trades[-1]["exit_reason"] = "open"
    trades[3]["pnl"] = 0.0
    data = prepare_orders(summary, trades, columns)
    assert data.entries.time.size == 10
    closed = trades[:-1]
    assert data.gains.time.size == sum(trade["pnl"] > 0 for trade in closed)
    assert data.losses.time.size == sum(trade["pnl"] < 0 for trade in closed)
    assert data.evens.price.tolist() == [trades[3]["exit_price"]]
    assert prepare_trade_pnl(summary, trades).number.tolist() == list(range(1, 11))


def test_drawing_loads_no_pyplot_and_keeps_no_figure() -> None:
    from matplotlib.figure import Figure

    result = stored_result(5)
    render_charts(*result)
    gc.collect()
    before = sum(type(item) is Figure for item in gc.get_objects())
    for _ in range(5):
        render_charts(*result)
    gc.collect()
    after = sum(type(item) is Figure for item in gc.get_objects())
    assert after == before
    check = "import sys, adapters.charts; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_titles_write_whole_parameters_without_a_point() -> None:
    summary, trades, _ = stored_result(1)
    summary["spec"]["params"] = {"window": 14, "oversold": 30.0, "step": 0.02, "trigger": "enter"}
    assert prepare_trade_pnl(summary, trades).title == "P&L by trade   X RSI(14, 30, 0.02, enter)"
