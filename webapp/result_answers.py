"""What the answers about a result share: when they are built, and what names their content."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from flask import Response

from storage.records import RunRecord
from webapp.bar_budget import LARGE_BARS
from webapp.context import get_context
from webapp.problems import build_problem
from webapp.responses import JSON
from webapp.run_views import unknown_run
from webapp.submissions import hold_answer

# How long a large result waits for others to be read.
_READ_WAIT_SECONDS, _READ_RETRY_SECONDS = 5.0, 5

Stored = TypeVar("Stored")


def answer_in_turn(record: RunRecord, build: Callable[[], Response]) -> Response:
    """Build an answer out of a whole result; of large ones few are in memory at a time.

    A place is taken until the answer is sent, because it is written from the columns as it goes.
    """
    n_bars = record.spec["dataset"]["n_bars"]
    if n_bars <= LARGE_BARS:
        return build()
    reading = get_context().reading
    if not reading.acquire(n_bars) and not hold_answer(
        False, lambda: reading.acquire(n_bars, _READ_WAIT_SECONDS)
    ):
        return build_problem(
            503,
            "other large results are being read; ask again when they are done",
            headers={"Retry-After": str(_READ_RETRY_SECONDS)},
        )
    try:
        response = build()
    except BaseException:
        reading.release(n_bars)
        raise
    response.call_on_close(lambda: reading.release(n_bars))
    return response


def require(found: Stored | None, record: RunRecord) -> Stored:
    """Return a part of a result; it is gone if the run was deleted since it was looked up."""
    if found is None:
        raise unknown_run(record.run_id)
    return found


def build_etag(record: RunRecord) -> str:
    """Return what names the content of a result."""
    # A result never changes once it is stored, and an id is never used again.
    return f"{record.run_id}.{record.attempt}"


def build_immutable(body: Iterable[bytes], etag: str) -> Response:
    """Build an answer that a client keeps and asks about with its `etag`."""
    response = Response(body, mimetype=JSON)
    response.set_etag(etag, weak=True)
    response.headers["Cache-Control"] = "private, no-cache"
    return response
