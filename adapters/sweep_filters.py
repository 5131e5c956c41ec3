"""Conditions on metrics and parameters by which a ranking is narrowed.

Imported by the web tier: numpy and the standard library only.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adapters.sweep_columns import HEADLINE_METRICS, PointArray
from backtest.errors import FieldError, InputError
from rules.rule_validator import suggest_name
from rules.spec import coerce_text

if TYPE_CHECKING:
    from rules.search_axes import Axis
    from rules.search_space import SearchSpace

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
}
_FILTER = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(>=|<=|==|=|>|<)\s*(\S+)\s*")
_EXAMPLE = "write NAME, one of > >= < <= =, and a value, for example max_drawdown>-0.3"

Value = float | int | bool | str | None


@dataclass(frozen=True)
class Filter:
    """One condition: a headline metric or a swept or fixed parameter against a value.

    Attributes
    ----------
    metric : str
        Name of the metric or parameter.
    op : str
        One of ``> >= < <= =``.
    value : float, int, bool, str or None
        A number for metrics; None is `off`.
    """

    metric: str
    op: str
    value: Value

    @property
    def is_metric(self) -> bool:
        """Whether it is about a metric, not a parameter."""
        return self.metric in HEADLINE_METRICS

    def to_json_dict(self) -> dict[str, Any]:
        """Return the condition as JSON; ``Filter(**document)`` reads it."""
        return asdict(self)

    def test(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return where `values`, shape (n,), meet the condition; NaN never does."""
        result: NDArray[np.bool_] = _OPERATORS[self.op](values, self.value)
        return result


def parse_filters(texts: Sequence[str], space: SearchSpace) -> list[Filter]:
    """Read conditions such as ``max_drawdown>-0.3``, ``window<=20`` or ``direction=long_only``.

    Raises
    ------
    InputError
        With every condition that cannot be read, and why.
    """
    filters, errors = [], []
    for text in texts:
        match = _FILTER.fullmatch(text)
        if match is None:
            errors.append(FieldError("filter", text, _EXAMPLE))
            continue
        found = Filter(match[1], match[2].replace("==", "="), coerce_text(match[3]))
        problem = _find_problem(found, space)
        if problem:
            errors.append(FieldError("filter", text, problem))
        filters.append(found)
    if errors:
        raise InputError(errors)
    return filters


def validate_filters(filters: Sequence[Filter], space: SearchSpace) -> None:
    """Raise InputError naming every condition that does not fit the sweep."""
    errors = [
        FieldError("filter", f"{item.metric}{item.op}{item.value}", problem)
        for item in filters
        if (problem := _find_problem(item, space))
    ]
    if errors:
        raise InputError(errors)


def _find_problem(item: Filter, space: SearchSpace) -> str | None:
    axes = {axis.name: axis for axis in space.axes}
    known = [*HEADLINE_METRICS, *axes, *space.fixed]
    if item.metric not in known:
        shown = ", ".join([*HEADLINE_METRICS, *axes])
        return (
            f"no such metric or parameter; choose one of {shown}{suggest_name(item.metric, known)}"
        )
    if item.op not in _OPERATORS:
        return _EXAMPLE
    is_number = isinstance(item.value, int | float) and not isinstance(item.value, bool)
    axis = axes.get(item.metric)
    is_ordered = item.is_metric or (
        axis.is_ordered if axis is not None else _is_level(space.fixed[item.metric])
    )
    if item.op != "=" and not (is_number and is_ordered):
        return f"{item.op} compares numbers; use = for names and flags"
    if item.is_metric and not is_number:
        return "a metric is compared with a number"
    return None


def _is_level(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def find_admitted(filters: Sequence[Filter], space: SearchSpace, points: PointArray) -> Any:
    """Return which points, int64 (n,), meet all conditions on parameters, bool (n,)."""
    met = np.ones(len(points), dtype=np.bool_)
    digits: NDArray[np.int64] | None = None
    for item in filters:
        if item.is_metric:
            continue
        row = next((i for i, axis in enumerate(space.axes) if axis.name == item.metric), None)
        if row is None:
            fixed = space.fixed[item.metric]
            met &= _test_value(item, fixed)
            continue
        digits = space.digits(points) if digits is None else digits
        met &= _test_axis(item, space.axes[row], digits[row])
    return met


def _test_axis(item: Filter, axis: Axis, digits: NDArray[np.int64]) -> NDArray[np.bool_]:
    if item.op != "=":
        return item.test(axis.values(digits))
    try:
        wanted = axis.index(item.value)
    except ValueError:  # no such value on the axis: nothing equals it
        wanted = -1
    return np.asarray(digits == wanted)


def _test_value(item: Filter, fixed: Any) -> bool:
    if item.op == "=":
        return bool(fixed == item.value)
    return fixed is not None and bool(_OPERATORS[item.op](fixed, item.value))
