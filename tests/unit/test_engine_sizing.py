"""Sizes, weights, lots, cuts and rejected orders, worked by hand; definitions.md section 2."""

from __future__ import annotations

import pytest

from tests.support.engine_tables import BUY, HOLD, SELL, Expected, Table, check_table

FLAT = (100, 100, 100, 100)
ENTER = [(*FLAT, BUY), (*FLAT, HOLD), (110, 110, 110, 110, HOLD)]
SHORTEN = [(*FLAT, SELL), (*FLAT, HOLD), (90, 90, 90, 90, HOLD)]


def held(shares, pnl, **known):
    return [Expected("long", 1, 2, shares, 100, 110, "open", pnl, **known)]


def short(shares, pnl, **known):
    return [Expected("short", 1, 2, shares, 100, 90, "open", pnl, **known)]


SIZES = [
    Table("percent takes a fraction of the cash", ENTER, held(25, 250), {"size": 0.25}),
    Table(
        "percent shorts a fraction of the cash",
        SHORTEN,
        short(25, 250),
        {"size": 0.25, "direction": "short_only"},
        cash=[10_000, 12_500, 12_500],
    ),
    Table(
        "percent counts commission into its budget",
        ENTER,
        # budget 5000 = q x 100 x 1.25 + 0: q = 40
        held(40, 40 * 10 - 1000, commission=1000),
        {"size": 0.5, "fee_rate": 0.25},
        cash=[10_000, 5_000, 5_000],
    ),
    Table(
        "value spends the amount, commissions included",
        ENTER,
        # (2550 - 50) / (100 x 1.25) = 20; fee 500 + 50
        held(20, 200 - 550, commission=550),
        {"size": 2550.0, "size_type": "value", "fee_rate": 0.25, "fee_fixed": 50.0},
        cash=[10_000, 7_450, 7_450],
    ),
    Table(
        "value is cut to the cash",
        ENTER,
        held(100, 1000),
        {"size": 1e6, "size_type": "value"},
        cash=[10_000, 0, 0],
    ),
    Table(
        "value shorts the amount, commissions taken off it",
        SHORTEN,
        # 2500 / 125 = 20 shares; 2000 - 500 are received
        short(20, 200 - 500, commission=500),
        {"size": 2500.0, "size_type": "value", "fee_rate": 0.25, "direction": "short_only"},
        cash=[10_000, 11_500, 11_500],
    ),
    Table(
        "shares buys that number",
        ENTER,
        held(30, 300),
        {"size": 30.0, "size_type": "shares"},
        cash=[10_000, 7_000, 7_000],
    ),
    Table(
        "shares is cut to what the cash pays for, commissions included",
        ENTER,
        # (10000 - 1000) / (100 x 1.25) = 72; fee 1800 + 1000
        held(72, 720 - 2800, commission=2800),
        {"size": 500.0, "size_type": "shares", "fee_rate": 0.25, "fee_fixed": 1000.0},
        cash=[10_000, 0, 0],
    ),
    Table(
        "a short is cut to the same number as a long",
        SHORTEN,
        short(100, 1000),
        {"size": 500.0, "size_type": "shares", "direction": "short_only"},
    ),
    Table(
        "the size follows the cash from trade to trade",
        [
            (*FLAT, BUY),
            (*FLAT, SELL),
            (200, 200, 200, 200, BUY),
            (100, 100, 100, 100, HOLD),
        ],
        [
            Expected("long", 1, 2, 50, 100, 200, "signal", 5000),
            Expected("long", 3, 3, 75, 100, 100, "open", 0),
        ],
        {"size": 0.5},
    ),
]

WEIGHTS = [
    Table(
        "the weight of the deciding bar multiplies the fraction",
        ENTER,
        held(12.5, 125),
        {"size": 0.5},
        weight=[0.25, 1.0, 1.0],
    ),
    Table(
        "under same_close the deciding bar is the bar of the fill",
        ENTER,
        [Expected("long", 0, 2, 25, 100, 110, "open", 250)],
        {"fill": "same_close"},
        weight=[0.25, 1.0, 1.0],
    ),
    Table(
        "the weight multiplies the amount",
        ENTER,
        held(10, 100),
        {"size": 4000.0, "size_type": "value"},
        weight=[0.25, 1.0, 1.0],
    ),
    Table(
        "the amount is weighted before it is cut to the cash",
        ENTER,
        held(100, 1000),
        {"size": 40_000.0, "size_type": "value"},
        weight=[0.5, 1.0, 1.0],
    ),
    Table(
        "the weight multiplies the number of shares",
        ENTER,
        held(10, 100),
        {"size": 40.0, "size_type": "shares"},
        weight=[0.25, 1.0, 1.0],
    ),
    Table(
        "a weight of zero rejects the entry, and only the entry: the exit closes everything",
        [(*FLAT, BUY), (*FLAT, BUY), (*FLAT, SELL), (110, 110, 110, 110, HOLD)],
        [Expected("long", 2, 3, 100, 100, 110, "signal", 1000)],
        weight=[0.0, 1.0, 0.0, 0.0],
        rejected=1,
    ),
]

