"""Sweeps: submit, estimate, poll, list, pause, resume, cancel, retry, change, delete."""

from __future__ import annotations

from collections.abc import Callable

from flask import Response

from rules.sweep_request import SweepRequest, parse_sweep_request
from storage.errors import IdempotencyConflict
from storage.sweep_records import ENDED_SWEEP_STATES, SweepFilter, SweepRecord
from tasks.executors import get_executor
from tasks.logs import get_logger
from tasks.sweeps import (
    cancel_sweep,
    estimate_sweep,
    pause_sweep,
    resume_sweep,
    retry_sweep,
    submit_sweep,
)
from webapp.audit import note_question
from webapp.bodies import (
    BODY_TYPES,
    read_json_object,
    read_query,
    read_sweep_payload,
    validate_model,
)
from webapp.context import get_context
from webapp.problems import ProblemError
from webapp.responses import build_json
from webapp.routing import Route
from webapp.run_views import answer_unchanged, is_unchanged
from webapp.schemas import RunPatch
from webapp.submissions import SUBMIT_HEADERS, hold_answer, read_idempotency_key, read_wait
from webapp.sweep_results import load_best, load_plateau, load_winners
from webapp.sweep_schemas import (
    SubmitSweepQuery,
    SweepAccepted,
    SweepList,
    SweepListQuery,
    SweepStateAnswer,
    SweepSubmitted,
    SweepView,
)
from webapp.sweep_views import (
    build_sweep_item,
    build_sweep_links,
    build_sweep_view,
    load_sweep,
    read_sweep_id,
    unknown_sweep,
    wait_until_sweep_ends,
)
from webapp.telemetry import bind_sweep_id

_TAG = "Sweeps"
_PATH = "/api/v1/sweeps/{sweep_id}"


def submit() -> Response:
    """Validate, persist and enqueue a sweep, or only estimate it."""
    context = get_context()
    seconds = read_wait()
    wants_estimate = read_query(SubmitSweepQuery, ignored=("wait",)).estimate
    key = read_idempotency_key()
    sweep_request = parse_sweep_request(read_sweep_payload())
    if wants_estimate:
        note_question()
        return build_json(estimate_sweep(context.store, context.settings, sweep_request))
    try:
        submission = submit_sweep(
            context.store, context.settings, sweep_request, idempotency_key=key
        )
    except IdempotencyConflict as error:
        raise ProblemError(
            409, "this Idempotency-Key was sent before with another request; use a new key"
        ) from error
    record = submission.record
    bind_sweep_id(record.sweep_id)
    context.telemetry.count_submission(
        "sweep", cached=submission.cached, created=submission.created
    )
    state: str = record.state
    if seconds > 0 and state not in ENDED_SWEEP_STATES:
        state = hold_answer(state, lambda: wait_until_sweep_ends(record.sweep_id, seconds))
    links = build_sweep_links(record.sweep_id)
    body = {
        "sweep_id": record.sweep_id,
        "run_id": record.sweep_id,
        "state": state,
        "cached": submission.cached,
        "links": links,
    }
    return build_json(body, 200 if submission.cached else 202, {"Location": links["self"]})


def show(sweep_id: str) -> Response:
    """Answer a sweep's state; 304 if nothing changed since the ETag that the client sends."""
    sweeps = get_context().store.sweeps
    pulse = sweeps.load_pulse(read_sweep_id(sweep_id))
    if pulse is not None and is_unchanged(pulse.etag):
        return answer_unchanged(pulse.etag)
    # Read after the pulse: if the sweep moves on in between, the ETag is the older one, and the
    # next poll is answered in full.
    record = load_sweep(sweep_id)
    if record.state in ENDED_SWEEP_STATES:
        get_executor(get_context().settings).forget("sweep", record.sweep_id)
    response = build_json(_build_view(record), headers={"Cache-Control": "no-cache"})
    if pulse is not None:
        response.set_etag(pulse.etag, weak=True)
    return response


def _build_view(record: SweepRecord) -> dict[str, object]:
    progress = get_context().store.sweeps.progress(record.sweep_id)
    if progress is None:
        raise unknown_sweep(record.sweep_id)
    return build_sweep_view(record, progress, load_best(record), load_plateau(record))


