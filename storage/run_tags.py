"""Tags and idempotency keys as they may be stored, for runs and sweeps alike."""

from __future__ import annotations

from collections.abc import Iterable

from backtest.errors import InputError
from storage.models import MAX_KEY_LENGTH, MAX_TAG_LENGTH


def clean_tags(tags: Iterable[str]) -> list[str]:
    """Return tags without blanks around them and without repetition, in their order.

    Raises
    ------
    InputError
        If one is empty or too long.
    """
    cleaned = list(dict.fromkeys(tag.strip() for tag in tags))
    for tag in cleaned:
        if not 0 < len(tag) <= MAX_TAG_LENGTH:
            raise InputError.of("tags", tag, f"a tag has 1 to {MAX_TAG_LENGTH} characters")
    return cleaned


def check_key(key: str | None) -> None:
    """Refuse an idempotency key that its column cannot hold.

    Raises
    ------
    InputError
        If it is empty or too long.
    """
    if key is not None and not 0 < len(key) <= MAX_KEY_LENGTH:
        raise InputError.of("Idempotency-Key", key, f"use 1 to {MAX_KEY_LENGTH} characters")
