"""Figures as text for people: real minus signs, a dash where nothing is defined."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from adapters.metric_texts import METRIC_TEXTS

DASH = "–"
_MINUS = "−"


def format_number(value: float | None, digits: int = 2) -> str:
    """Return a plain number with separators."""
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{abs(value):,.{digits}f}"
    is_zero = not text.strip("0.,")
    return (_MINUS if value < 0 and not is_zero else "") + text


def format_percent(value: float | None, digits: int = 2) -> str:
    """Return a fraction as percent."""
    return DASH if value is None else f"{format_number(value * 100, digits)}%"


def format_price(value: float | None) -> str:
    """Return a price with as many digits as its size needs: four that count below 1."""
    size = abs(value or 0.0)
    for limit, digits in ((1e5, 0), (1000, 1), (10, 2), (1, 3)):
        if size >= limit:
            return format_number(value, digits)
    return format_number(value, min(3 - math.floor(math.log10(size)), 12) if size else 0)


def format_amount(value: float | None) -> str:
    """Return a gain or loss of money; cents do not count in thousands."""
    return format_money(value, 0 if value is None or abs(value) >= 1000 or value == 0 else 2)


def format_chosen(value: float) -> str:
    """Return a number that somebody chose, with every digit of it."""
    return f"{value:,.0f}" if float(value).is_integer() else repr(value)


def format_chosen_percent(value: float, least: int = 0) -> str:
    """Return a fraction that somebody chose as percent, not rounded: 0.125 is 12.5%."""
    # Twelve significant digits: what multiplying by 100 adds lies behind them.
    _, _, decimals = f"{float(f'{value * 100:.12g}'):.12f}".rstrip("0").partition(".")
    return format_percent(value, max(len(decimals), least))


def format_signed(value: float | None, digits: int = 2) -> str:
    """Return a fraction as percent with a plus sign on gains."""
    return _add_plus(value, format_percent(value, digits))


def format_money(value: float | None, digits: int = 0) -> str:
    """Return a signed amount."""
    return _add_plus(value, format_number(value, digits))


def _add_plus(value: float | None, text: str) -> str:
    is_gain = value is not None and value > 0 and any(digit in text for digit in "123456789")
    return f"+{text}" if is_gain else text


def count_day_digits(values: Iterable[float]) -> int:
    """Return the digits of calendar days: minutes make fractions, which would read 0."""
    return 2 if any(value % 1 for value in values) else 0


def format_short(value: float) -> str:
    """Return a number for an axis: 1.5M, 200k, 0.02."""
    size = abs(value)
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= limit:
            return f"{value / limit:.4g}{unit}".replace("-", _MINUS)
    return f"{value:.4g}".replace("-", _MINUS)


_WRITERS: dict[str, Callable[[Any], str]] = {
    "percent": format_percent,
    "signed": format_signed,
    "ratio": format_number,
    "probability": lambda value: format_number(value, 3),
    "bars": lambda value: format_number(value, 1),
    "days": lambda value: format_number(value, count_day_digits([value])),
    "count": lambda value: format_number(value, 0),
    "money": lambda value: format_money(value, 2),
    "flag": lambda value: "yes" if value else "no",
}


def format_metric(name: str, value: float | int | bool | None) -> str:
    """Return a metric as its kind is written; a dash if it is None."""
    if value is None:
        return DASH
    text = METRIC_TEXTS.get(name)
    return _WRITERS[text.kind if text else "ratio"](value)


def sign_class(value: float | None) -> str:
    """Return the class of the colour that a gain, a loss or neither has."""
    if value is None or abs(value) < 5e-7:
        return ""
    return "gain" if value > 0 else "loss"


def metric_class(name: str, value: float | int | bool | None) -> str:
    """Return the class of a metric's colour; only returns and money have one."""
    text = METRIC_TEXTS.get(name)
    is_colored = text is not None and text.kind in ("signed", "money")
    return sign_class(value) if is_colored else ""
