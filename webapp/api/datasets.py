"""Datasets: list, preview, upload, look into, rename, tag, remove."""

from __future__ import annotations

from typing import cast

from flask import Response, request

from adapters.bar_report import REPORT_COLUMNS, build_bar_report
from adapters.views import build_series_view
from backtest.bars import Spacing
from backtest.errors import FieldError, InputError
from storage.bar_files import FileLimits
from storage.errors import DatasetInUse, SymbolTaken, UnknownDataset
from storage.ingest import IngestProcess, ParsedDataset, PreviewProcess
from storage.records import DatasetRecord
from tasks.logs import get_logger
from webapp.audit import name_object, note_question
from webapp.bodies import read_json_object, read_query, validate_model
from webapp.context import WebContext, get_context
from webapp.dataset_schemas import (
    BarReport,
    DatasetList,
    DatasetListQuery,
    DatasetPatch,
    DatasetPreview,
    DatasetQuery,
    DatasetSeries,
    DatasetSeriesQuery,
    DatasetUpload,
    DatasetView,
    PreviewQuery,
)
from webapp.dataset_views import (
    build_dataset_view,
    build_preview_view,
    dataset_in_use,
    unknown_dataset,
)
from webapp.problems import ProblemError, build_problem
from webapp.responses import build_json
from webapp.routing import Route
from webapp.uploads import receive_upload

_TAG = "Datasets"
_SERIES = ("open", "high", "low", "close", "volume")


def list_datasets() -> Response:
    """List the newest version of all datasets, or all versions of one."""
    query = read_query(DatasetListQuery)
    datasets = get_context().store.datasets
    records = datasets.list() if query.symbol is None else datasets.list_versions(query.symbol)
    return build_json({"datasets": [build_dataset_view(record) for record in records]})


def upload() -> Response:
    """Parse a file in a child process while it arrives; store it, or tell what it would be."""
    query = read_query(PreviewQuery)
    context = get_context()
    if not context.uploading.acquire(blocking=False):
        return refuse_busy()
    try:
        return _preview(context) if query.preview else _store(context)
    finally:
        context.uploading.release()


def refuse_busy() -> Response:
    """Answer that as many files are being read as may be at a time."""
    return build_problem(
        503,
        "other uploads are being read; send it again when they are done",
        headers={"Retry-After": "10"},
    )


def build_limits(context: WebContext) -> FileLimits:
    """Return how large a dataset may be here."""
    return FileLimits(context.settings.max_upload_bytes, context.settings.max_bars)


def _preview(context: WebContext) -> Response:
    note_question()
    limits = build_limits(context)

    def open_sink(file_name: str, date_format: str | None) -> PreviewProcess:
        return PreviewProcess(file_name, date_format, limits)

    symbol, file_name, preview = receive_upload(open_sink, limits.max_bytes)
    return build_json(build_preview_view(symbol, file_name, preview))


def _store(context: WebContext) -> Response:
    limits = build_limits(context)

    def open_sink(file_name: str, date_format: str | None) -> IngestProcess:
        return IngestProcess(file_name, date_format, limits)

    symbol, file_name, parsed = receive_upload(open_sink, limits.max_bytes)
    return store_dataset(context, parsed, symbol, file_name)


def store_dataset(
    context: WebContext, parsed: ParsedDataset, symbol: str, file_name: str
) -> Response:
    """Store what a child has parsed, and answer its view."""
    record = context.store.datasets.add(parsed, symbol, file_name)
    get_logger(__name__).info(
        "dataset_stored", symbol=symbol, sha256=record.sha256, n_bars=record.n_bars
    )
    return build_json(
        build_dataset_view(record), 201, {"Location": f"/api/v1/datasets/{record.id}"}
    )


def show(ref: str) -> Response:
    """Answer a dataset by symbol (its newest version), SHA-256 or id."""
    return build_json(build_dataset_view(_find(ref)))


def _find(ref: str) -> DatasetRecord:
    record = get_context().store.datasets.get(ref)
    if record is None:
        raise unknown_dataset(ref)
    return record


def show_report(ref: str) -> Response:
    """Answer what is notable about the bars of a dataset."""
    record = _find(ref)
    try:
        columns = get_context().store.datasets.load_columns(record.sha256, REPORT_COLUMNS)
    except UnknownDataset:  # removed since it was looked up
        raise unknown_dataset(ref) from None
    return build_json(build_bar_report(columns, cast(Spacing, record.spacing), record.warnings))


