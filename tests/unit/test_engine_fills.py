"""Fills, worked by hand: timing, direction, reversal, last bar, costs; definitions.md section 2."""

from __future__ import annotations

import pytest

from tests.support.engine_tables import BUY, EXIT, HOLD, SELL, Expected, Table, check_table

UP = [  # open high low close signal
    (100, 101, 99, 100, BUY),
    (80, 110, 79, 105, HOLD),
    (110, 112, 108, 110, SELL),
    (125, 126, 120, 121, HOLD),
]
DOWN = [
    (100, 101, 99, 100, SELL),
    (80, 90, 50, 60, HOLD),
    (50, 60, 40, 50, BUY),
    (40, 45, 30, 36, HOLD),
]

TIMING = [
    Table(
        "next_open fills at the open of the bar after the signal",
        UP,
        # 10000 / 80 = 125 shares; 125 x (125 - 80) = 5625
        [Expected("long", 1, 3, 125, 80, 125, "signal", 5625, return_=0.5625)],
        equity=[10_000, 13_125, 13_750, 15_625],
        cash=[10_000, 0, 0, 15_625],
        position=[0, 125, 125, 0],
        exposed=[False, True, True, True],
    ),
    Table(
        "worst_of_bar buys at the high and sells at the low of the bar after the signal",
        UP,
        # 11000 / 110 = 100 shares; 100 x (120 - 110) = 1000
        [Expected("long", 1, 3, 100, 110, 120, "signal", 1000)],
        {"fill": "worst_of_bar", "initial_cash": 11_000.0},
        equity=[11_000, 10_500, 11_000, 12_000],
        exposed=[False, True, True, True],
    ),
    Table(
        "same_close fills at the close of the signal's own bar",
        UP,
        [Expected("long", 0, 2, 100, 100, 110, "signal", 1000)],
        {"fill": "same_close"},
        equity=[10_000, 10_500, 11_000, 11_000],
        exposed=[True, True, True, False],
    ),
    Table(
        "next_open shorts at the next open and covers at the next open",
        DOWN,
        # 10000 / 80 = 125 sold: cash 20000; covered at 40: 125 x 40 = 5000
        [Expected("short", 1, 3, 125, 80, 40, "signal", 5000, return_=0.5)],
        {"direction": "short_only"},
        equity=[10_000, 12_500, 13_750, 15_000],
        cash=[10_000, 20_000, 20_000, 15_000],
        position=[0, -125, -125, 0],
    ),
    Table(
        "worst_of_bar shorts at the low and covers at the high",
        DOWN,
        # 10000 / 50 = 200 sold at the low, covered at 45
        [Expected("short", 1, 3, 200, 50, 45, "signal", 1000)],
        {"direction": "short_only", "fill": "worst_of_bar"},
        equity=[10_000, 8_000, 10_000, 11_000],
    ),
    Table(
        "same_close shorts at the close and covers at the close",
        DOWN,
        [Expected("short", 0, 2, 100, 100, 50, "signal", 5000)],
        {"direction": "short_only", "fill": "same_close"},
        equity=[10_000, 14_000, 15_000, 15_000],
    ),
    Table(
        "next_open does not fill a signal of the last bar",
        [(100, 100, 100, 100, HOLD), (100, 100, 100, 100, BUY)],
        [],
        equity=[10_000, 10_000],
    ),
    Table(
        "worst_of_bar does not fill a signal of the last bar",
        [(100, 100, 100, 100, HOLD), (100, 100, 100, 100, BUY)],
        [],
        {"fill": "worst_of_bar"},
    ),
    Table(
        "same_close fills a signal of the last bar, and the trade stays open",
        [(100, 100, 100, 100, HOLD), (100, 100, 100, 100, BUY)],
        [Expected("long", 1, 1, 100, 100, 100, "open", 0, mae=0, mfe=0)],
        {"fill": "same_close"},
        position=[0, 100],
    ),
    Table(
        "one bar is a whole run",
        [(100, 110, 90, 105, BUY)],
        [],
        equity=[10_000],
        exposed=[False],
    ),
]

