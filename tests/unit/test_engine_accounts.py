"""Financing, ruin, open trades and excursions, worked by hand; definitions.md sections 2 and 3.

A period is a year in these tables, so that an annual rate is the rate per bar.
"""

from __future__ import annotations

import pytest

from tests.support.engine_tables import (
    BUY,
    EXIT,
    HOLD,
    SELL,
    Expected,
    Table,
    check_table,
    run_rows,
)

FLAT = (100, 100, 100, 100)
SHORT = {"direction": "short_only"}

FINANCING = [
    Table(
        "cash earns its rate on every bar but the first",
        [(*FLAT, HOLD), (*FLAT, HOLD), (*FLAT, HOLD)],
        [],
        {"cash_rate": 0.5},
        equity=[10_000, 15_000, 22_500],
        interest=12_500,
        exposed=[False, False, False],
    ),
    Table(
        "interest is credited before the pending order fills, and spent by it",
        [(*FLAT, BUY), (*FLAT, HOLD), (110, 110, 110, 110, HOLD)],
        [Expected("long", 1, 2, 150, 100, 110, "open", 1500)],
        {"cash_rate": 0.5},
        cash=[10_000, 0, 0],
        equity=[10_000, 15_000, 16_500],
        interest=5_000,
    ),
    Table(
        "under same_close the fill at the close comes after the bar's interest",
        [(*FLAT, HOLD), (*FLAT, BUY), (*FLAT, HOLD)],
        [Expected("long", 1, 2, 150, 100, 100, "open", 0)],
        {"cash_rate": 0.5, "fill": "same_close"},
        interest=5_000,
    ),
    Table(
        "the proceeds of a short earn nothing: cash - 2 S is what counts",
        [(*FLAT, SELL), (100, 100, 50, 50, HOLD), (50, 50, 50, 50, HOLD)],
        # bar 1: 15000 before the fill, 150 short, cash 30000; S at close[1] = 7500
        # bar 2: 0.5 x (30000 - 15000) = 7500
        [Expected("short", 1, 2, 150, 100, 50, "open", 7500)],
        SHORT | {"cash_rate": 0.5},
        cash=[10_000, 30_000, 37_500],
        equity=[10_000, 22_500, 30_000],
        interest=12_500,
    ),
    Table(
        "a short worth more than half the cash earns no interest, and pays none",
        [(*FLAT, SELL), (100, 120, 100, 120, HOLD), (120, 120, 120, 120, HOLD)],
        # S = 150 x 120 = 18000, cash 30000 - 36000 < 0
        [Expected("short", 1, 2, 150, 100, 120, "open", -3000)],
        SHORT | {"cash_rate": 0.5},
        cash=[10_000, 30_000, 30_000],
        interest=5_000,
    ),
    Table(
        "a short pays for its shares at the close before, from the bar after its fill",
        [
            (*FLAT, SELL),
            (100, 120, 100, 120, HOLD),
            (90, 90, 90, 90, BUY),
            (90, 90, 90, 90, HOLD),
            (90, 90, 90, 90, HOLD),
        ],
        # 100 short; bar 2 pays 0.25 x 12000 = 3000, bar 3 pays 0.25 x 9000 = 2250 and covers
        [Expected("short", 1, 3, 100, 100, 90, "signal", 1000)],
        SHORT | {"borrow_rate": 0.25},
        cash=[10_000, 20_000, 17_000, 5_750, 5_750],
        equity=[10_000, 8_000, 8_000, 5_750, 5_750],
        interest=-5_250,
    ),
    Table(
        "both rates act in one bar",
        [(*FLAT, SELL), (100, 100, 50, 50, HOLD), (50, 50, 50, 50, HOLD)],
        # bar 2: 0.5 x (30000 - 15000) - 0.25 x 7500 = 5625
        [Expected("short", 1, 2, 150, 100, 50, "open", 7500)],
        SHORT | {"cash_rate": 0.5, "borrow_rate": 0.25},
        cash=[10_000, 30_000, 35_625],
        interest=10_625,
    ),
    Table(
        "a long pays no financing, and its idle cash earns",
        [(*FLAT, BUY), (*FLAT, HOLD), (*FLAT, HOLD)],
        # 15000 at bar 1, half of it spent; 0.5 x 7500 = 3750
        [Expected("long", 1, 2, 75, 100, 100, "open", 0)],
        {"cash_rate": 0.5, "borrow_rate": 0.25, "size": 0.5},
        cash=[10_000, 7_500, 11_250],
        interest=8_750,
    ),
    Table(
        "a negative rate shrinks the cash",
        [(*FLAT, HOLD), (*FLAT, HOLD)],
        [],
        {"cash_rate": -0.25},
        equity=[10_000, 7_500],
        interest=-2_500,
    ),
]

