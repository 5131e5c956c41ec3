"""Validation of rule parameters, all errors at once, and the look-ahead check of rules."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from backtest.errors import FieldError, InputError
from rules.base_rule import Parameter, ParameterValue, RuleMetadata

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {"<": operator.lt, "<=": operator.le}


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
        Every declared parameter, in the declared order, floats as float.

    Raises
    ------
    InputError
        With every unknown name, wrong type, value out of range and broken constraint.
    """
    errors: list[FieldError] = []
    known = {parameter.name: parameter for parameter in metadata.parameters}
    for name, value in raw.items():
        if name not in known:
            names = ", ".join(known) or "it has none"
            errors.append(
                FieldError(
                    f"params.{name}", value, f"unknown parameter of {metadata.name}; known: {names}"
                )
            )
    values: dict[str, ParameterValue] = {}
    for name, parameter in known.items():
        value = raw.get(name, parameter.default)
        message = _describe_fault(parameter, value)
        if message is not None:
            errors.append(FieldError(f"params.{name}", value, message))
        else:
            values[name] = float(value) if parameter.type == "float" else value  # type: ignore[arg-type,assignment]
    for constraint in metadata.constraints:
        if constraint.left in values and constraint.right in values:
            left, right = values[constraint.left], values[constraint.right]
            if not _OPERATORS[constraint.operator](left, right):
                word = "below" if constraint.operator == "<" else "at most"
                errors.append(
                    FieldError(
                        f"params.{constraint.left}",
                        left,
                        f"must be {word} {constraint.right} ({right})",
                    )
                )
    if errors:
        raise InputError(errors)
    return values


def _describe_fault(parameter: Parameter, value: object) -> str | None:
    """Return what is wrong with `value`, or None."""
    if parameter.type == "bool":
        return None if isinstance(value, bool) else "must be true or false"
    if parameter.type == "choice":
        return (
            None if value in parameter.choices else f"must be one of {', '.join(parameter.choices)}"
        )
    kinds = (int,) if parameter.type == "int" else (int, float)
    wanted = "a whole number" if parameter.type == "int" else "a number"
    span = f"{parameter.minimum:g} to {parameter.maximum:g}" if _is_bounded(parameter) else ""
    unit = f" {parameter.unit}" if parameter.unit else ""
    wanted = f"must be {wanted}{' from ' + span if span else ''}{unit}"
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
        return wanted
    low = parameter.minimum if parameter.minimum is not None else -math.inf
    high = parameter.maximum if parameter.maximum is not None else math.inf
    return None if low <= value <= high else wanted


def _is_bounded(parameter: Parameter) -> bool:
    return parameter.minimum is not None and parameter.maximum is not None
