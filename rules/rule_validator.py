"""Validation of rule parameters, all errors at once, and the look-ahead check of rules."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from backtest.errors import FieldError, InputError
from rules.base_rule import BaseRule, Constraint, Parameter, ParameterValue, RuleMetadata

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from backtest.bars import Bars
    from rules.base_rule import RuleOutput

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {"<": operator.lt, "<=": operator.le}

# Weights and indicators of a causal rule may differ in rounding where a library sums in another
# order over fewer bars; what a look ahead brings in is a price, many orders of magnitude larger.
_RELATIVE_TOLERANCE = 1e-9
_N_SIGNAL_CUTS = 24
_N_SPREAD_CUTS = 8


def validate_params(metadata: RuleMetadata, raw: Mapping[str, object]) -> dict[str, ParameterValue]:
    """Complete and check the parameters of a rule.

    Parameters
    ----------
    metadata : RuleMetadata
        The rule's declaration.
    raw : mapping of str to object
        As sent; missing parameters take their defaults.

    Returns
    -------
    dict of str to int, float, bool or str
        Every declared parameter, in the declared order, floats as float, whole numbers as int.

    Raises
    ------
    InputError
        With every unknown name, wrong type, value out of range and broken constraint.
    """
    known = {parameter.name: parameter for parameter in metadata.parameters}
    errors = [
        FieldError(f"params.{name}", value, _describe_unknown(metadata, str(name)))
        for name, value in raw.items()
        if name not in known
    ]
    values: dict[str, ParameterValue] = {}
    for name, parameter in known.items():
        value = raw.get(name, parameter.default)
        try:
            values[name] = _parse_value(parameter, value)
        except ValueError:
            errors.append(FieldError(f"params.{name}", value, describe_domain(parameter)))
    errors += [
        _build_constraint_error(constraint, values)
        for constraint in metadata.constraints
        if constraint.left in values
        and constraint.right in values
        and not _OPERATORS[constraint.operator](values[constraint.left], values[constraint.right])
    ]
    if errors:
        raise InputError(errors)
    return values


def describe_domain(parameter: Parameter) -> str:
    """Return what a parameter takes, for example ``must be a whole number from 1 to 50 bars``."""
    if parameter.type == "bool":
        return "must be true or false"
    if parameter.type == "choice":
        return f"must be one of {', '.join(parameter.choices)}"
    wanted = "a whole number" if parameter.type == "int" else "a number"
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None:
        wanted += f" from {_format_bound(low)} to {_format_bound(high)}"
    elif low is not None:
        wanted += f", at least {_format_bound(low)}"
    elif high is not None:
        wanted += f", at most {_format_bound(high)}"
    return f"must be {wanted} {parameter.unit}".rstrip()


def suggest_name(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean X?`` for a near miss, else an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {matches[0]}?" if matches else ""


def _format_bound(bound: float) -> str:
    return str(int(bound)) if bound == int(bound) else repr(bound)


def _describe_unknown(metadata: RuleMetadata, name: str) -> str:
    names = [parameter.name for parameter in metadata.parameters]
    if not names:
        return f"{metadata.name} has no parameters; remove it"
    known = ", ".join(names)
    return f"unknown parameter of {metadata.name}; known: {known}{suggest_name(name, names)}"


def _build_constraint_error(
    constraint: Constraint, values: Mapping[str, ParameterValue]
) -> FieldError:
    left, right = constraint.left, constraint.right
    word = "below" if constraint.operator == "<" else "at most"
    return FieldError(
        f"params.{left}",
        values[left],
        f"must be {word} {right} ({values[right]}); lower {left} or raise {right}",
    )


def _parse_value(parameter: Parameter, value: object) -> ParameterValue:
    """Return `value` in the type of the parameter, or raise ValueError."""
    if parameter.type == "bool":
        if isinstance(value, bool):
            return value
        raise ValueError(value)
    if parameter.type == "choice":
        if isinstance(value, str) and value in parameter.choices:
            return value
        raise ValueError(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(value)
    low = float("-inf") if parameter.minimum is None else parameter.minimum
    high = float("inf") if parameter.maximum is None else parameter.maximum
    # NaN fails every comparison; infinities and integers beyond a float end here as well.
    if not (low <= value <= high and abs(value) < 1e300):
        raise ValueError(value)
    if parameter.type == "float":
        return float(value)
    if value != int(value):
        raise ValueError(value)
    return int(value)


class LookaheadError(ValueError):
    """A rule's value at a bar changed when later bars were taken away.

    Parameters
    ----------
    rule : str
        Name of the rule.
    column : str
        ``signal``, ``weight`` or ``indicators.<name>``.
    n_kept : int
        Bars that the truncated replay was given.
    detail : str
        What differs.
    bar_idx : int or None
        First bar that differs, None where the whole column does.
    """

    def __init__(
        self, rule: str, column: str, n_kept: int, detail: str, bar_idx: int | None = None
    ) -> None:
        self.rule, self.column, self.n_kept, self.bar_idx = rule, column, n_kept, bar_idx
        super().__init__(
            f"rule {rule!r} looks ahead: {column} {detail} once only the first {n_kept} bars are "
            f"given; compute entry t from bars <= t"
        )


def check_no_lookahead(
    rule: BaseRule,
    bars: Bars,
    params: Mapping[str, Any],
    cut_points: Iterable[int] | None = None,
) -> None:
    """Replay a rule on truncated bars and compare with what it said when it saw them all.

    Parameters
    ----------
    rule : BaseRule
        The rule under test.
    bars : Bars
        Enough of them that the rule signals.
    params : mapping of str to value
        Complete and validated.
    cut_points : iterable of int, optional
        Numbers of bars to keep, each in [1, n_bars]. By default around the end of warm-up, spread
        over the data, and right after a sample of the signals, where the next bar is the one that
        a cheating rule has read.

    Raises
    ------
    LookaheadError
        Naming the rule, the bar and both values, if a signal differs at all, or a weight or an
        indicator by more than 1e-9 relative; NaN equals NaN.
    ValueError
        If a cut point lies outside the data.
    """
    full = rule.compute(bars, **params)
    if cut_points is None:
        cut_points = choose_cut_points(full, bars.n_bars, rule.warmup_bars(**params))
    for n_kept in cut_points:
        if not 1 <= n_kept <= bars.n_bars:
            raise ValueError(f"cut point {n_kept} must be from 1 to {bars.n_bars} bars")
        kept = rule.compute(truncate_bars(bars, n_kept), **params)
        _compare_outputs(rule.metadata.name, full, kept, n_kept)


def choose_cut_points(output: RuleOutput, n_bars: int, warmup_bars: int) -> list[int]:
    """Return numbers of bars to keep that catch a look ahead; see `check_no_lookahead`."""
    import numpy as np

    signal_idx = np.flatnonzero(output.signal)
    picks = np.linspace(0, signal_idx.size - 1, min(_N_SIGNAL_CUTS, signal_idx.size)).astype(int)
    spread = np.linspace(2, n_bars, _N_SPREAD_CUTS).astype(int)
    around_warmup = np.arange(warmup_bars - 1, warmup_bars + 3)
    points = np.concatenate([signal_idx[picks], signal_idx[picks] + 1, spread, around_warmup])
    return sorted({int(point) for point in points if 2 <= point <= n_bars})


def truncate_bars(bars: Bars, n_bars: int) -> Bars:
    """Return the first `n_bars` bars; spacing and periods per year stay those of the dataset."""
    from backtest.bars import COLUMNS

    columns: dict[str, Any] = {name: getattr(bars, name)[:n_bars] for name in COLUMNS}
    return replace(bars, **columns)


def _compare_outputs(rule: str, full: RuleOutput, kept: RuleOutput, n_kept: int) -> None:
    """Raise LookaheadError at the first column whose prefix differs."""
    full_columns, kept_columns = _collect_columns(full), _collect_columns(kept)
    for column in full_columns.keys() ^ kept_columns.keys():
        raise LookaheadError(rule, column, n_kept, "appears or disappears")
    for column, values in full_columns.items():
        _compare_column(rule, column, values[:n_kept], kept_columns[column])


def _compare_column(rule: str, column: str, full: NDArray[Any], kept: NDArray[Any]) -> None:
    import numpy as np

    if full.shape != kept.shape:
        raise LookaheadError(
            rule, column, full.size, f"has shape {kept.shape} instead of {full.shape}"
        )
    tolerance = 0.0 if column == "signal" else _RELATIVE_TOLERANCE
    same = np.isclose(kept, full, rtol=tolerance, atol=tolerance, equal_nan=True)
    if not same.all():
        bar_idx = int(np.argmin(same))
        detail = f"at bar {bar_idx} changes from {full[bar_idx]} to {kept[bar_idx]}"
        raise LookaheadError(rule, column, full.size, detail, bar_idx)


def _collect_columns(output: RuleOutput) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {"signal": output.signal}
    if output.weight is not None:
        columns["weight"] = output.weight
    for name, values in output.indicators.items():
        columns[f"indicators.{name}"] = values
    return columns