def show_series(ref: str) -> Response:
    """Answer columns between two bars, thinned so that no spike is lost."""
    query = read_query(DatasetSeriesQuery)
    names = list(dict.fromkeys(name.strip() for name in query.names.split(",")))
    unknown = [name for name in names if name not in _SERIES]
    if unknown:
        message = f"no such column; choose of {', '.join(_SERIES)}"
        raise InputError(FieldError("names", name, message) for name in unknown)
    record = _find(ref)
    wanted = ["timestamps", *names, *(("adj_factor",) if query.adjust else ())]
    try:
        columns = get_context().store.datasets.load_columns(record.sha256, wanted)
    except UnknownDataset:
        raise unknown_dataset(ref) from None
    columns["time"] = columns.pop("timestamps")
    if query.adjust:
        factor = columns.pop("adj_factor")
        for name in names:
            columns[name] = columns[name] / factor if name == "volume" else columns[name] * factor
    view = build_series_view(
        columns,
        names,
        cast(Spacing, record.spacing),
        start_idx=query.start_idx,
        end_idx=query.end_idx,
        max_points=query.points,
    )
    return build_json(view, headers={"Cache-Control": "no-cache"})


def patch(ref: str) -> Response:
    """Rename or tag a symbol with all its versions; runs keep the name they were given."""
    changes = validate_model(DatasetPatch, read_json_object())
    try:
        record = get_context().store.datasets.patch(ref, symbol=changes.symbol, tags=changes.tags)
    except SymbolTaken as error:
        message = "another dataset has this name; choose another, or remove that one first"
        named = [FieldError("symbol", changes.symbol, message)]
        raise ProblemError(409, str(error), named) from None
    if record is None:
        raise unknown_dataset(ref)
    return build_json(build_dataset_view(record))


def remove(ref: str) -> Response:
    """Remove a dataset by symbol, SHA-256 or id, unless runs or sweeps stand on it."""
    try:
        is_removed = get_context().store.datasets.remove(ref)
    except DatasetInUse as error:
        raise dataset_in_use(error) from None
    if not is_removed:
        raise unknown_dataset(ref)
    name_object(ref)
    get_logger(__name__).info("dataset_removed", dataset=ref[:100])
    return Response(status=204)


def remove_by_query() -> Response:
    """Remove the dataset that the query string names."""
    symbol = request.args.get("symbol", "")
    if symbol == "":
        raise InputError.of("symbol", None, "this field is required")
    return remove(symbol)


_ONE = "/api/v1/datasets/{ref}"

ROUTES = (
    Route(
        "GET",
        "/api/v1/datasets",
        list_datasets,
        "List datasets",
        _TAG,
        DatasetList,
        query=DatasetListQuery,
        refusals=(422,),
    ),
    Route(
        "POST",
        "/api/v1/datasets",
        upload,
        "Upload a file of bars",
        _TAG,
        DatasetView,
        status=201,
        others=((200, DatasetPreview, "What it would be stored as; nothing is"),),
        body=DatasetUpload,
        body_types=("multipart/form-data",),
        query=PreviewQuery,
        refusals=(400, 413, 415, 422),
    ),
    Route(
        "GET",
        _ONE,
        show,
        "A dataset by symbol, SHA-256 or id",
        _TAG,
        DatasetView,
        refusals=(404,),
    ),
    Route(
        "GET",
        f"{_ONE}/report",
        show_report,
        "What to look at before trusting its bars",
        _TAG,
        BarReport,
        refusals=(404,),
    ),
    Route(
        "GET",
        f"{_ONE}/series",
        show_series,
        "Its columns, thinned for drawing",
        _TAG,
        DatasetSeries,
        query=DatasetSeriesQuery,
        refusals=(404, 422),
    ),
    Route(
        "PATCH",
        _ONE,
        patch,
        "Rename or tag a symbol",
        _TAG,
        DatasetView,
        body=DatasetPatch,
        refusals=(404, 409, 413, 415, 422),
    ),
    Route(
        "DELETE",
        "/api/v1/datasets",
        remove_by_query,
        "Remove the dataset named by its symbol",
        _TAG,
        status=204,
        query=DatasetQuery,
        refusals=(404, 409, 422),
    ),
    Route(
        "DELETE",
        _ONE,
        remove,
        "Remove a dataset by symbol, SHA-256 or id",
        _TAG,
        status=204,
        refusals=(404, 409),
    ),
)
