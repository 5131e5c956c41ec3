"""What every submission may bring: how long to hold the answer, and a key that makes it unique."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from flask import request

from backtest.errors import InputError
from webapp.context import get_context

_LONGEST_WAIT_SECONDS = 30.0
_LONGEST_KEY = 255

Held = TypeVar("Held")

SUBMIT_HEADERS = (
    (
        "Idempotency-Key",
        "The same key with the same body submits once; with another body it is 409",
    ),
)


def read_wait() -> float:
    """Return how long to hold the answer, in seconds; more than the limit is the limit."""
    text = request.args.get("wait", "")
    if text == "":
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:  # false for NaN as well
        raise InputError.of("wait", text, "must be a number of seconds from 0 to 30")
    return min(seconds, _LONGEST_WAIT_SECONDS)


def read_idempotency_key() -> str | None:
    """Return the request's idempotency key, if it has one."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 1 <= len(key) <= _LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise InputError.of("Idempotency-Key", key, "use 1 to 255 printable ASCII characters")
    return key


def hold_answer(now: Held, wait: Callable[[], Held]) -> Held:
    """Return what `wait` returns, or `now` at once if too many wait already."""
    waiting = get_context().waiting
    if not waiting.acquire(blocking=False):
        return now
    try:
        return wait()
    finally:
        waiting.release()
