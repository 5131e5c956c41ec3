"""Stops, worked by hand: touch, gap, trailing, ties; definitions.md 2."""

from __future__ import annotations

import pytest

from tests.support.engine_tables import BUY, HOLD, SELL, Expected, Table, check_table
from tests.support.stop_tables import FLAT, PROFIT, SHORT, STOP, TRAIL, long, short

LOSS = [
    Table(
        "a touch of the stop fills at its level",
        [(*FLAT, BUY), (*FLAT, HOLD), (95, 96, 87.5, 90, HOLD), (*FLAT, HOLD)],
        [long(2, 87.5, "stop_loss", return_=-0.125)],
        STOP,
        equity=[10_000, 10_000, 8_750, 8_750],
        exposed=[False, True, True, False],
    ),
    Table(
        "a low just above the stop leaves the position alone",
        [(*FLAT, BUY), (*FLAT, HOLD), (95, 96, 87.51, 90, HOLD)],
        [long(2, 90, "open")],
        STOP,
    ),
    Table(
        "a gap through the stop fills at the open",
        [(*FLAT, BUY), (*FLAT, HOLD), (80, 82, 78, 81, HOLD)],
        [long(2, 80, "stop_loss")],
        STOP,
    ),
    Table(
        "an open exactly at the level is the level",
        [(*FLAT, BUY), (*FLAT, HOLD), (87.5, 99, 86, 95, HOLD)],
        [long(2, 87.5, "stop_loss")],
        STOP,
    ),
    Table(
        "the stop works on the fill bar under next_open",
        [(*FLAT, BUY), (100, 101, 80, 99, HOLD), (*FLAT, HOLD)],
        [long(1, 87.5, "stop_loss", mae=-0.125, mfe=0)],
        STOP,
        exposed=[False, True, False],
    ),
    Table(
        "a stop fills with slippage, below its level and below the gap's open",
        [(80, 80, 80, 80, BUY), (80, 100, 80, 100, HOLD), (95, 96, 87.5, 90, HOLD)],
        # entry 80 x 1.25 = 100, level 87.5; the fill bar's open of 80 is already through it:
        # 80 x 0.75 = 60
        [long(1, 60, "stop_loss")],
        STOP | {"slippage": 0.25},
    ),
    Table(
        "a stop at its level fills with slippage",
        [(80, 80, 80, 80, BUY), (80, 100, 80, 100, HOLD), (95, 96, 50, 90, HOLD)],
        # entry 100, level 100 x (1 - 0.5) = 50; 50 x 0.75 = 37.5
        [long(2, 37.5, "stop_loss")],
        {"slippage": 0.25, "stop_loss": 0.5},
    ),
    Table(
        "a stop pays commission",
        [(80, 80, 80, 80, BUY), (80, 80, 80, 80, HOLD), (75, 75, 70, 72, HOLD)],
        # 100 shares at 80, fee 2000; level 70; fee 1750
        [Expected("long", 1, 2, 100, 80, 70, "stop_loss", -4750, commission=3750)],
        STOP | {"fee_rate": 0.25},
        cash=[10_000, 0, 5_250],
    ),
    Table(
        "a short's stop lies above, and a touch fills at its level",
        [(*FLAT, SELL), (*FLAT, HOLD), (105, 112.5, 104, 108, HOLD)],
        [short(2, 112.5, "stop_loss", return_=-0.125)],
        STOP | SHORT,
    ),
    Table(
        "a high just below a short's stop leaves it alone",
        [(*FLAT, SELL), (*FLAT, HOLD), (105, 112.49, 104, 108, HOLD)],
        [short(2, 108, "open")],
        STOP | SHORT,
    ),
    Table(
        "a gap through a short's stop fills at the open",
        [(*FLAT, SELL), (*FLAT, HOLD), (120, 125, 110, 115, HOLD)],
        [short(2, 120, "stop_loss")],
        STOP | SHORT,
    ),
    Table(
        "a short's stop works on the fill bar under next_open",
        [(*FLAT, SELL), (100, 113, 99, 100, HOLD)],
        [short(1, 112.5, "stop_loss")],
        STOP | SHORT,
    ),
    Table(
        "a short's stop fills with slippage above its level",
        [(*FLAT, SELL), (100, 100, 75, 75, HOLD), (100, 112.5, 75, 100, HOLD)],
        # sold at 100 x 0.75 = 75, 10000 / 75 shares; level 75 x 1.5 = 112.5, x 1.25 = 140.625
        [Expected("short", 1, 2, 400 / 3, 75, 140.625, "stop_loss", (75 - 140.625) * 400 / 3)],
        SHORT | {"slippage": 0.25, "stop_loss": 0.5},
    ),
]