RUIN = [
    Table(
        "equity of exactly zero is ruin: the position is closed, and nothing happens afterwards",
        [
            (*FLAT, SELL),
            (*FLAT, HOLD),
            (150, 200, 150, 200, BUY),
            (100, 100, 100, 100, SELL),
            (50, 50, 50, 50, HOLD),
        ],
        [Expected("short", 1, 2, 100, 100, 200, "ruin", -10_000, return_=-1.0)],
        {"direction": "long_short"},
        equity=[10_000, 10_000, 0, 0, 0],
        cash=[10_000, 20_000, 0, 0, 0],
        position=[0, -100, 0, 0, 0],
        exposed=[False, True, True, False, False],
        ruin_idx=2,
    ),
    Table(
        "the loss beyond the cash is kept, never floored",
        [(*FLAT, SELL), (*FLAT, HOLD), (150, 250, 150, 250, HOLD), (100, 100, 100, 100, HOLD)],
        [Expected("short", 1, 2, 100, 100, 250, "ruin", -15_000)],
        SHORT,
        equity=[10_000, 10_000, -5_000, -5_000],
        ruin_idx=2,
    ),
    Table(
        "ruin closes with slippage and commission",
        [(160, 160, 160, 160, SELL), (160, 160, 120, 120, HOLD), (200, 260, 200, 260, HOLD)],
        # sold at 160 x 0.75 = 120: 15000 / (120 x 1.25) = 100, 12000 - 3000: cash 24000
        # mark: 24000 - 26000 < 0; covered at 260 x 1.25 = 325: 32500 + fee 8125: cash -16625
        [Expected("short", 1, 2, 100, 120, 325, "ruin", -31_625, commission=11_125)],
        SHORT | {"initial_cash": 15_000.0, "slippage": 0.25, "fee_rate": 0.25},
        equity=[15_000, 12_000, -16_625],
        ruin_idx=2,
    ),
    Table(
        "ruin is tested at the mark, not at the high",
        [(*FLAT, SELL), (*FLAT, HOLD), (150, 900, 150, 150, HOLD), (*FLAT, HOLD)],
        [Expected("short", 1, 3, 100, 100, 100, "open", 0)],
        SHORT,
        equity=[10_000, 10_000, 5_000, 10_000],
    ),
    Table(
        "a stop that leaves a debt is a stop, and the mark of its bar is ruin",
        [(*FLAT, SELL), (*FLAT, HOLD), (250, 260, 90, 100, HOLD), (*FLAT, SELL), (*FLAT, HOLD)],
        [Expected("short", 1, 2, 100, 100, 250, "stop_loss", -15_000)],
        SHORT | {"stop_loss": 0.125},
        equity=[10_000, 10_000, -5_000, -5_000, -5_000],
        position=[0, -100, 0, 0, 0],
        exposed=[False, True, True, False, False],
        ruin_idx=2,
    ),
    Table(
        "a reversal with a debt closes its short, is rejected, and is ruined at the mark",
        [(*FLAT, SELL), (*FLAT, BUY), (300, 300, 100, 100, HOLD), (*FLAT, BUY), (*FLAT, HOLD)],
        [Expected("short", 1, 2, 100, 100, 300, "signal", -20_000)],
        {"direction": "long_short"},
        cash=[10_000, 20_000, -10_000, -10_000, -10_000],
        rejected=1,
        ruin_idx=2,
    ),
    Table(
        "a long is ruined by the commission of its exit",
        [(50, 50, 50, 50, BUY), (50, 50, 50, 50, SELL), (10, 10, 10, 10, BUY), (*FLAT, HOLD)],
        # (10000 - 5000) / 50 = 100 shares; 1000 - 5000 = -4000
        [Expected("long", 1, 2, 100, 50, 10, "signal", -14_000)],
        {"fee_fixed": 5_000.0},
        cash=[10_000, 0, -4_000, -4_000],
        ruin_idx=2,
    ),
    Table(
        "ruin can be the bar of the fill",
        [(*FLAT, SELL), (100, 200, 100, 200, HOLD), (*FLAT, HOLD)],
        [Expected("short", 1, 1, 100, 100, 200, "ruin", -10_000)],
        SHORT,
        equity=[10_000, 0, 0],
        exposed=[False, True, False],
        ruin_idx=1,
    ),
    Table(
        "financing stops with ruin",
        [(*FLAT, SELL), (*FLAT, HOLD), (250, 250, 250, 250, HOLD), (*FLAT, HOLD), (*FLAT, HOLD)],
        # bar 2 pays 0.25 x 10000; then the mark 17500 - 25000
        [Expected("short", 1, 2, 100, 100, 250, "ruin", -15_000)],
        SHORT | {"borrow_rate": 0.25},
        equity=[10_000, 10_000, -7_500, -7_500, -7_500],
        interest=-2_500,
        ruin_idx=2,
    ),
]

