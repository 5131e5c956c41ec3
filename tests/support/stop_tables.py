"""What tables of stops share: entries of 100 shares at 100, so that levels are exact in binary.

A stop of 0.125 lies at 87.5 and a profit of 0.25 at 125.
"""

from __future__ import annotations

from tests.support.engine_tables import Expected

FLAT = (100, 100, 100, 100)
STOP = {"stop_loss": 0.125}
PROFIT = {"take_profit": 0.25}
TRAIL = {"trailing_stop": 0.25}
SHORT = {"direction": "short_only"}


def long(exit_idx, exit_price, reason, **known):
    pnl = 100.0 * (exit_price - 100.0)
    return Expected("long", 1, exit_idx, 100, 100, exit_price, reason, pnl, **known)


def short(exit_idx, exit_price, reason, **known):
    pnl = 100.0 * (100.0 - exit_price)
    return Expected("short", 1, exit_idx, 100, 100, exit_price, reason, pnl, **known)