LOTS = [
    Table(
        "shares are rounded down to a multiple of the lot",
        [(30, 30, 30, 30, BUY), (30, 30, 30, 30, HOLD), (40, 40, 40, 40, HOLD)],
        # 10000 / 30 = 333.3: three lots of 100; 1000 stays in cash
        [Expected("long", 1, 2, 300, 30, 40, "open", 3000)],
        {"lot_size": 100.0},
        cash=[10_000, 1_000, 1_000],
        equity=[10_000, 10_000, 13_000],
    ),
    Table(
        "a lot may be a fraction of a share",
        [(30, 30, 30, 30, BUY), (30, 30, 30, 30, HOLD), (40, 40, 40, 40, HOLD)],
        [Expected("long", 1, 2, 333.25, 30, 40, "open", 3332.5)],
        {"lot_size": 0.25},
    ),
    Table(
        "an exact multiple is kept whole",
        ENTER,
        held(100, 1000),
        {"lot_size": 50.0},
    ),
    Table(
        "a lot cuts the number of shares too",
        ENTER,
        held(30, 300),
        {"lot_size": 15.0, "size": 44.0, "size_type": "shares"},
    ),
    Table(
        "shorts are rounded to lots as well",
        [(30, 30, 30, 30, SELL), (30, 30, 30, 30, HOLD), (20, 20, 20, 20, HOLD)],
        [Expected("short", 1, 2, 300, 30, 20, "open", 3000)],
        {"lot_size": 100.0, "direction": "short_only"},
        cash=[10_000, 19_000, 19_000],
    ),
]

REJECTS = [
    Table(
        "less than one lot is a rejected order, each time it is tried",
        [(*FLAT, BUY), (*FLAT, BUY), (*FLAT, HOLD)],
        [],
        {"lot_size": 101.0},
        rejected=2,
        cash=[10_000, 10_000, 10_000],
        exposed=[False, False, False],
    ),
    Table(
        "a fixed commission that takes all the cash rejects the order",
        [(*FLAT, BUY), (*FLAT, HOLD)],
        [],
        {"fee_fixed": 10_000.0},
        rejected=1,
    ),
    Table(
        "the same for a number of shares, and for a short",
        [(*FLAT, SELL), (*FLAT, HOLD)],
        [],
        {
            "fee_fixed": 10_001.0,
            "size": 5.0,
            "size_type": "shares",
            "direction": "short_only",
        },
        rejected=1,
    ),
    Table(
        "an amount below the fixed commission is rejected",
        [(*FLAT, BUY), (*FLAT, HOLD)],
        [],
        {"fee_fixed": 100.0, "size": 100.0, "size_type": "value"},
        rejected=1,
    ),
    Table(
        "an order that would fill after the last bar is neither filled nor rejected",
        [(*FLAT, HOLD), (*FLAT, BUY)],
        [],
        {"lot_size": 101.0},
        rejected=0,
    ),
    Table(
        "a reversal whose opening leg is too small keeps its closing leg",
        [(80, 80, 80, 80, BUY), (80, 80, 80, 80, SELL), (80, 80, 80, 80, HOLD)],
        # 10000 / (80 x 1.25) = 100; sold for 8000 - 2000 = 6000; 6000 / 100 = 60, under a lot
        [Expected("long", 1, 2, 100, 80, 80, "signal", -4000, commission=4000)],
        {"direction": "long_short", "fee_rate": 0.25, "lot_size": 100.0},
        rejected=1,
        cash=[10_000, 0, 6_000],
        position=[0, 100, 0],
        exposed=[False, True, True],
    ),
    Table(
        "a reversal from short to long is rejected in its opening leg alike",
        [(*FLAT, SELL), (*FLAT, BUY), (*FLAT, HOLD)],
        [Expected("short", 1, 2, 100, 100, 100, "signal", 0)],
        {"direction": "long_short"},
        weight=[1.0, 0.0, 0.0],
        rejected=1,
        position=[0, -100, 0],
    ),
]


@pytest.mark.parametrize(
    "table", SIZES + WEIGHTS + LOTS + REJECTS, ids=lambda table: table.sentence
)
def test_sizes_lead_to_the_trades_worked_by_hand(table):
    check_table(table)