# The entry bar's range is 60 ... 140, the next 80 ... 115, the third 90 ... 130.
RANGE = [
    (*FLAT, BUY),
    (100, 140, 60, 100, HOLD),
    (100, 115, 80, 100, SELL),
    (110, 130, 90, 105, HOLD),
]
RANGE_DOWN = [(o, h, low, c, -signal) for o, h, low, c, signal in RANGE]

EXCURSIONS = [
    Table(
        "next_open: from the entry bar to the bar before the exit, plus the exit price",
        RANGE,
        [Expected("long", 1, 3, 100, 100, 110, "signal", 1000, mae=-0.4, mfe=0.4)],
    ),
    Table(
        "same_close: from the bar after the entry to the exit's own bar",
        RANGE[1:],
        # no signal in the first of these rows: nothing happens
        [],
        {"fill": "same_close"},
    ),
    Table(
        "same_close: the entry bar is left out, the exit bar is in",
        RANGE,
        [Expected("long", 0, 2, 100, 100, 100, "signal", 0, mae=-0.4, mfe=0.4)],
        {"fill": "same_close"},
    ),
    Table(
        "same_close: the range of the bar of the entry does not count",
        [(100, 190, 10, 100, BUY), (100, 105, 95, 100, SELL)],
        [Expected("long", 0, 1, 100, 100, 100, "signal", 0, mae=-0.05, mfe=0.05)],
        {"fill": "same_close"},
    ),
    Table(
        "worst_of_bar: the entry bar is in, the exit bar is not",
        RANGE,
        # bought at 140, sold at 90; lowest low 60 on the way, highest high 140
        [Expected("long", 1, 3, 100, 140, 90, "signal", -5000, mae=-80 / 140, mfe=0)],
        {"fill": "worst_of_bar", "initial_cash": 14_000.0},
    ),
    Table(
        "a short's excursions are signed in its favour",
        RANGE_DOWN,
        [Expected("short", 1, 3, 100, 100, 110, "signal", -1000, mae=-0.4, mfe=0.4)],
        SHORT,
    ),
    Table(
        "a short that only fell has no adverse excursion",
        [(*FLAT, SELL), (100, 100, 90, 95, HOLD), (95, 98, 70, 80, BUY), (85, 99, 60, 80, HOLD)],
        [Expected("short", 1, 3, 100, 100, 85, "signal", 1500, mae=0, mfe=0.3)],
        SHORT,
    ),
    Table(
        "a stop's bar counts by its exit price only",
        [(*FLAT, BUY), (100, 104, 96, 100, HOLD), (100, 150, 50, 100, HOLD)],
        [Expected("long", 1, 2, 100, 100, 87.5, "stop_loss", -1250, mae=-0.125, mfe=0.04)],
        {"stop_loss": 0.125},
    ),
    Table(
        "a profit's bar counts by its exit price only",
        [(*FLAT, BUY), (100, 104, 96, 100, HOLD), (100, 150, 50, 100, HOLD)],
        [Expected("long", 1, 2, 100, 100, 125, "take_profit", 2500, mae=-0.04, mfe=0.25)],
        {"take_profit": 0.25},
    ),
    Table(
        "an open trade includes its last bar",
        [*RANGE[:2], (100, 150, 50, 100, HOLD)],
        [Expected("long", 1, 2, 100, 100, 100, "open", 0, mae=-0.5, mfe=0.5)],
    ),
    Table(
        "ruin includes its bar",
        [(*FLAT, SELL), (*FLAT, HOLD), (150, 400, 75, 200, HOLD)],
        [Expected("short", 1, 2, 100, 100, 200, "ruin", -10_000, mae=-3.0, mfe=0.25)],
        SHORT,
        ruin_idx=2,
    ),
]


