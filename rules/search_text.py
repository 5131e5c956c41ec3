"""What people write for the values of an axis: ``14``, ``2:50:2``, ``off,0.02:0.1:0.02``, lists.

Both ends of a range count, it ends at its last grid point not beyond the end, and its decimals are
exact. Every value is checked by the same validator that a single run goes through, so that bounds
and their messages exist once; of a range, which is monotone, the two ends are enough.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from backtest.errors import FieldError, InputError
from rules.search_axes import (
    MAX_NUMERATOR,
    MAX_SCALE,
    Group,
    Kind,
    NumberRange,
    Segment,
    ValueList,
)

MAX_LISTED_VALUES = 100_000
MAX_RANGES = 100
_MAX_NUMBER_LENGTH = 40
# Of one name: nobody reads a thousand.
_MAX_ERRORS = 20
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_OFF_WORDS = ("off", "none", "null")
_FORMS = "write a number, a range as 2:50 or 2:50:2, or a list as 10,14,21"


@dataclass(frozen=True, slots=True)
class Domain:
    """What one name may take.

    Parameters
    ----------
    name, group, kind
        As of `search_axes.Axis`.
    is_optional : bool
        Whether `off` is a value.
    choices : tuple of str
        Allowed names of a choice.
    check : callable
        Returns a single value in canonical form, or raises InputError.
    """

    name: str
    group: Group
    kind: Kind
    is_optional: bool
    choices: tuple[str, ...]
    check: Callable[[Any], Any]


class _Fault(ValueError):
    """What is wrong with one item, without its field."""

    def __init__(self, value: object, message: str) -> None:
        super().__init__(message)
        self.value, self.message = value, message


def parse_values(domain: Domain, field: str, raw: object) -> tuple[Segment, ...]:
    """Return the values of one name as segments of an axis.

    Parameters
    ----------
    domain : Domain
        What the name may take.
    field : str
        Name of the input in errors.
    raw : str, number, bool, None or list of these
        As sent.

    Raises
    ------
    InputError
        With every item that is wrong, or the first value that comes twice.
    """
    errors: list[FieldError] = []
    segments: list[Segment] = []
    items = _split(domain, raw)
    if not items:
        raise InputError.of(field, raw, f"is empty; {_describe_forms(domain)}")
    if len(items) > MAX_LISTED_VALUES:
        raise InputError.of(
            field, f"{len(items)} values", f"lists at most {MAX_LISTED_VALUES:,}; write a range"
        )
    for item in items:
        try:
            segments.append(_parse_item(domain, item))
        except _Fault as fault:
            errors.append(FieldError(field, fault.value, fault.message))
    if errors:
        distinct = {(repr(error.value), error.message): error for error in errors}
        raise InputError(list(distinct.values())[:_MAX_ERRORS])
    merged = _merge(segments)
    if sum(isinstance(segment, NumberRange) for segment in merged) > MAX_RANGES:
        raise InputError.of(field, raw, f"has more than {MAX_RANGES} ranges; join some of them")
    twice = _find_duplicate(merged)
    if twice is not None:
        raise InputError.of(field, raw, f"{twice} comes twice; remove one of them")
    return merged


def _split(domain: Domain, raw: object) -> list[object]:
    if isinstance(raw, str):
        if raw in domain.choices:  # a name may hold a comma
            return [raw]
        return [part.strip() for part in raw.split(",")] if raw.strip() else []
    if isinstance(raw, Sequence) and not isinstance(raw, bytes | bytearray):
        return [item.strip() if isinstance(item, str) else item for item in raw]
    return [raw]


def _describe_forms(domain: Domain) -> str:
    if domain.kind == "choice":
        return f"give one or more of {', '.join(domain.choices)}"
    return "write true, false or true,false" if domain.kind == "bool" else _FORMS


def _parse_item(domain: Domain, item: object) -> Segment:
    if isinstance(item, str):
        if not item:
            raise _Fault(item, f"has an empty place in the list; {_describe_forms(domain)}")
        if domain.kind in ("int", "float"):
            return _parse_number_text(domain, item)
        if domain.kind == "bool" and item.lower() in ("true", "false"):
            item = item.lower() == "true"
    if item is None:
        return _parse_off(domain, item)
    return ValueList((_check(domain, item, item),))


def _parse_off(domain: Domain, item: object) -> Segment:
    if not domain.is_optional:
        raise _Fault(item, f"off is only for optional settings; {_describe_forms(domain)}")
    return ValueList((domain.check(None),))


def _check(domain: Domain, value: Any, item: object, where: str = "") -> Any:
    """Return `value` as the domain's own validator wants it; `item` is what its sender wrote."""
    try:
        checked = domain.check(value)
    except InputError as error:
        # A form's field may be left empty; a place in a list may not.
        messages = [inner.message.replace("leave it empty", "write off") for inner in error.errors]
        raise _Fault(item, "; ".join(message + where for message in messages)) from None
    if domain.kind == "int" and abs(checked) > MAX_NUMERATOR:
        raise _Fault(item, "must be at most 1e15 in a sweep")
    return checked + 0.0 if domain.kind == "float" else checked  # -0.0 becomes 0.0


def _parse_number_text(domain: Domain, text: str) -> Segment:
    if text.lower() in _OFF_WORDS:
        return _parse_off(domain, text)
    if ":" in text or ".." in text:
        return _parse_range(domain, text)
    number = _parse_decimal(domain, text, text)
    is_whole = domain.kind == "int" and number == number.to_integral_value()
    return ValueList((_check(domain, int(number) if is_whole else float(number), text),))


