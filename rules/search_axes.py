"""Axes of a search space: one swept name with its values, which are never written out.

An axis is a sequence of segments: ranges, kept as a few whole numbers, and short lists. The values
of a range are exact decimals: value i is ``(first + i * step) / 10**scale`` with whole numbers,
divided once. Both operands are exact in float64, being at most 10**15 and 10**22, so that the
quotient is the float64 nearest to the decimal, whether Python or numpy divides.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["int", "float", "bool", "choice"]
Group = Literal["params", "trading", "dataset"]

# Two decimals of up to 15 significant digits never share a float64, so that values can neither
# collide nor be missed by `Axis.index`; 10**22 is the largest power of ten that float64 holds.
MAX_NUMERATOR = 10**15
MAX_SCALE = 22
# Values of such an axis fit into a table; a longer one is computed segment by segment.
_TABLE_LENGTH = 4096
_MAX_SORTED_LENGTH = 1_000_000
_DTYPES: dict[str, Any] = {"int": np.int64, "float": np.float64, "bool": np.bool_, "choice": object}


@dataclass(frozen=True, slots=True)
class NumberRange:
    """Evenly spaced decimals ``(first + i * step) / 10**scale`` for i in [0, count).

    Parameters
    ----------
    first, step : int
        In units of ``10**-scale``; `step` is not 0, but may be negative.
    count : int
        At least 1.
    scale : int
        Digits after the decimal point, 0 to 22; 0 for whole numbers.
    """

    first: int
    step: int
    count: int
    scale: int

    @property
    def last(self) -> int:
        """The last value in units of ``10**-scale``."""
        return self.first + (self.count - 1) * self.step

    @property
    def text(self) -> str:
        """The range as a SPEC that is parsed into the same range."""
        return ":".join(self.format_number(n) for n in (self.first, self.last, self.step))

    def format_number(self, numerator: int) -> str:
        """Return a number in units of ``10**-scale`` as a plain decimal."""
        text = f"{Decimal(numerator).scaleb(-self.scale):f}"
        return text.rstrip("0").rstrip(".") if self.scale else text

    def find(self, number: Decimal) -> int | None:
        """Return i of the value that equals `number`, or None."""
        scaled = number.scaleb(self.scale)
        if scaled != scaled.to_integral_value():
            return None
        i, rest = divmod(int(scaled) - self.first, self.step)
        return i if rest == 0 and 0 <= i < self.count else None

    def find_common(self, other: NumberRange) -> Decimal | None:
        """Return a value that both ranges hold, or None: one congruence, whatever their lengths."""
        scale = max(self.scale, other.scale)
        low, high, step = self._rise(scale)
        other_low, other_high, other_step = other._rise(scale)
        divisor = math.gcd(step, other_step)
        if (other_low - low) % divisor:
            return None
        period = other_step // divisor
        i = (other_low - low) // divisor * pow(step // divisor, -1, period) % period
        # From the first solution on to the first one that is not below the other range.
        missing = max(0, other_low - (low + i * step))
        i += -(-missing // (step * period)) * period
        value = low + i * step
        return Decimal(value).scaleb(-scale) if value <= min(high, other_high) else None

    def _rise(self, scale: int) -> tuple[int, int, int]:
        """Return lowest and highest value and the distance between values, at `scale`."""
        factor = 10 ** (scale - self.scale)
        low, high = sorted((self.first * factor, self.last * factor))
        return low, high, abs(self.step) * factor


@dataclass(frozen=True, slots=True)
class ValueList:
    """Values that were named one by one; None is `off`."""

    items: tuple[Any, ...]

    @property
    def count(self) -> int:
        """Number of values."""
        return len(self.items)


Segment = NumberRange | ValueList


@dataclass(frozen=True)
class Axis(Sequence[Any]):
    """One swept name with its values, which differ from one another.

    Parameters
    ----------
    name : str
        Of the rule's parameter or trading setting, or ``dataset``.
    group : {"params", "trading", "dataset"}
        Where the name belongs.
    kind : {"int", "float", "bool", "choice"}
        Type of the values; None (`off`) may be among floats.
    segments : tuple of NumberRange or ValueList
        In the order of the request; the position of a value among all of them is its `digit`.
    """

    name: str
    group: Group
    kind: Kind
    segments: tuple[Segment, ...]

    @cached_property
    def _ends(self) -> tuple[int, ...]:
        return tuple(accumulate(segment.count for segment in self.segments))

    @cached_property
    def _digit_of_item(self) -> dict[Any, int]:
        starts = (0, *self._ends)
        return {
            item: start + i
            for segment, start in zip(self.segments, starts, strict=False)
            if isinstance(segment, ValueList)
            for i, item in enumerate(segment.items)
        }

    @property
    def is_ordered(self) -> bool:
        """Whether one value can be next to another: numbers, but not names or flags."""
        return self.kind in ("int", "float")

    @property
    def n_values(self) -> int:
        """Number of values, also where it exceeds what ``len`` may return."""
        return self._ends[-1]

    def __len__(self) -> int:
        return self.n_values

    def __iter__(self) -> Iterator[Any]:
        return (self._get(digit) for digit in range(self.n_values))

    def __getitem__(self, digit: Any) -> Any:
        """Return the value at `digit`; negative digits count from the end."""
        if isinstance(digit, slice):
            return [self._get(i) for i in range(*digit.indices(self.n_values))]
        i = int(digit) + self.n_values if digit < 0 else int(digit)
        if not 0 <= i < self.n_values:
            raise IndexError(f"{self.name} has {self.n_values} values, none numbered {digit}")
        return self._get(i)

    def _get(self, digit: int) -> Any:
        at = bisect_right(self._ends, digit)
        segment = self.segments[at]
        i = digit - (self._ends[at - 1] if at else 0)
        if isinstance(segment, ValueList):
            return segment.items[i]
        numerator = segment.first + i * segment.step
        # Python divides whole numbers with correct rounding.
        return numerator if self.kind == "int" else numerator / 10**segment.scale

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """Return the digit of a value.

        Parameters
        ----------
        value : int, float, bool, str or None
            None or NaN is `off`.
        start, stop : int
            As for any sequence: the range of digits to accept.

        Raises
        ------
        ValueError
            If the axis does not hold the value.
        """
        digit = self._find(value)
        if digit is None or not start <= digit < (self.n_values if stop is None else stop):
            raise ValueError(f"{value!r} is not on the axis {self.name}")
        return digit

    def _find(self, value: Any) -> int | None:
        is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not self.is_ordered:
            value = bool(value) if isinstance(value, np.bool_) else value
            is_right = isinstance(value, bool) if self.kind == "bool" else isinstance(value, str)
            return self._digit_of_item.get(value) if is_right else None
        if value is None or (is_number and value != value):
            return self._digit_of_item.get(None)
        if not is_number or math.isinf(value):
            return None
        found = self._digit_of_item.get(value)
        if found is not None:
            return found
        # The shortest decimal that reads as this float64; see MAX_NUMERATOR.
        exact = isinstance(value, int | np.integer)
        number = Decimal(int(value)) if exact else Decimal(repr(float(value)))
        for segment, end in zip(self.segments, self._ends, strict=True):
            i = segment.find(number) if isinstance(segment, NumberRange) else None
            if i is not None:
                return end - segment.count + i
        return None

    def values(self, digits: NDArray[np.int64]) -> NDArray[Any]:
        """Return the values at `digits`, with the bits of ``axis[digit]``.

        Parameters
        ----------
        digits : ndarray of int64, shape (n,)
            Each in [0, len(axis)); not checked.

        Returns
        -------
        ndarray, shape (n,)
            float64 (`off` is NaN), int64, bool or object, by the kind of the axis.
        """
        if self.n_values <= _TABLE_LENGTH:
            return self._table[digits]
        return self._compute_values(np.asarray(digits, np.int64))

    @cached_property
    def _table(self) -> NDArray[Any]:
        table = self._compute_values(np.arange(self.n_values, dtype=np.int64))
        table.setflags(write=False)
        return table

    def _compute_values(self, digits: NDArray[np.int64]) -> NDArray[Any]:
        if len(self.segments) == 1:
            return self._compute_segment(self.segments[0], digits)
        out = np.empty(digits.shape, _DTYPES[self.kind])
        at = np.searchsorted(np.asarray(self._ends, np.int64), digits, side="right")
        for i in np.unique(at):
            chosen = at == i
            start = self._ends[i - 1] if i else 0
            out[chosen] = self._compute_segment(self.segments[i], digits[chosen] - start)
        return out

    def _compute_segment(self, segment: Segment, digits: NDArray[np.int64]) -> NDArray[Any]:
        if isinstance(segment, NumberRange):
            numerators = segment.first + digits * segment.step
            return numerators if self.kind == "int" else numerators / float(10**segment.scale)
        items = [math.nan if item is None else item for item in segment.items]
        return np.array(items, _DTYPES[self.kind])[digits]

    @cached_property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest number on the axis, `off` left out; (inf, -inf) without a number."""
        found: list[float] = []
        for segment in self.segments:
            if isinstance(segment, NumberRange):
                found += [n / 10**segment.scale for n in (segment.first, segment.last)]
            else:
                found += [float(item) for item in segment.items if item is not None]
        return min(found, default=math.inf), max(found, default=-math.inf)

    @property
    def has_off(self) -> bool:
        """Whether `off` is among the values."""
        return None in self._digit_of_item

    def neighbour_order(self) -> NDArray[np.int64] | None:
        """Return the digits sorted by level, `off` beyond the largest; None if unordered.

        Raises
        ------
        ValueError
            If the axis has more than 1,000,000 values.
        """
        if not self.is_ordered:
            return None
        if self.n_values > _MAX_SORTED_LENGTH:
            raise ValueError(f"{self.name} has {self.n_values} values, too many to sort")
        levels = self.values(np.arange(self.n_values, dtype=np.int64))
        return np.argsort(levels, kind="stable")  # NaN, that is `off`, sorts last

    def to_spec(self) -> str | list[Any]:
        """Return what a request would hold: SPEC text, or a list of names or flags."""
        if not self.is_ordered:
            return list(self)
        parts: list[str] = []
        for segment in self.segments:
            if isinstance(segment, NumberRange):
                parts.append(segment.text)
            else:
                parts += ["off" if item is None else repr(item) for item in segment.items]
        return ",".join(parts)