GAIN = [
    Table(
        "a touch of the profit fills at its level",
        [(*FLAT, BUY), (*FLAT, HOLD), (110, 125, 109, 112, HOLD)],
        [long(2, 125, "take_profit", mfe=0.25)],
        PROFIT,
    ),
    Table(
        "a high just below the profit leaves the position alone",
        [(*FLAT, BUY), (*FLAT, HOLD), (110, 124.99, 109, 112, HOLD)],
        [long(2, 112, "open")],
        PROFIT,
    ),
    Table(
        "a gap beyond the profit fills at the open",
        [(*FLAT, BUY), (*FLAT, HOLD), (130, 131, 129, 130, HOLD)],
        [long(2, 130, "take_profit")],
        PROFIT,
    ),
    Table(
        "the profit works on the fill bar under next_open",
        [(*FLAT, BUY), (100, 126, 99, 100, HOLD)],
        [long(1, 125, "take_profit")],
        PROFIT,
    ),
    Table(
        "a profit fills without slippage, at its level",
        [(80, 80, 80, 80, BUY), (80, 80, 80, 80, HOLD), (110, 125, 109, 112, HOLD)],
        [long(2, 125, "take_profit")],
        PROFIT | {"slippage": 0.25},
    ),
    Table(
        "a profit fills without slippage, at the gap's open",
        [(80, 80, 80, 80, BUY), (80, 80, 80, 80, HOLD), (130, 131, 109, 112, HOLD)],
        [long(2, 130, "take_profit")],
        PROFIT | {"slippage": 0.25},
    ),
    Table(
        "a short's profit lies below, and a touch fills at its level",
        [(*FLAT, SELL), (*FLAT, HOLD), (90, 91, 75, 80, HOLD)],
        [short(2, 75, "take_profit")],
        PROFIT | SHORT,
    ),
    Table(
        "a gap beyond a short's profit fills at the open",
        [(*FLAT, SELL), (*FLAT, HOLD), (70, 71, 60, 65, HOLD)],
        [short(2, 70, "take_profit")],
        PROFIT | SHORT,
    ),
    Table(
        "a short's profit of 100 % or more is never reached",
        [(*FLAT, SELL), (*FLAT, HOLD), (1, 1, 0.001, 1, HOLD)],
        [short(2, 1, "open")],
        SHORT | {"take_profit": 1.0},
    ),
]

BOTH = [
    Table(
        "where stop and profit are touched in one bar, the stop wins",
        [(*FLAT, BUY), (*FLAT, HOLD), (100, 130, 80, 120, HOLD)],
        [long(2, 87.5, "stop_loss")],
        STOP | PROFIT,
    ),
    Table(
        "the stop wins even where the bar opened beyond the profit",
        [(*FLAT, BUY), (*FLAT, HOLD), (130, 131, 80, 120, HOLD)],
        [long(2, 87.5, "stop_loss")],
        STOP | PROFIT,
    ),
    Table(
        "where a short's stop and profit are touched in one bar, the stop wins",
        [(*FLAT, SELL), (*FLAT, HOLD), (100, 120, 70, 100, HOLD)],
        [short(2, 112.5, "stop_loss")],
        STOP | PROFIT | SHORT,
    ),
]

