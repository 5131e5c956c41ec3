"""Interval arithmetic over constraints: whether one can hold at all, without trying every point.

Rounding to float64 is monotone, so the ends of a sum, difference, product or quotient, computed as
the evaluation computes them, bound everything in between without rounding outwards.
"""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a number lies; empty (low > high) if it never has a value.

    Parameters
    ----------
    low, high : float
        Inclusive.
    may_be_undefined : bool
        Whether it may be NaN: an option that is off, or a division by zero.
    """

    low: float
    high: float
    may_be_undefined: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether the number never has a value."""
        return self.low > self.high


_UNKNOWN = Interval(-math.inf, math.inf, True)


def combine_intervals(operator: type[ast.operator], left: Interval, right: Interval) -> Interval:
    """Return where the result of an operation lies; never too narrow."""
    undefined = left.may_be_undefined or right.may_be_undefined
    if left.is_empty or right.is_empty:
        return Interval(math.inf, -math.inf, True)
    if operator is ast.Add:
        corners = [left.low + right.low, left.high + right.high]
    elif operator is ast.Sub:
        corners = [left.low - right.high, left.high - right.low]
    elif operator is ast.Mult:
        corners = [x * y for x in (left.low, left.high) for y in (right.low, right.high)]
    elif right.low <= 0 <= right.high:
        return _UNKNOWN
    elif operator is ast.Mod:
        corners = [0.0, right.low, right.high]
    else:
        corners = [x / y for x in (left.low, left.high) for y in (right.low, right.high)]
        if operator is ast.FloorDiv:
            # It goes by the exact remainder and may differ from the rounded quotient.
            slack = 1 + 1e-12 * max(map(abs, corners))
            corners = [min(corners) - slack, max(corners) + slack]
    if not all(map(math.isfinite, corners)):
        return _UNKNOWN
    return Interval(min(corners), max(corners), undefined)


def decide_comparison(operator: type[ast.cmpop], left: Interval, right: Interval) -> bool | None:
    """Return True if the comparison always holds, False if never, None if that is not known."""
    if left.is_empty or right.is_empty:
        return False
    always, never = _compare(operator, left, right)
    if never:
        return False
    return True if always and not (left.may_be_undefined or right.may_be_undefined) else None


def _compare(operator: type[ast.cmpop], left: Interval, right: Interval) -> tuple[bool, bool]:
    """Return whether a comparison of defined numbers always holds, and whether it never does."""
    if operator is ast.Lt:
        return left.high < right.low, left.low >= right.high
    if operator is ast.LtE:
        return left.high <= right.low, left.low > right.high
    if operator is ast.Gt:
        return left.low > right.high, left.high <= right.low
    if operator is ast.GtE:
        return left.low >= right.high, left.high < right.low
    apart = left.high < right.low or left.low > right.high
    same = left.low == left.high == right.low == right.high
    return (apart, same) if operator is ast.NotEq else (same, apart)
