"""Runs: submit, poll, list, cancel, change, delete."""

from __future__ import annotations

from flask import Response

from rules.spec import RunRequest, parse_run_request
from storage.errors import IdempotencyConflict
from storage.records import TERMINAL_STATES, RunFilter
from tasks.executors import get_executor
from tasks.logs import get_logger
from tasks.submit import submit_run
from webapp.bodies import BODY_TYPES, read_json_object, read_query, read_run_payload, validate_model
from webapp.context import get_context
from webapp.polls import load_pulse
from webapp.problems import ProblemError
from webapp.responses import build_json
from webapp.routing import Route
from webapp.run_views import (
    answer_unchanged,
    build_links,
    build_run_view,
    is_unchanged,
    load_run,
    read_run_id,
    unknown_run,
    wait_until_terminal,
)
from webapp.schemas import (
    RunList,
    RunListQuery,
    RunPatch,
    RunState,
    RunSubmitted,
    RunView,
    WaitQuery,
)
from webapp.submissions import SUBMIT_HEADERS, hold_answer, read_idempotency_key, read_wait
from webapp.telemetry import bind_run_id

_TAG = "Runs"


def submit() -> Response:
    """Validate, persist and enqueue a run; a finished run with the same inputs is returned."""
    context = get_context()
    seconds = read_wait()
    key = read_idempotency_key()
    run_request = parse_run_request(read_run_payload())
    try:
        submission = submit_run(context.store, context.settings, run_request, idempotency_key=key)
    except IdempotencyConflict as error:
        raise ProblemError(
            409, "this Idempotency-Key was sent before with another request; use a new key"
        ) from error
    record = submission.record
    bind_run_id(record.run_id)
    context.telemetry.count_submission("run", cached=submission.cached, created=submission.created)
    state: str = record.state
    if seconds > 0 and state not in TERMINAL_STATES:
        state = hold_answer(state, lambda: wait_until_terminal(record.run_id, seconds))
    links = build_links(record.run_id)
    body = {
        "run_id": record.run_id,
        "state": state,
        "cached": submission.cached,
        "links": links,
    }
    return build_json(body, 200 if submission.cached else 202, {"Location": links["self"]})


def show(run_id: str) -> Response:
    """Answer a run's state; 304 if nothing changed since the ETag that the client sends."""
    pulse = load_pulse(get_context().engine, read_run_id(run_id))
    if pulse is not None and is_unchanged(pulse.etag):
        return answer_unchanged(pulse.etag)
    # Read after the pulse: if the run moves on in between, the ETag is the older one, and the next
    # poll is answered in full.
    record = load_run(run_id)
    if record.state in TERMINAL_STATES:
        get_executor(get_context().settings).forget("run", record.run_id)
    queue: tuple[int | None, int | None] = (None, None)
    if pulse is not None and record.state == "queued":
        queue = (pulse.queue_position, pulse.queue_length)
    response = build_json(build_run_view(record, *queue), headers={"Cache-Control": "no-cache"})
    if pulse is not None:
        response.set_etag(pulse.etag, weak=True)
    return response


def list_runs() -> Response:
    """List runs, one page at a time."""
    query = read_query(RunListQuery)
    page = get_context().store.runs.list(RunFilter(**query.model_dump()))
    return build_json(
        {"runs": [build_run_view(item) for item in page.items], "next_cursor": page.next_cursor}
    )


def cancel(run_id: str) -> Response:
    """Cancel a run that has not ended; cancelling it again changes nothing."""
    record = load_run(run_id)
    if not get_context().store.runs.cancel(record.run_id):
        record = load_run(run_id)
        if record.state != "cancelled":
            raise ProblemError(409, f"the run has already {record.state}; delete it instead")
    else:
        get_logger(__name__).info("run_cancelled", state="cancelled")
        get_executor(get_context().settings).forget("run", record.run_id)
    return build_json({"run_id": record.run_id, "state": "cancelled"})


def delete(run_id: str) -> Response:
    """Delete a run in whatever state, with everything stored of it."""
    run_id = read_run_id(run_id)
    if not get_context().store.runs.delete(run_id):
        raise unknown_run(run_id)
    get_logger(__name__).info("run_deleted")
    get_executor(get_context().settings).forget("run", run_id)
    return Response(status=204)


def patch(run_id: str) -> Response:
    """Change a run's tags or note; what is left out stays."""
    run_id = read_run_id(run_id)
    change = validate_model(RunPatch, read_json_object())
    record = get_context().store.runs.patch(run_id, change.tags, change.note)
    if record is None:
        raise unknown_run(run_id)
    return build_json(build_run_view(record))


ROUTES = (
    *(
        Route(
            "POST",
            path,
            submit,
            "Submit a backtest",
            _TAG,
            RunSubmitted,
            status=202,
            also=((200, "The same backtest is done already"),),
            body=RunRequest,
            body_types=BODY_TYPES,
            query=WaitQuery,
            headers=SUBMIT_HEADERS,
            refusals=(400, 409, 413, 415, 422),
        )
        for path in ("/api/v1/runs", "/run_backtest")
    ),
    Route(
        "GET",
        "/api/v1/runs",
        list_runs,
        "List runs",
        _TAG,
        RunList,
        query=RunListQuery,
        refusals=(422,),
    ),
    Route(
        "GET",
        "/api/v1/runs/{run_id}",
        show,
        "State of a run",
        _TAG,
        RunView,
        also=((304, "Nothing changed since the ETag in If-None-Match"),),
        headers=(("If-None-Match", "ETag of the answer before"),),
        refusals=(404,),
    ),
    Route(
        "PATCH",
        "/api/v1/runs/{run_id}",
        patch,
        "Change tags or note",
        _TAG,
        RunView,
        body=RunPatch,
        refusals=(400, 404, 413, 415, 422),
    ),
    Route(
        "DELETE",
        "/api/v1/runs/{run_id}",
        delete,
        "Delete a run with its result",
        _TAG,
        status=204,
        refusals=(404,),
    ),
    Route(
        "POST",
        "/api/v1/runs/{run_id}/cancel",
        cancel,
        "Cancel a run",
        _TAG,
        RunState,
        refusals=(404, 409),
    ),
)
