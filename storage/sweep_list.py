"""The list of sweeps, newest first or oldest first, page by page."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from sqlalchemy import Connection, exists, select

from backtest.errors import FieldError, InputError
from storage.run_list import MAX_LIMIT
from storage.sweep_records import SWEEP_STATES, SweepFilter, SweepPage
from storage.sweep_rows import RECORD_COLUMNS, build_record
from storage.sweep_tables import sweep_datasets, sweep_tags, sweeps

SWEEP_SORT_KEYS = ("submitted_at",)


def list_sweeps(connection: Connection, wanted: SweepFilter) -> SweepPage:
    """Return one page.

    Raises
    ------
    InputError
        Naming every field of the filter that cannot be used.
    """
    after = _validate(wanted)
    descending = wanted.sort.startswith("-")
    number = sweeps.c.id
    query = select(number, *RECORD_COLUMNS).where(sweeps.c.deleted_at.is_(None))
    for name in ("state", "rule"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(sweeps.c[name] == value)
    if wanted.symbol is not None:
        has_symbol = exists().where(
            sweep_datasets.c.sweep_number == number, sweep_datasets.c.symbol == wanted.symbol
        )
        query = query.where(has_symbol)
    if wanted.tag is not None:
        has_tag = exists().where(
            sweep_tags.c.sweep_number == number, sweep_tags.c.tag == wanted.tag
        )
        query = query.where(has_tag)
    if after is not None:
        query = query.where(number < after if descending else number > after)
    ordered = query.order_by(number.desc() if descending else number.asc())
    rows = connection.execute(ordered.limit(wanted.limit + 1)).all()
    items = tuple(build_record(row) for row in rows[: wanted.limit])
    if len(rows) <= wanted.limit:
        return SweepPage(items, None)
    return SweepPage(items, _encode_cursor(wanted.sort, rows[wanted.limit - 1].id))


def _validate(wanted: SweepFilter) -> int | None:
    errors: list[FieldError] = []
    after: int | None = None
    if wanted.state is not None and wanted.state not in SWEEP_STATES:
        errors.append(FieldError("state", wanted.state, f"choose one of {', '.join(SWEEP_STATES)}"))
    if not 1 <= wanted.limit <= MAX_LIMIT:
        errors.append(FieldError("limit", wanted.limit, f"choose 1 to {MAX_LIMIT}"))
    if wanted.sort.removeprefix("-") not in SWEEP_SORT_KEYS:
        known = ", ".join(SWEEP_SORT_KEYS)
        errors.append(
            FieldError("sort", wanted.sort, f"choose {known}; a minus in front: newest first")
        )
    elif wanted.cursor is not None:
        try:
            after = _decode_cursor(wanted.sort, wanted.cursor)
        except ValueError:
            remedy = "take next_cursor of a page with the same sort, or start without a cursor"
            errors.append(FieldError("cursor", wanted.cursor, remedy))
    if errors:
        raise InputError(errors)
    return after


def _encode_cursor(sort: str, number: int) -> str:
    text = json.dumps([sort, number], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode_cursor(sort: str, cursor: str) -> int:
    """Raise ValueError for anything that `_encode_cursor` did not write for the same sort."""
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        parts: Any = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("not base64") from error
    if not (isinstance(parts, list) and len(parts) == 2 and parts[0] == sort):
        raise ValueError("of another sort")
    number = parts[1]
    if not isinstance(number, int) or isinstance(number, bool) or abs(number) >= 2**63:
        raise ValueError("no row number")
    return number
