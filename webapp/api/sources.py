"""Public sources of bars: which may be asked, and fetching from one. Off by default."""

from __future__ import annotations

from flask import Response

from backtest.errors import FieldError, InputError
from storage.datasets import validate_symbol
from storage.ingest import IngestProcess, PreviewProcess
from storage.sources import FetchOrder, SourceUnavailable, validate_period
from tasks.logs import get_logger
from webapp.api.datasets import build_limits, refuse_busy, store_dataset
from webapp.audit import note_question
from webapp.bodies import read_json_object, read_query, validate_model
from webapp.context import WebContext, get_context
from webapp.dataset_schemas import (
    DatasetPreview,
    DatasetView,
    FetchRequest,
    PreviewQuery,
    SourceList,
)
from webapp.dataset_views import build_preview_view
from webapp.problems import ProblemError, build_problem
from webapp.responses import build_json
from webapp.routing import Route

_TAG = "Sources"


def list_sources() -> Response:
    """List the sources that may be asked."""
    names = get_context().settings.sources
    return build_json({"sources": [{"name": name} for name in names]})


def fetch(source: str) -> Response:
    """Fetch bars in a child process; store them, or tell what they would be."""
    query = read_query(PreviewQuery)
    context = get_context()
    _check_source(context, source)
    order, name = _build_order(source, validate_model(FetchRequest, read_json_object()))
    if not context.uploading.acquire(blocking=False):
        return refuse_busy()
    try:
        return _fetch(context, order, name, is_preview=query.preview)
    except SourceUnavailable as error:
        get_logger(__name__).warning("source_unavailable", source=source, reason=str(error))
        headers = {"Retry-After": "30"}
        return build_problem(503, f"{error}; nothing was stored, try again later", headers=headers)
    finally:
        context.uploading.release()


def _check_source(context: WebContext, source: str) -> None:
    names = context.settings.sources
    if source in names:
        return
    message = f"choose of {', '.join(names)}" if names else "fetching is off"
    remedy = "an operator names sources in STOCK_BACKTEST_FETCH_SOURCES"
    raise ProblemError(
        404,
        f"there is no source {source[:40]}: {message}; {remedy}",
        [FieldError("source", source, f"{message}; {remedy}")],
    )


def _build_order(source: str, wanted: FetchRequest) -> tuple[FetchOrder, str]:
    symbol = validate_symbol(wanted.symbol)
    try:
        name = validate_symbol(wanted.name or symbol)
    except InputError as error:  # its words are those of a symbol
        raise InputError(
            FieldError("name", item.value, item.message) for item in error.errors
        ) from None
    validate_period(wanted.start, wanted.end)
    return FetchOrder(source, symbol, wanted.start, wanted.end), name


def _fetch(context: WebContext, order: FetchOrder, name: str, *, is_preview: bool) -> Response:
    limits = build_limits(context)
    file_name = f"{order.source}:{order.symbol}"
    if is_preview:
        note_question()
        with PreviewProcess(file_name, None, limits, order=order) as process:
            return build_json(build_preview_view(name, file_name, process.finish()))
    with IngestProcess(file_name, None, limits, order=order) as storing:
        return store_dataset(context, storing.finish(), name, file_name)


ROUTES = (
    Route("GET", "/api/v1/sources", list_sources, "List public sources", _TAG, SourceList),
    Route(
        "POST",
        "/api/v1/sources/{source}/fetch",
        fetch,
        "Fetch bars from a public source",
        _TAG,
        DatasetView,
        status=201,
        others=((200, DatasetPreview, "What it would be stored as; nothing is"),),
        body=FetchRequest,
        query=PreviewQuery,
        refusals=(400, 404, 413, 415, 422),
    ),
)
