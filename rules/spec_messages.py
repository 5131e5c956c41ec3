"""The words in which a refused field is explained: what it takes and what to write instead.

Pydantic reports one broken bound at a time and in the terms of its own types. People are told the
whole domain of a field at once, in words that do not depend on the validation library.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from rules.rule_validator import suggest_name

_BOUND_WORDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
# Annual rates go up to 10, that is 1000 %: what is bounded so low is a fraction.
_HIGHEST_FRACTION = 10
_NUMBER_TYPES = frozenset(
    ("float_type", "float_parsing", "int_type", "int_parsing", "int_from_float", "finite_number")
)
_RANGE_TYPES = {
    "greater_than": "gt",
    "greater_than_equal": "ge",
    "less_than": "lt",
    "less_than_equal": "le",
}
_WHEN_EMPTY = {"periods_per_year": "leave it empty to derive it from the data"}
_PLAIN_MESSAGES: dict[str, str] = {
    "missing": "this field is required",
    "string_type": "must be text",
    "string_unicode": "must be text in valid Unicode",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object with named values",
    "model_type": "must be an object with named values",
    "model_attributes_type": "must be an object with named values",
}


def describe_fault(item: Mapping[str, Any], groups: Mapping[str, Mapping[str, FieldInfo]]) -> str:
    """Return the message for one of pydantic's findings.

    Parameters
    ----------
    item : mapping
        An entry of ``ValidationError.errors()``.
    groups : mapping of str to fields
        The fields of known models by where they stand in the body: ``""`` for its own, empty if
        the model is not known, and ``trading`` for those of the trading settings.
    """
    *path, name = item["loc"] or ("",)
    group = ".".join(str(part) for part in path)
    fields = groups.get(group, {})
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return _describe_unknown(str(name), group, groups)
    if kind in _NUMBER_TYPES or kind in _RANGE_TYPES:
        info = fields.get(str(name))
        bounds = read_bounds(info) if info else {}
        bounds = bounds or {key: context[key] for key in _BOUND_WORDS if key in context}
        return _describe_number(str(name), item["input"], bounds, info, kind in _RANGE_TYPES)
    if kind in _PLAIN_MESSAGES:
        return _PLAIN_MESSAGES[kind]
    describe = _CONTEXT_MESSAGES.get(kind)
    if describe is not None:
        return describe(context)
    cause = context.get("error")
    message: str = item["msg"] if cause is None else str(cause)
    return message.replace("Input should be", "must be")


def read_bounds(info: FieldInfo) -> dict[str, float]:
    """Return the declared bounds of a number by ``gt``, ``ge``, ``lt`` and ``le``."""
    return {
        key: getattr(entry, key)
        for key in _BOUND_WORDS
        for entry in info.metadata
        if hasattr(entry, key)
    }


def describe_bounds(bounds: Mapping[str, float]) -> str:
    """Return bounds in words, for example ``above 0 and at most 1``."""
    return " and ".join(
        f"{word} {_format_number(bounds[key])}"
        for key, word in _BOUND_WORDS.items()
        if key in bounds
    )


def _describe_number(
    name: str, value: object, bounds: Mapping[str, float], info: FieldInfo | None, is_number: bool
) -> str:
    span = describe_bounds(bounds)
    if name == "size":
        span = f"{span}; with size_type percent a fraction, at most 1"
    wanted = span if is_number else ", ".join(filter(None, ("a number", span)))
    remedy = ""
    is_percentage = isinstance(value, int | float) and 1 <= value <= 100
    highest = min(bounds.get("lt", math.inf), bounds.get("le", math.inf))
    if is_number and is_percentage and highest <= _HIGHEST_FRACTION:
        remedy = f"; write {value / 100:g} for {value:g} %"  # type: ignore[operator]
    if info is not None and info.default is None and not info.is_required():
        remedy += f", or {_WHEN_EMPTY.get(name, 'leave it empty to switch it off')}"
    return f"must be {wanted}{remedy}"


def _describe_unknown(name: str, group: str, groups: Mapping[str, Mapping[str, FieldInfo]]) -> str:
    if group == "" and "trading" in groups[""] and name in groups["trading"]:
        return f"unknown here; write it inside trading, as trading.{name}"
    return (
        f"unknown field; remove it or correct its name{suggest_name(name, groups.get(group, {}))}"
    )


def _describe_choices(context: Mapping[str, Any]) -> str:
    choices = context["expected"].replace(" or ", ", ").replace("'", "")
    return f"must be one of {choices}" if ", " in choices else f"must be {choices}"


_CONTEXT_MESSAGES: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "literal_error": _describe_choices,
    "string_too_short": lambda context: (
        "must not be empty"
        if context["min_length"] == 1
        else f"must have at least {context['min_length']} characters"
    ),
    "string_too_long": lambda context: f"must have at most {context['max_length']} characters",
    "too_long": lambda context: f"must have at most {context['max_length']} entries",
    "too_short": lambda context: f"must have at least {context['min_length']} entries",
}


def _format_number(bound: float) -> str:
    """Return 0 for 0.0, 1e15 for 1e+15."""
    return re.sub(r"e\+0*", "e", f"{bound:g}")
