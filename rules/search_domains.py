"""What each name of a sweep may take: a rule's parameters and the trading settings, in one form."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import replace
from types import NoneType
from typing import Any

from pydantic import ValidationError

from backtest.errors import FieldError, InputError
from rules.base_rule import Parameter, RuleMetadata
from rules.rule_validator import suggest_name, validate_params
from rules.search_axes import Kind
from rules.search_text import Domain
from rules.spec import TradingSpec, describe_validation_error

# What people may want to sweep and what is one for the whole sweep.
_NOT_SWEPT = ("start", "end", "adjust", "rule", "tags", "note", "force", "objective", "min_trades")


def build_param_domains(rule: RuleMetadata) -> dict[str, Domain]:
    """Return the domain of every parameter of a rule, in its order."""
    return {
        parameter.name: Domain(
            parameter.name,
            "params",
            parameter.type,
            False,
            parameter.choices,
            _ParamCheck(rule, parameter),
        )
        for parameter in rule.parameters
    }


def build_trading_domains() -> dict[str, Domain]:
    """Return the domain of every trading setting, in the order of TradingSpec."""
    domains: dict[str, Domain] = {}
    for name, info in TradingSpec.model_fields.items():
        options = typing.get_args(info.annotation)
        choices = tuple(option for option in options if isinstance(option, str))
        kind: Kind = "choice" if choices else "float"
        domains[name] = Domain(
            name, "trading", kind, NoneType in options, choices, _TradingCheck(name)
        )
    return domains


class _ParamCheck:
    """Validates one value as the parameter of a run is."""

    def __init__(self, rule: RuleMetadata, parameter: Parameter) -> None:
        # Alone, since relations to other parameters are constraints of the space.
        self._rule = replace(rule, parameters=(parameter,), constraints=())
        self._name = parameter.name

    def __call__(self, value: Any) -> Any:
        return validate_params(self._rule, {self._name: value})[self._name]


class _TradingCheck:
    """Validates one value as the trading setting of a run is."""

    def __init__(self, name: str) -> None:
        self._name = name
        # A size above 1 is right or wrong together with size_type; see `describe_size_errors`.
        self._context = {"size_type": "shares"} if name == "size" else {}

    def __call__(self, value: Any) -> Any:
        try:
            settings = TradingSpec.model_validate({**self._context, self._name: value})
        except ValidationError as error:
            raise InputError(describe_validation_error(error)) from None
        return getattr(settings, self._name)


def describe_unknown_param(rule: RuleMetadata, name: str) -> str:
    """Return the message for a name in `space` that the rule does not have."""
    if name in TradingSpec.model_fields:
        return f"is a trading setting; write it inside trading, as trading.{name}"
    if name in ("dataset", "datasets"):
        return "write several datasets as a list in datasets"
    if name in _NOT_SWEPT:
        return "cannot be swept; write it beside space, with one value"
    known = [parameter.name for parameter in rule.parameters]
    if not known:
        return f"{rule.name} has no parameters; remove it"
    return f"unknown parameter of {rule.name}; known: {', '.join(known)}{suggest_name(name, known)}"


def describe_unknown_setting(rule: RuleMetadata, name: str) -> str:
    """Return the message for a name in `trading` that is no trading setting."""
    if any(parameter.name == name for parameter in rule.parameters):
        return f"is a parameter of {rule.name}; write it inside space"
    if name in _NOT_SWEPT:
        return "is no trading setting and cannot be swept; write it beside trading, with one value"
    near = suggest_name(name, TradingSpec.model_fields)
    return f"unknown field; remove it or correct its name{near}"


def describe_size_errors(types: Sequence[str], sizes: Sequence[float]) -> list[FieldError]:
    """Return the error for a size above 1 where `percent` is among the size types.

    Parameters
    ----------
    types : sequence of str
        Size types that occur.
    sizes : sequence of float
        The size, or the smallest and the largest one; every size meets every type.
    """
    largest = max(sizes)
    if "percent" not in types or largest <= 1:
        return []
    remedy = "lower it, or choose size_type value or shares"
    if largest <= 100:
        remedy = f"write {largest / 100:g} for {largest:g} %"
    apart = "; or sweep the size types apart" if len(types) > 1 else ""
    message = f"percent takes a fraction in (0, 1], and {largest:g} is not; {remedy}{apart}"
    return [FieldError("trading.size", largest, message)]
