"""The list of runs: filters, sorting, and cursors that neither skip nor repeat.

A page starts behind the last row of the page before (keyset), so it costs the same wherever it
is, and runs that arrive meanwhile do not shift it.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, or_, select

from backtest.errors import FieldError, InputError
from storage.models import SORTABLE_METRICS, run_tags, runs
from storage.records import Page, RunFilter
from storage.run_rows import RECORD_COLUMNS, build_record

MAX_LIMIT = 200
STATES = ("queued", "running", "succeeded", "failed", "cancelled")

# The time of submission is the order of `id`, which is unique and needs no second key.
SORT_KEYS: dict[str, ColumnElement[Any]] = {
    "submitted_at": runs.c.id,
    "finished_at": runs.c.finished_at,
    "symbol": runs.c.symbol,
    "rule": runs.c.rule,
    **{name: runs.c[name] for name in SORTABLE_METRICS},
}


@dataclass(frozen=True, slots=True)
class _Position:
    """The last row of a page: its number, and its value under the sort key (None: it has none)."""

    id: int
    value: Any


def list_runs(connection: Connection, wanted: RunFilter) -> Page:
    """Return one page.

    Raises
    ------
    InputError
        Naming every field of the filter that cannot be used.
    """
    position = _validate(wanted)
    key, descending = _split_sort(wanted.sort)
    rows: list[Row[Any]] = []
    # An index cannot serve "empty values last", but it serves both halves one after the other.
    for empty in (False, True):
        if (empty and key is runs.c.id) or len(rows) > wanted.limit:
            continue
        if position is not None and empty is False and position.value is None:
            continue  # the page before ended among the empty ones
        after = position if position is not None and (position.value is None) == empty else None
        query = _build_query(wanted, key, descending, empty=empty, after=after)
        rows += connection.execute(query.limit(wanted.limit + 1 - len(rows))).all()
    items = tuple(build_record(row) for row in rows[: wanted.limit])
    if len(rows) <= wanted.limit:
        return Page(items, None)
    last = rows[wanted.limit - 1]
    return Page(items, _encode_cursor(wanted.sort, _Position(last.id, last.sort_value)))


def _build_query(
    wanted: RunFilter,
    key: ColumnElement[Any],
    descending: bool,
    *,
    empty: bool,
    after: _Position | None,
) -> Select[Any]:
    # With a tag the rows come out of the tag's own index, which is in the same order.
    number = run_tags.c.run_number if wanted.tag is not None else runs.c.id
    column = number if key is runs.c.id else key
    query = select(runs.c.id, key.label("sort_value"), *RECORD_COLUMNS)
    if wanted.tag is not None:
        query = query.join(run_tags, run_tags.c.run_number == runs.c.id)
        query = query.where(run_tags.c.tag == wanted.tag)
    for name in ("state", "symbol", "rule"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(runs.c[name] == value)
    if key is not runs.c.id:
        query = query.where(column.is_(None) if empty else column.is_not(None))
    if after is not None:
        query = query.where(_behind(column, number, after, descending))
    order = [number] if empty or key is runs.c.id else [column, number]
    return query.order_by(*(item.desc() if descending else item.asc() for item in order))


def _behind(
    column: ColumnElement[Any], number: ColumnElement[int], after: _Position, descending: bool
) -> ColumnElement[bool]:
    further = number < after.id if descending else number > after.id
    if column is number or after.value is None:
        return further
    # The first condition follows from the second; it is what an index range is made of.
    inclusive = column <= after.value if descending else column >= after.value
    beyond = column < after.value if descending else column > after.value
    return and_(inclusive, or_(beyond, further))


def _split_sort(sort: str) -> tuple[ColumnElement[Any], bool]:
    return SORT_KEYS[sort.removeprefix("-")], sort.startswith("-")


def _validate(wanted: RunFilter) -> _Position | None:
    errors: list[FieldError] = []
    position: _Position | None = None
    if wanted.state is not None and wanted.state not in STATES:
        errors.append(FieldError("state", wanted.state, f"choose one of {', '.join(STATES)}"))
    if not 1 <= wanted.limit <= MAX_LIMIT:
        errors.append(FieldError("limit", wanted.limit, f"choose 1 to {MAX_LIMIT}"))
    if wanted.sort.removeprefix("-") not in SORT_KEYS:
        known = ", ".join(SORT_KEYS)
        errors.append(
            FieldError("sort", wanted.sort, f"choose one of {known}; a minus in front: descending")
        )
    elif wanted.cursor is not None:
        try:
            position = _decode_cursor(wanted.sort, wanted.cursor)
        except ValueError:
            remedy = "take next_cursor of a page with the same sort, or start without a cursor"
            errors.append(FieldError("cursor", wanted.cursor, remedy))
    if errors:
        raise InputError(errors)
    return position


def _encode_cursor(sort: str, position: _Position) -> str:
    value = position.value
    if isinstance(value, datetime):
        value = value.isoformat()
    text = json.dumps([sort, position.id, value], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode_cursor(sort: str, cursor: str) -> _Position:
    """Raise ValueError for anything that `_encode_cursor` did not write for the same sort."""
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        parts = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError("not base64") from error
    if not (isinstance(parts, list) and len(parts) == 3 and parts[0] == sort):
        raise ValueError("of another sort")
    number, value = parts[1], parts[2]
    name = sort.removeprefix("-")
    if not isinstance(number, int) or isinstance(number, bool) or abs(number) >= 2**63:
        raise ValueError("no row number")
    if value is None:
        return _Position(number, None)
    if name == "finished_at":
        value = datetime.fromisoformat(value) if isinstance(value, str) else None
    kinds: tuple[type, ...] = (
        (int, float) if name == "submitted_at" or name in SORTABLE_METRICS else (str, datetime)
    )
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise ValueError("no value of this sort")
    return _Position(number, value)