FLAT = (100, 100, 100, 100)
DIRECTIONS = [
    Table(
        "long_only drops SELL and EXIT while flat and BUY while long, and counts none of them",
        [
            (*FLAT, SELL),
            (*FLAT, EXIT),
            (*FLAT, BUY),
            (*FLAT, BUY),
            (*FLAT, SELL),
            (*FLAT, SELL),
            (*FLAT, HOLD),
        ],
        [Expected("long", 3, 5, 100, 100, 100, "signal", 0)],
    ),
    Table(
        "long_only closes by EXIT too",
        [(*FLAT, BUY), (*FLAT, EXIT), (110, 110, 110, 110, HOLD)],
        [Expected("long", 1, 2, 100, 100, 110, "signal", 1000)],
    ),
    Table(
        "short_only drops BUY and EXIT while flat and SELL while short, and opens no long",
        [
            (*FLAT, BUY),
            (*FLAT, EXIT),
            (*FLAT, SELL),
            (*FLAT, SELL),
            (*FLAT, BUY),
            (*FLAT, BUY),
            (*FLAT, HOLD),
        ],
        [Expected("short", 3, 5, 100, 100, 100, "signal", 0)],
        {"direction": "short_only"},
    ),
    Table(
        "short_only closes by EXIT too",
        [(*FLAT, SELL), (*FLAT, EXIT), (90, 90, 90, 90, HOLD)],
        [Expected("short", 1, 2, 100, 100, 90, "signal", 1000)],
        {"direction": "short_only"},
    ),
    Table(
        "SELL turns a long into a short in one fill, sized by the cash after the closing leg",
        [(*FLAT, BUY), (*FLAT, SELL), (120, 120, 120, 120, HOLD), (90, 90, 90, 90, HOLD)],
        # 100 long: cash 12000 at 120; 12000 / 120 = 100 short, cash 24000
        [
            Expected("long", 1, 2, 100, 100, 120, "signal", 2000),
            Expected("short", 2, 3, 100, 120, 90, "open", 3000),
        ],
        {"direction": "long_short"},
        equity=[10_000, 10_000, 12_000, 15_000],
        cash=[10_000, 0, 24_000, 24_000],
        position=[0, 100, -100, -100],
    ),
    Table(
        "BUY turns a short into a long in one fill, with both legs paying their commission",
        [
            (80, 80, 80, 80, SELL),
            (80, 80, 80, 80, BUY),
            (40, 40, 40, 40, HOLD),
        ],
        # short: 10000 / (80 x 1.25) = 100, cash 10000 + 8000 - 2000 = 16000
        # cover: 16000 - 4000 - 1000 = 11000; long: 11000 / (40 x 1.25) = 220, fee 2200
        [
            Expected("short", 1, 2, 100, 80, 40, "signal", 1000, commission=3000),
            Expected("long", 2, 2, 220, 40, 40, "open", -2200, commission=2200),
        ],
        {"direction": "long_short", "fee_rate": 0.25},
        cash=[10_000, 16_000, 0],
        equity=[10_000, 8_000, 8_800],
    ),
    Table(
        "worst_of_bar turns at the low for both legs",
        [(*FLAT, BUY), (*FLAT, SELL), (100, 120, 50, 100, HOLD)],
        [
            Expected("long", 1, 2, 100, 100, 50, "signal", -5000),
            Expected("short", 2, 2, 150, 50, 100, "open", -7500),
        ],
        # 100 long for half of 20000; sold at 50: cash 15000, half of it is 7500 / 50 = 150 short
        {"direction": "long_short", "fill": "worst_of_bar", "size": 0.5, "initial_cash": 20_000.0},
    ),
    Table(
        "same_close turns at the close",
        [(*FLAT, BUY), (100, 120, 90, 110, SELL), (100, 100, 100, 100, HOLD)],
        [
            Expected("long", 0, 1, 100, 100, 110, "signal", 1000),
            Expected("short", 1, 2, 100, 110, 100, "open", 1000),
        ],
        {"direction": "long_short", "fill": "same_close"},
        equity=[10_000, 11_000, 12_000],
    ),
    Table(
        "EXIT goes flat under long_short and does not turn",
        [(*FLAT, BUY), (*FLAT, EXIT), (*FLAT, SELL), (*FLAT, EXIT), (*FLAT, HOLD)],
        [
            Expected("long", 1, 2, 100, 100, 100, "signal", 0),
            Expected("short", 3, 4, 100, 100, 100, "signal", 0),
        ],
        {"direction": "long_short"},
        position=[0, 100, 0, -100, 0],
        exposed=[False, True, True, True, True],
    ),
]

COSTS = [
    Table(
        "slippage and commission: a long buys above and sells below the price",
        [(80, 80, 80, 80, BUY), (80, 80, 80, 80, SELL), (160, 160, 160, 160, HOLD)],
        # buy at 80 x 1.25 = 100: 10000 / (100 x 1.25) = 80 shares, fee 2000
        # sell at 160 x 0.75 = 120: 9600 - fee 2400 = 7200
        [Expected("long", 1, 2, 80, 100, 120, "signal", -2800, commission=4400, return_=-0.35)],
        {"fee_rate": 0.25, "slippage": 0.25},
        equity=[10_000, 6_400, 7_200],
        cash=[10_000, 0, 7_200],
    ),
    Table(
        "slippage and commission: a short sells below and covers above the price",
        [(100, 100, 100, 100, SELL), (100, 100, 100, 100, BUY), (40, 40, 40, 40, HOLD)],
        # sell at 75: 10000 / (75 x 1.25) = 320/3 shares, value 8000, fee 2000: cash 16000
        # cover at 50: value 16000/3, fee 4000/3: cash 16000 - 20000/3 = 28000/3
        [Expected("short", 1, 2, 320 / 3, 75, 50, "signal", -2000 / 3, commission=10_000 / 3)],
        {"fee_rate": 0.25, "slippage": 0.25, "direction": "short_only"},
        cash=[10_000, 16_000, 28_000 / 3],
    ),
    Table(
        "a fixed commission is set aside before the shares are bought, and paid again at the exit",
        [(99, 99, 99, 99, BUY), (99, 99, 99, 99, SELL), (110, 110, 110, 110, HOLD)],
        # (10000 - 100) / 99 = 100 shares; 11000 - 100 = 10900
        [Expected("long", 1, 2, 100, 99, 110, "signal", 900, commission=200)],
        {"fee_fixed": 100.0},
        cash=[10_000, 0, 10_900],
        equity=[10_000, 9_900, 10_900],
    ),
    Table(
        "an open trade has paid its entry's commission only, and is marked without slippage",
        [(80, 80, 80, 80, BUY), (80, 80, 80, 80, HOLD), (150, 150, 150, 150, HOLD)],
        [Expected("long", 1, 2, 80, 100, 150, "open", 2000, commission=2000, return_=0.25)],
        {"fee_rate": 0.25, "slippage": 0.25},
        equity=[10_000, 6_400, 12_000],
    ),
]


@pytest.mark.parametrize("table", TIMING + DIRECTIONS + COSTS, ids=lambda table: table.sentence)
def test_fills_lead_to_the_trades_worked_by_hand(table):
    check_table(table)
