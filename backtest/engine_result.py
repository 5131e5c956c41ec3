"""What a run of the engine leaves behind, in columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EXIT_REASONS = ("signal", "stop_loss", "take_profit", "trailing_stop", "ruin", "open")

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ByteArray = NDArray[np.int8]


@dataclass(frozen=True, slots=True, eq=False)
class Fills:
    """Columns of all fills in the order they happened, each of shape (n_fills,)."""

    bar_idx: IntArray
    side: ByteArray  # +1 bought, -1 sold
    shares: FloatArray
    price: FloatArray  # after slippage
    commission: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Trades:
    """Columns of all round trips by exit, each of shape (n_trades,); an open one comes last."""

    entry_idx: IntArray
    exit_idx: IntArray
    direction: ByteArray  # +1 long, -1 short
    shares: FloatArray
    entry_price: FloatArray
    exit_price: FloatArray
    commission: FloatArray  # of both fills; of the entry, if still open
    pnl: FloatArray  # net of commission
    return_: FloatArray  # pnl / (shares * entry_price)
    bars_held: IntArray
    exit_reason: ByteArray  # index into EXIT_REASONS
    mae: FloatArray  # <= 0, fraction of the entry price
    mfe: FloatArray  # >= 0, fraction of the entry price


@dataclass(frozen=True, slots=True, eq=False)
class EngineResult:
    """Everything one run leaves behind; per-bar arrays have shape (n_bars,)."""

    equity: FloatArray  # marked at the close
    cash: FloatArray
    position: FloatArray  # shares, negative for a short
    exposed: NDArray[np.bool_]  # a position at the mark, or a fill closed one in the bar
    fills: Fills
    trades: Trades
    interest: float  # sum of all financing
    n_rejected_orders: int
    ruined: bool
    ruin_idx: int  # -1 if not ruined
    fill_value: float  # sum of shares times price over all fills


def build_curve_result(equity: FloatArray) -> EngineResult:
    """Wrap a bare equity curve, such as a benchmark's, so that it can be measured like a run.

    Parameters
    ----------
    equity : ndarray of float64, shape (n_bars,)
        Marks at each close, the initial cash not among them.

    Returns
    -------
    EngineResult
        Invested at every bar, without fills and trades; cash is 0 and position NaN.
    """
    n_bars = equity.shape[0]
    floats, ints, codes = np.empty(0), np.empty(0, np.int64), np.empty(0, np.int8)
    return EngineResult(
        equity=equity,
        cash=np.zeros(n_bars),
        position=np.full(n_bars, np.nan),
        exposed=np.ones(n_bars, np.bool_),
        fills=Fills(ints, codes, floats, floats, floats),
        trades=Trades(
            entry_idx=ints,
            exit_idx=ints,
            direction=codes,
            shares=floats,
            entry_price=floats,
            exit_price=floats,
            commission=floats,
            pnl=floats,
            return_=floats,
            bars_held=ints,
            exit_reason=codes,
            mae=floats,
            mfe=floats,
        ),
        interest=0.0,
        n_rejected_orders=0,
        ruined=False,
        ruin_idx=-1,
        fill_value=0.0,
    )