def _parse_decimal(domain: Domain, text: str, item: str) -> Decimal:
    if len(text) > _MAX_NUMBER_LENGTH:
        raise _Fault(item, "has a number too long to read; write it with at most 40 characters")
    if not _NUMBER.fullmatch(text):
        # The domain says what it takes; a range has several numbers, so name the wrong one.
        remedy = f"{text!r} is not a number; {_describe_forms(domain)}"
        raise _Fault(item, remedy)
    return Decimal(text)


def _parse_range(domain: Domain, text: str) -> Segment:
    start_text, separator, rest = text.partition("..")
    parts = [start_text, *rest.split(":")] if separator else text.split(":")
    parts = [part.strip() for part in parts]
    if len(parts) not in (2, 3):
        raise _Fault(text, "a range has a start, an end and at most one step, as 2:50:2")
    numbers = [_parse_decimal(domain, part, text) for part in parts]
    start, end = numbers[:2]
    step = numbers[2] if len(numbers) == 3 else _choose_step(domain, start, end, text)
    _check_step(start, end, step, text)
    found = _build_range(start, end, step, text)
    if domain.kind == "int" and (found.scale or start != start.to_integral_value()):
        found = _to_whole(found, text)
    numerators = {"starts": found.first, "ends": found.last}
    for word, numerator in numerators.items():
        value = numerator if domain.kind == "int" else numerator / 10**found.scale
        _check(domain, value, text, f" (the range {word} at {found.format_number(numerator)})")
    if found.count == 1:
        value = found.first if domain.kind == "int" else found.first / 10**found.scale
        return ValueList((_check(domain, value, text),))
    return found


def _choose_step(domain: Domain, start: Decimal, end: Decimal, text: str) -> Decimal:
    both_whole = start == start.to_integral_value() and end == end.to_integral_value()
    if domain.kind == "int" or both_whole:
        return Decimal(1)
    example = _suggest_step(start, end)
    raise _Fault(text, f"a range of fractions needs a step; write {text}:{example} for example")


def _suggest_step(start: Decimal, end: Decimal) -> str:
    """Return a step that leads from start to end: 1 or a tenth of the way."""
    both_whole = start == start.to_integral_value() and end == end.to_integral_value()
    if both_whole or start == end:
        return "-1" if end < start else "1" if both_whole else "0.1"
    return f"{((end - start) / 10).normalize():f}"


def _check_step(start: Decimal, end: Decimal, step: Decimal, text: str) -> None:
    if step == 0:
        example = _suggest_step(start, end)
        raise _Fault(text, f"the step must not be 0; write {start}:{end}:{example} for example")
    if start != end and (end > start) != (step > 0):
        if step > 0:
            remedy = f"{end}:{start}" + (f":{step}" if step != 1 else "")
        else:
            remedy = f"{start}:{end}:{-step}"
        raise _Fault(
            text, f"the step has the wrong sign: {step} never leads from {start} to {end}; "
            f"write {remedy}"
        )  # fmt: skip


def _build_range(start: Decimal, end: Decimal, step: Decimal, text: str) -> NumberRange:
    fault = _Fault(
        text,
        "start, end and step need more than 15 digits in common; write fewer decimals",
    )
    # Exponents first: scaling 1e-999 would build a number of a thousand digits.
    if any(abs(number.adjusted()) > 2 * MAX_SCALE for number in (start, end, step) if number):
        raise fault
    scale = max(0, *(-_get_exponent(number) for number in (start, end, step)))
    first, last, width = (int(number.scaleb(scale)) for number in (start, end, step))
    if scale > MAX_SCALE or max(abs(first), abs(last), abs(width)) > MAX_NUMERATOR:
        raise fault
    return NumberRange(first, width, (last - first) // width + 1, scale)


def _get_exponent(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _to_whole(found: NumberRange, text: str) -> NumberRange:
    """Return a range of whole numbers whose end alone was a fraction."""
    unit = 10**found.scale
    if found.first % unit or found.step % unit:
        raise _Fault(text, "takes whole numbers; write start and step without decimals")
    return NumberRange(found.first // unit, found.step // unit, found.count, 0)


def _merge(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Join the values named one by one into lists."""
    merged: list[Segment] = []
    listed: list[Any] = []
    for segment in segments:
        if isinstance(segment, ValueList):
            listed += segment.items
            continue
        if listed:
            merged.append(ValueList(tuple(listed)))
            listed = []
        merged.append(segment)
    return (*merged, ValueList(tuple(listed))) if listed else tuple(merged)


def _find_duplicate(segments: Sequence[Segment]) -> object:
    """Return a value that comes twice as text, or None; ranges are compared by their ends."""
    seen: set[Any] = set()
    ranges = [segment for segment in segments if isinstance(segment, NumberRange)]
    for segment in segments:
        for item in segment.items if isinstance(segment, ValueList) else ():
            if item in seen or (
                isinstance(item, int | float)
                and any(found.find(Decimal(repr(item))) is not None for found in ranges)
            ):
                return "off" if item is None else str(item)
            seen.add(item)
    for i, one in enumerate(ranges):
        for other in ranges[i + 1 :]:
            common = one.find_common(other)
            if common is not None:
                return f"{common.normalize():f}"
    return None