def list_sweeps() -> Response:
    """List sweeps, newest first, one page at a time."""
    query = read_query(SweepListQuery)
    sweeps = get_context().store.sweeps
    page = sweeps.list(SweepFilter(**query.model_dump()))
    winners = load_winners(page.items)
    items = [
        build_sweep_item(
            item,
            None if item.state == "succeeded" else sweeps.progress(item.sweep_id),
            *winners[item.sweep_id],
        )
        for item in page.items
    ]
    return build_json({"sweeps": items, "next_cursor": page.next_cursor})


def pause(sweep_id: str) -> Response:
    """Pause a sweep: no chunk completes until it is resumed."""
    return _control(sweep_id, pause_sweep, "paused", "only a sweep that is going on can be paused")


def resume(sweep_id: str) -> Response:
    """Go on with a sweep that is paused."""
    return _control(sweep_id, resume_sweep, "running", "only a paused sweep can be resumed")


def cancel(sweep_id: str) -> Response:
    """End a sweep; what is computed stays."""
    return _control(sweep_id, cancel_sweep, "cancelled", "it has ended; delete it instead")


def retry(sweep_id: str) -> Response:
    """Compute the chunks again that failed."""
    return _control(sweep_id, retry_sweep, "running", "only a sweep that failed can be retried")


def _control(sweep_id: str, change: Callable[..., bool], wanted: str, remedy: str) -> Response:
    """Change a sweep's state; a sweep that has the wanted state already stays as it is."""
    context = get_context()
    record = load_sweep(sweep_id)
    if not change(context.store, context.settings, record.sweep_id):
        record = load_sweep(sweep_id)
        if record.state != wanted:
            raise ProblemError(409, f"the sweep is {record.state}: {remedy}")
    record = load_sweep(sweep_id)
    return build_json(
        {"sweep_id": record.sweep_id, "run_id": record.sweep_id, "state": record.state}
    )


def delete(sweep_id: str) -> Response:
    """Delete a sweep in whatever state, with everything stored of it."""
    sweep_id = read_sweep_id(sweep_id)
    if not get_context().store.sweeps.delete(sweep_id):
        raise unknown_sweep(sweep_id)
    get_logger(__name__).info("sweep_deleted")
    get_executor(get_context().settings).forget("sweep", sweep_id)
    return Response(status=204)


def patch(sweep_id: str) -> Response:
    """Change a sweep's tags or note; what is left out stays."""
    sweep_id = read_sweep_id(sweep_id)
    change = validate_model(RunPatch, read_json_object())
    record = get_context().store.sweeps.patch(sweep_id, change.tags, change.note)
    if record is None:
        raise unknown_sweep(sweep_id)
    return build_json(_build_view(record))


ROUTES = (
    Route(
        "POST",
        "/api/v1/sweeps",
        submit,
        "Submit a sweep",
        _TAG,
        SweepSubmitted,
        status=202,
        others=((200, SweepAccepted, "The same sweep is done already, or an estimate"),),
        body=SweepRequest,
        body_types=BODY_TYPES,
        query=SubmitSweepQuery,
        headers=SUBMIT_HEADERS,
        refusals=(400, 409, 413, 415, 422),
    ),
    Route(
        "GET",
        "/api/v1/sweeps",
        list_sweeps,
        "List sweeps, newest first",
        _TAG,
        SweepList,
        query=SweepListQuery,
        refusals=(422,),
    ),
    Route(
        "GET",
        _PATH,
        show,
        "State of a sweep",
        _TAG,
        SweepView,
        also=((304, "Nothing changed since the ETag in If-None-Match"),),
        headers=(("If-None-Match", "ETag of the answer before"),),
        refusals=(404,),
    ),
    Route(
        "PATCH",
        _PATH,
        patch,
        "Change tags or note",
        _TAG,
        SweepView,
        body=RunPatch,
        refusals=(400, 404, 413, 415, 422),
    ),
    Route(
        "DELETE",
        _PATH,
        delete,
        "Delete a sweep with its results",
        _TAG,
        status=204,
        refusals=(404,),
    ),
    *(
        Route(
            "POST",
            f"{_PATH}/{name}",
            handler,
            summary,
            _TAG,
            SweepStateAnswer,
            refusals=(404, 409),
        )
        for name, handler, summary in (
            ("pause", pause, "Pause a sweep"),
            ("resume", resume, "Go on with a paused sweep"),
            ("cancel", cancel, "Cancel a sweep"),
            ("retry", retry, "Compute failed chunks again"),
        )
    ),
)
