"""Datasets: list, upload, remove."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from flask import Response, request

from backtest.bars import Spacing, format_times
from backtest.errors import FieldError, InputError
from storage.bar_files import FileLimits
from storage.ingest import IngestProcess
from storage.records import DatasetRecord
from tasks.logs import get_logger
from webapp.audit import name_object
from webapp.context import get_context
from webapp.problems import ProblemError, build_problem
from webapp.responses import build_json, format_instant
from webapp.routing import Route
from webapp.schemas import DatasetList, DatasetQuery, DatasetUpload, DatasetView
from webapp.uploads import receive_upload

_TAG = "Datasets"


def build_dataset_view(record: DatasetRecord) -> dict[str, Any]:
    """Return a dataset as JSON-safe values; see `webapp.schemas.DatasetView`."""
    span = np.array([record.first_ns, record.last_ns], dtype=np.int64)
    start, end = format_times(span, cast(Spacing, record.spacing))
    warnings: list[Mapping[str, Any]] = list(record.warnings)
    return {
        "id": record.id,
        "symbol": record.symbol,
        "version": record.version,
        "sha256": record.sha256,
        "n_bars": record.n_bars,
        "start": start,
        "end": end,
        "spacing": record.spacing,
        "periods_per_year": record.periods_per_year,
        "has_adjustment": record.has_adjustment,
        "warnings": warnings,
        "file_name": record.file_name,
        "created_at": format_instant(record.created_at),
    }


def list_datasets() -> Response:
    """List all datasets."""
    records = get_context().store.datasets.list()
    return build_json({"datasets": [build_dataset_view(record) for record in records]})


def upload() -> Response:
    """Parse a file in a child process while it arrives, then store it under its symbol."""
    context = get_context()
    settings = context.settings
    limits = FileLimits(settings.max_upload_bytes, settings.max_bars)

    def open_sink(file_name: str, date_format: str | None) -> IngestProcess:
        return IngestProcess(file_name, date_format, limits)

    if not context.uploading.acquire(blocking=False):
        return build_problem(
            503,
            "other uploads are being read; send it again when they are done",
            headers={"Retry-After": "10"},
        )
    try:
        symbol, file_name, parsed = receive_upload(open_sink, settings.max_upload_bytes)
    finally:
        context.uploading.release()
    record = context.store.datasets.add(parsed, symbol, file_name)
    get_logger(__name__).info(
        "dataset_stored", symbol=symbol, sha256=record.sha256, n_bars=record.n_bars
    )
    return build_json(
        build_dataset_view(record), 201, {"Location": f"/api/v1/datasets/{record.id}"}
    )


def show(ref: str) -> Response:
    """Answer a dataset by symbol (its newest version), SHA-256 or id."""
    record = get_context().store.datasets.get(ref)
    if record is None:
        raise _unknown_dataset(ref)
    return build_json(build_dataset_view(record))


def _unknown_dataset(ref: str) -> ProblemError:
    return ProblemError(
        404,
        f"there is no dataset {ref[:100]}",
        [FieldError("dataset", ref, "no such dataset; GET /api/v1/datasets lists all")],
    )


def remove(ref: str) -> Response:
    """Remove a dataset by symbol, SHA-256 or id; runs keep the content they were computed on."""
    if not get_context().store.datasets.remove(ref):
        raise _unknown_dataset(ref)
    name_object(ref)
    get_logger(__name__).info("dataset_removed", dataset=ref[:100])
    return Response(status=204)


def remove_by_query() -> Response:
    """Remove the dataset that the query string names."""
    symbol = request.args.get("symbol", "")
    if symbol == "":
        raise InputError.of("symbol", None, "this field is required")
    return remove(symbol)


ROUTES = (
    Route("GET", "/api/v1/datasets", list_datasets, "List datasets", _TAG, DatasetList),
    Route(
        "POST",
        "/api/v1/datasets",
        upload,
        "Upload a file of bars",
        _TAG,
        DatasetView,
        status=201,
        body=DatasetUpload,
        body_types=("multipart/form-data",),
        refusals=(400, 413, 415, 422),
    ),
    Route(
        "GET",
        "/api/v1/datasets/{ref}",
        show,
        "A dataset by symbol, SHA-256 or id",
        _TAG,
        DatasetView,
        refusals=(404,),
    ),
    Route(
        "DELETE",
        "/api/v1/datasets",
        remove_by_query,
        "Remove the dataset named by its symbol",
        _TAG,
        status=204,
        query=DatasetQuery,
        refusals=(404, 422),
    ),
    Route(
        "DELETE",
        "/api/v1/datasets/{ref}",
        remove,
        "Remove a dataset by symbol, SHA-256 or id",
        _TAG,
        status=204,
        refusals=(404,),
    ),
)