TRAILING = [
    Table(
        "without a better close the trailing stop hangs on the entry price",
        [(*FLAT, BUY), (100, 100, 75, 90, HOLD)],
        [long(1, 75, "trailing_stop")],
        TRAIL,
    ),
    Table(
        "the trailing stop follows the best close",
        # best close 120: level 90
        [
            (*FLAT, BUY),
            (100, 121, 99, 120, HOLD),
            (110, 111, 95, 100, HOLD),
            (95, 96, 90, 91, HOLD),
        ],
        [long(3, 90, "trailing_stop")],
        TRAIL,
    ),
    Table(
        "a high that does not close moves nothing",
        # high 200 with close 120: level 90, not 150
        [(*FLAT, BUY), (100, 200, 99, 120, HOLD), (110, 111, 90.5, 100, HOLD)],
        [long(2, 100, "open")],
        TRAIL,
    ),
    Table(
        "the close of a bar moves the stop from the next bar on",
        # bar 1 closes at 160, level 120; its own low of 99 is tested against 75
        [(*FLAT, BUY), (100, 161, 99, 160, HOLD), (150, 150, 120, 130, HOLD)],
        [long(2, 120, "trailing_stop")],
        TRAIL,
    ),
    Table(
        "the trailing stop never comes back down",
        [
            (*FLAT, BUY),
            (100, 121, 99, 120, HOLD),
            (100, 101, 99, 100, HOLD),
            (92, 93, 89, 92, HOLD),
        ],
        [long(3, 90, "trailing_stop")],
        TRAIL,
    ),
    Table(
        "a gap through the trailing stop fills at the open",
        [(*FLAT, BUY), (100, 121, 99, 120, HOLD), (85, 86, 84, 85, HOLD)],
        [long(2, 85, "trailing_stop")],
        TRAIL,
    ),
    Table(
        "a short's trailing stop hangs on the lowest close",
        # best close 80: level 100
        [(*FLAT, SELL), (100, 101, 79, 80, HOLD), (85, 100, 84, 90, HOLD)],
        [short(2, 100, "trailing_stop")],
        TRAIL | SHORT,
    ),
    Table(
        "a low that does not close moves no short's stop",
        [(*FLAT, SELL), (100, 101, 40, 80, HOLD), (85, 99.5, 84, 90, HOLD)],
        [short(2, 90, "open")],
        TRAIL | SHORT,
    ),
    Table(
        "the tighter of the two applies and gives the reason: the trailing stop",
        # stop 87.5, trailing 0.75 x 120 = 90
        [(*FLAT, BUY), (100, 121, 99, 120, HOLD), (110, 111, 80, 90, HOLD)],
        [long(2, 90, "trailing_stop")],
        STOP | TRAIL,
    ),
    Table(
        "the tighter of the two applies and gives the reason: the stop loss",
        # stop 87.5, trailing 0.75 x 104 = 78
        [(*FLAT, BUY), (100, 105, 99, 104, HOLD), (100, 101, 70, 75, HOLD)],
        [long(2, 87.5, "stop_loss")],
        STOP | TRAIL,
    ),
    Table(
        "a tie of the two is a stop loss",
        [(*FLAT, BUY), (100, 100, 70, 90, HOLD)],
        [long(1, 75, "stop_loss")],
        TRAIL | {"stop_loss": 0.25},
    ),
    Table(
        "a short's tie is a stop loss, and its tighter trailing stop is a trailing stop",
        [
            (*FLAT, SELL),
            (100, 130, 99, 100, SELL),
            (*FLAT, HOLD),
            (100, 101, 79, 80, HOLD),
            (85, 101, 84, 90, HOLD),
        ],
        [
            short(1, 125, "stop_loss"),
            # cash 7500: 75 shares; best close 80, level 100
            Expected("short", 2, 4, 75, 100, 100, "trailing_stop", 0),
        ],
        TRAIL | SHORT | {"stop_loss": 0.25},
    ),
]


@pytest.mark.parametrize("table", LOSS + GAIN + BOTH + TRAILING, ids=lambda table: table.sentence)
def test_stops_lead_to_the_trades_worked_by_hand(table):
    check_table(table)
