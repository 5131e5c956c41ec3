"""When stops are watched, and signals around them, worked by hand; definitions.md 2."""

from __future__ import annotations

import pytest

from tests.support.engine_tables import BUY, EXIT, HOLD, SELL, Expected, Table, check_table
from tests.support.stop_tables import FLAT, PROFIT, SHORT, STOP, TRAIL, long, short

TIMING = [
    Table(
        "same_close watches from the bar after the fill",
        [(100, 101, 50, 100, BUY), (100, 101, 87.5, 95, HOLD), (*FLAT, HOLD)],
        [Expected("long", 0, 1, 100, 100, 87.5, "stop_loss", -1250, mae=-0.125, mfe=0)],
        STOP | {"fill": "same_close"},
    ),
    Table(
        "worst_of_bar watches from the bar after the fill",
        [(*FLAT, BUY), (90, 100, 50, 90, HOLD), (95, 96, 87, 95, HOLD)],
        [long(2, 87.5, "stop_loss")],
        STOP | {"fill": "worst_of_bar"},
    ),
    Table(
        "worst_of_bar does not take profit on the fill bar either",
        [(*FLAT, SELL), (150, 160, 100, 110, HOLD), (75, 80, 70, 75, HOLD)],
        [short(2, 75, "take_profit")],
        PROFIT | SHORT | {"fill": "worst_of_bar"},
    ),
    Table(
        "a trailing stop under same_close starts from the entry price with its slippage",
        # entry 80 x 1.25 = 100, its close of 80 does not lower best: level 75
        [(80, 80, 80, 80, BUY), (80, 81, 75, 80, HOLD), (*FLAT, HOLD)],
        [Expected("long", 0, 1, 100, 100, 56.25, "trailing_stop", -4375)],
        TRAIL | {"fill": "same_close", "slippage": 0.25},
    ),
]

SIGNALS = [
    Table(
        "after a stop the next BUY counts, without a new edge",
        [
            (*FLAT, BUY),
            (100, 100, 80, 100, BUY),  # stopped at 87.5; read at the stop's bar
            (50, 50, 50, 50, HOLD),
        ],
        [long(1, 87.5, "stop_loss"), Expected("long", 2, 2, 175, 50, 50, "open", 0)],
        STOP,
    ),
    Table(
        "a stop is not undone by the signal that had asked for the entry",
        [(*FLAT, BUY), (100, 100, 80, 100, HOLD), (*FLAT, HOLD), (*FLAT, HOLD)],
        [long(1, 87.5, "stop_loss")],
        STOP,
    ),
    Table(
        "a pending SELL fills at the open of the bar that would have stopped the position",
        [(*FLAT, BUY), (*FLAT, SELL), (95, 96, 80, 90, HOLD)],
        [long(2, 95, "signal")],
        STOP,
    ),
    Table(
        "a pending BUY is filled at the open and stopped in the same bar",
        [(*FLAT, HOLD), (*FLAT, BUY), (100, 100, 85, 90, HOLD)],
        [Expected("long", 2, 2, 100, 100, 87.5, "stop_loss", -1250)],
        STOP,
    ),
    Table(
        "a pending reversal fills at the open and its new side is stopped in the same bar",
        [(*FLAT, BUY), (*FLAT, SELL), (100, 113, 80, 90, HOLD)],
        [
            long(2, 100, "signal"),
            Expected("short", 2, 2, 100, 100, 112.5, "stop_loss", -1250),
        ],
        STOP | {"direction": "long_short"},
        cash=[10_000, 0, 8_750],
    ),
    Table(
        "a pending BUY while long is dropped, and a stop in its bar is not followed by it",
        [(*FLAT, BUY), (*FLAT, BUY), (100, 100, 85, 90, HOLD), (*FLAT, HOLD)],
        [long(2, 87.5, "stop_loss")],
        STOP,
    ),
    Table(
        "a SELL read at the bar of the stop finds nothing to close",
        [(*FLAT, BUY), (100, 100, 80, 100, SELL), (*FLAT, HOLD)],
        [long(1, 87.5, "stop_loss")],
        STOP,
    ),
    Table(
        "under long_short a SELL read at the bar of the stop opens a short",
        [(*FLAT, BUY), (100, 100, 80, 100, SELL), (*FLAT, HOLD)],
        [long(1, 87.5, "stop_loss"), Expected("short", 2, 2, 87.5, 100, 100, "open", 0)],
        STOP | {"direction": "long_short"},
    ),
    Table(
        "under same_close a stop comes first, and the bar's BUY fills at its close again",
        [(*FLAT, BUY), (100, 100, 80, 100, BUY), (*FLAT, HOLD)],
        [
            Expected("long", 0, 1, 100, 100, 87.5, "stop_loss", -1250),
            Expected("long", 1, 2, 87.5, 100, 100, "open", 0),
        ],
        STOP | {"fill": "same_close"},
        exposed=[True, True, True],
    ),
    Table(
        "under same_close an EXIT in the bar of the stop finds nothing to close",
        [(*FLAT, BUY), (100, 100, 80, 100, EXIT), (*FLAT, HOLD)],
        [Expected("long", 0, 1, 100, 100, 87.5, "stop_loss", -1250)],
        STOP | {"fill": "same_close"},
    ),
    Table(
        "under worst_of_bar the pending SELL fills before the bar's stop is tested",
        [(*FLAT, BUY), (*FLAT, SELL), (95, 96, 80, 90, HOLD)],
        [long(2, 80, "signal")],
        STOP | {"fill": "worst_of_bar"},
    ),
    Table(
        "under worst_of_bar a pending BUY while long is dropped and the old position is watched",
        [(*FLAT, BUY), (*FLAT, BUY), (95, 96, 80, 90, HOLD)],
        [long(2, 87.5, "stop_loss")],
        STOP | {"fill": "worst_of_bar"},
    ),
]


@pytest.mark.parametrize("table", TIMING + SIGNALS, ids=lambda table: table.sentence)
def test_stops_and_signals_of_one_bar_lead_to_the_trades_worked_by_hand(table):
    check_table(table)
