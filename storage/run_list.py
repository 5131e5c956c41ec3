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

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, func, or_, select

from backtest.errors import FieldError, InputError
from storage.models import LIST_INDEXES, SORTABLE_METRICS, run_tags, runs
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


# So many rows are looked up and sorted faster than any index is walked to its end.
_RARE_TAG = 2000

# SQLite looks a row up by its number even when it is told to use no index.
_BY_ROW_NUMBER = {"sqlite": "NOT INDEXED", "mysql": "FORCE INDEX (PRIMARY)"}


@dataclass(frozen=True, slots=True)
class _Position:
    """The last row of a page: its number, and its value under the sort key (None: it has none)."""

    id: int
    value: Any


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """How to reach the rows: sort key, row number, direction, and a hint for each dialect."""

    key: ColumnElement[Any]
    number: ColumnElement[int]
    descending: bool
    hints: dict[str, str]
    from_tag: bool


def list_runs(connection: Connection, wanted: RunFilter) -> Page:
    """Return one page.

    Raises
    ------
    InputError
        Naming every field of the filter that cannot be used.
    """
    position = _validate(wanted)
    plan = _plan(connection, wanted)
    rows: list[Row[Any]] = []
    # An index cannot serve "empty values last", but it serves both halves one after the other.
    for empty in (False, True):
        ended_here = position is not None and (position.value is None) == empty
        if (empty and plan.key is plan.number) or len(rows) > wanted.limit:
            continue
        if not empty and position is not None and not ended_here:
            continue  # the page before ended among the empty ones
        query = _build_query(
            wanted,
            plan,
            empty=empty,
            after=position if ended_here else None,
            limit=wanted.limit + 1 - len(rows),
        )
        rows += connection.execute(query).all()
    items = tuple(build_record(row) for row in rows[: wanted.limit])
    if len(rows) <= wanted.limit:
        return Page(items, None)
    last = rows[wanted.limit - 1]
    return Page(items, _encode_cursor(wanted.sort, _Position(last.id, last.sort_value)))


def _build_query(
    wanted: RunFilter, plan: _Plan, *, empty: bool, after: _Position | None, limit: int
) -> Select[Any]:
    """Find the page's rows in an index, then read the records of just these."""
    key, number = plan.key, plan.number
    found = select(runs.c.id, key.label("sort_value"))
    if plan.from_tag:
        found = found.join(run_tags, run_tags.c.run_number == runs.c.id)
        found = found.where(run_tags.c.tag == wanted.tag)
    elif wanted.tag is not None:
        tagged = (run_tags.c.tag == wanted.tag) & (run_tags.c.run_number == runs.c.id)
        found = found.where(exists().where(tagged))
    for dialect, hint in plan.hints.items():
        found = found.with_hint(runs, hint, dialect)
    for name in ("state", "symbol", "rule"):
        value = getattr(wanted, name)
        if value is not None:
            found = found.where(runs.c[name] == value)
    if key is not number:
        found = found.where(key.is_(None) if empty else key.is_not(None))
    if after is not None:
        found = found.where(_behind(key, number, after, plan.descending))
    order = [number] if empty or key is number else [key, number]
    found = found.order_by(*_direct(order, plan.descending)).limit(limit)
    page = found.subquery("page")
    outer = [page.c.id] if empty or key is number else [page.c.sort_value, page.c.id]
    return (
        select(page.c.sort_value, *RECORD_COLUMNS, runs.c.id)
        .join(runs, runs.c.id == page.c.id)
        .order_by(*_direct(outer, plan.descending))
    )


def _direct(order: list[Any], descending: bool) -> list[Any]:
    return [item.desc() if descending else item.asc() for item in order]


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


def _plan(connection: Connection, wanted: RunFilter) -> _Plan:
    """Decide what leads to the rows: an index that is already in order, or a rare tag."""
    name = wanted.sort.removeprefix("-")
    key, descending = SORT_KEYS[name], wanted.sort.startswith("-")
    filters = [item for item in (wanted.state, wanted.symbol, wanted.rule) if item is not None]
    by_number = key is runs.c.id
    if wanted.tag is not None and ((by_number and not filters) or _is_rare(connection, wanted.tag)):
        number = run_tags.c.run_number
        return _Plan(
            number if by_number else key, number, descending, _BY_ROW_NUMBER, from_tag=True
        )
    if by_number and wanted.tag is None and len(filters) <= 1:
        return _Plan(key, key, descending, {}, from_tag=False)  # the planner sees it itself
    # Left to itself a planner trusts the filter, and sorts what the filter finds, which may be all.
    index = "ix_runs_" + "_".join(LIST_INDEXES[name])
    hints = {"sqlite": f"INDEXED BY {index}", "mysql": f"FORCE INDEX ({index})"}
    return _Plan(key, runs.c.id, descending, hints, from_tag=False)


def _is_rare(connection: Connection, tag: str) -> bool:
    some = select(run_tags.c.run_number).where(run_tags.c.tag == tag).limit(_RARE_TAG + 1)
    count = connection.scalar(select(func.count()).select_from(some.subquery())) or 0
    return count <= _RARE_TAG


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