@pytest.mark.parametrize("table", FINANCING + RUIN + EXCURSIONS, ids=lambda table: table.sentence)
def test_accounts_lead_to_the_numbers_worked_by_hand(table):
    check_table(table)


def test_annual_rates_are_taken_to_the_bar_by_compounding():
    rows = [(*FLAT, HOLD)] * 5
    result = run_rows(rows, {"cash_rate": 0.4641}, periods_per_year=4.0)
    # 1.1^4 = 1.4641: 10 % per bar
    assert result.equity.tolist() == pytest.approx([10_000, 11_000, 12_100, 13_310, 14_641])


def test_the_periods_per_year_of_the_request_override_those_of_the_bars():
    rows = [(*FLAT, HOLD)] * 2
    result = run_rows(rows, {"cash_rate": 0.21, "periods_per_year": 2.0}, periods_per_year=252.0)
    assert result.equity.tolist() == pytest.approx([10_000, 11_000])


def test_fills_are_listed_in_the_order_they_happened_with_price_and_commission():
    rows = [(*FLAT, BUY), (*FLAT, SELL), (200, 200, 200, 200, EXIT), (100, 100, 100, 100, HOLD)]
    result = run_rows(rows, {"direction": "long_short", "fee_fixed": 100.0})
    fills = result.fills
    assert fills.bar_idx.tolist() == [1, 2, 2, 3]
    assert fills.side.tolist() == [1, -1, -1, 1]
    # (10000 - 100) / 100 = 99; cash 19800 - 100 = 19700; (19700 - 100) / 200 = 98
    assert fills.shares.tolist() == [99, 99, 98, 98]
    assert fills.price.tolist() == [100, 200, 200, 100]
    assert fills.commission.tolist() == [100, 100, 100, 100]
    assert result.fill_value == 9_900 + 19_800 + 19_600 + 9_800


def test_no_zero_carries_a_sign():
    rows = [(*FLAT, SELL), (*FLAT, BUY), (*FLAT, HOLD)]
    trades = run_rows(rows, SHORT).trades
    for name in ("pnl", "return_", "mae", "mfe"):
        assert str(getattr(trades, name)[0]) == "0.0", name
