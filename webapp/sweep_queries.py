"""What may be asked about a sweep's numbers, checked; and the wait for a worker's answer."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adapters.sweep_columns import HEADLINE_METRICS, METRIC_SIGN
from backtest.errors import FieldError, InputError
from rules.rule_validator import suggest_name
from tasks.sweeps import request_query
from webapp.context import get_context
from webapp.problems import ProblemError
from webapp.responses import build_json
from webapp.sweep_views import unknown_sweep

if TYPE_CHECKING:
    from flask import Response

    from rules.optimizer import SearchSpace
    from storage.sweep_records import QueryRecord, SweepRecord

_LONGEST_WAIT_SECONDS = 25.0  # below what proxies and our own client give a request


def read_metric(metric: str | None, record: SweepRecord) -> str:
    """Return the metric that is meant, by default the sweep's objective.

    Raises
    ------
    InputError
        For a name that no combination has, with those that it has.
    """
    if metric is None:
        return record.objective
    if metric not in HEADLINE_METRICS:
        near = suggest_name(metric, HEADLINE_METRICS)
        raise InputError.of(
            "metric", metric, f"no such metric; choose one of {', '.join(HEADLINE_METRICS)}{near}"
        )
    return metric


def read_axes(space: SearchSpace, x: str | None, y: str | None) -> tuple[str, str]:
    """Return the names of the two axes that are meant, by default the first two.

    Raises
    ------
    InputError
        If the sweep has fewer than two; whether the names are axes is checked later.
    """
    names = [axis.name for axis in space.axes]
    if len(names) < 2:
        only = f"only {names[0]}" if names else "none"
        raise InputError.of("x", x, f"a heat map takes two axes, and this sweep has {only}")
    across = x or next(name for name in names if name != y)
    return across, y or next(name for name in names if name != across)


def read_order(order: str, metric: str) -> str:
    """Return an order of the API in the words of `adapters.sweep_ranking`."""
    if order == "worst":
        return "asc" if METRIC_SIGN[metric] > 0 else "desc"
    return {"ascending": "asc", "descending": "desc"}.get(order, order)


def answer_by_worker(
    record: SweepRecord,
    kind: str,
    args: Mapping[str, Any],
    shown: Mapping[str, Any] | None = None,
) -> Response:
    """Ask a worker, and answer what it finds; 202 if it needs longer than a request may take.

    Parameters
    ----------
    kind, args
        See `tasks.sweeps.request_query`.
    shown : mapping, optional
        What the answer says instead of what the worker found.

    Raises
    ------
    InputError
        If the question has no answer, in the worker's words.
    """
    context = get_context()
    try:
        query = request_query(context.store, context.settings, record.sweep_id, kind, dict(args))
    except KeyError as error:  # deleted since it was read
        raise unknown_sweep(record.sweep_id) from error
    if query.state not in ("done", "failed") and context.waiting.acquire(blocking=False):
        try:
            query = _wait(query)
        finally:
            context.waiting.release()
    if query.state == "failed":
        raise _explain(query)
    if query.state != "done":
        return build_json({"state": "computing"}, 202, {"Retry-After": "1"})
    complete = record.state == "succeeded"
    return build_json(
        {"sweep_id": record.sweep_id, "complete": complete, **query.result, **(shown or {})}
    )


def _wait(query: QueryRecord) -> QueryRecord:
    sweeps = get_context().store.sweeps
    deadline = time.monotonic() + _LONGEST_WAIT_SECONDS
    pause = 0.01
    while query.state not in ("done", "failed"):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(pause, left))
        pause = min(0.25, pause * 1.5)
        found = sweeps.get_query(query.query_id)
        if found is None:
            raise ProblemError(409, "the sweep was deleted or went on meanwhile; ask again")
        query = found
    return query


def _explain(query: QueryRecord) -> Exception:
    error = query.error or {}
    errors = [
        FieldError(item["field"], item["value"], item["message"])
        for item in error.get("errors") or ()
    ]
    if errors:
        return InputError(errors)
    return ProblemError(500, str(error.get("message") or "a worker could not compute the answer"))
