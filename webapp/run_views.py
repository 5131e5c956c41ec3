"""Run records as the API shows them, and the checks every run address shares."""

from __future__ import annotations

import re
import time
from typing import Any

from flask import Response, request

from backtest.errors import FieldError
from storage.records import TERMINAL_STATES, RunRecord
from webapp.context import get_context
from webapp.polls import load_pulse
from webapp.problems import ProblemError
from webapp.responses import format_instant
from webapp.telemetry import bind_run_id

UUID_TEXT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def read_run_id(text: str) -> str:
    """Return a run's id in its stored form, and name it in the log from here on.

    Raises
    ------
    ProblemError
        404 for text that is no UUID: no run can have it.
    """
    if UUID_TEXT.fullmatch(text) is None:
        raise ProblemError(
            404,
            "a run's id is a UUID such as 123e4567-e89b-42d3-a456-426614174000",
            [FieldError("run_id", text, "is no UUID; copy the id that the submission answered")],
        )
    run_id = text.lower()
    bind_run_id(run_id)
    return run_id


def unknown_run(run_id: str) -> ProblemError:
    """Return the refusal of an id that no run has."""
    return ProblemError(
        404,
        f"there is no run {run_id}",
        [FieldError("run_id", run_id, "no such run; it may have been deleted")],
    )


def load_run(text: str) -> RunRecord:
    """Return the run with the id `text`, or raise 404."""
    run_id = read_run_id(text)
    record = get_context().store.runs.get(run_id)
    if record is None:
        raise unknown_run(run_id)
    return record


def load_succeeded_run(text: str) -> RunRecord:
    """Return the run with the id `text` if it has a result.

    Raises
    ------
    ProblemError
        404 if there is no such run, 409 if it has no result (yet).
    """
    record = load_run(text)
    if record.state == "succeeded":
        return record
    remedy = {
        "queued": "ask again when it has succeeded",
        "running": "ask again when it has succeeded",
        "failed": "its error says why; correct the request and submit it again",
        "cancelled": "submit it again",
    }[record.state]
    raise ProblemError(409, f"the run is {record.state} and has no result; {remedy}")


def build_links(run_id: str) -> dict[str, str]:
    """Return where to go on from a run."""
    base = f"/api/v1/runs/{run_id}"
    return {
        "self": base,
        "result": f"{base}/result",
        "charts": f"{base}/charts",
        "view": f"{base}/view",
        "cancel": f"{base}/cancel",
        "page": f"/?run={run_id}",
    }


def build_run_view(
    record: RunRecord, queue_position: int | None = None, queue_length: int | None = None
) -> dict[str, Any]:
    """Return a run as JSON-safe values; see `webapp.schemas.RunView`."""
    return {
        "run_id": record.run_id,
        "state": record.state,
        "stage": record.stage,
        "progress": record.progress,
        "queue_position": queue_position,
        "queue_length": queue_length,
        "submitted_at": format_instant(record.submitted_at),
        "started_at": format_instant(record.started_at),
        "finished_at": format_instant(record.finished_at),
        "attempt": record.attempt,
        "error": record.error,
        "fingerprint": record.fingerprint,
        "symbol": record.symbol,
        "rule": record.rule,
        "spec": record.spec,
        "metrics": record.metrics,
        "tags": list(record.tags),
        "note": record.note,
        "has_charts": record.has_charts,
        "links": build_links(record.run_id),
    }


def is_unchanged(etag: str) -> bool:
    """Say whether the client already holds what `etag` names."""
    return request.if_none_match.contains_weak(etag)


def answer_unchanged(etag: str) -> Response:
    """Build the 304 for `etag`."""
    response = Response(status=304)
    response.set_etag(etag, weak=True)
    response.headers["Cache-Control"] = "no-cache"
    return response


def wait_until_terminal(run_id: str, seconds: float) -> str:
    """Return the run's state once it is terminal or `seconds` have passed.

    The database is the only thing that all web and worker processes share, so it is asked; the
    pause grows from 5 to 200 ms, as most runs are done within the first.
    """
    engine = get_context().engine
    deadline = time.monotonic() + seconds
    pause = 0.005
    while True:
        pulse = load_pulse(engine, run_id)
        if pulse is None:
            raise unknown_run(run_id)
        left = deadline - time.monotonic()
        if pulse.state in TERMINAL_STATES or left <= 0:
            return pulse.state
        time.sleep(min(pause, left))
        pause = min(0.2, pause * 1.5)
