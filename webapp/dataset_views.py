"""Datasets as the API and the page show them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from backtest.bars import Spacing, format_times
from backtest.errors import FieldError
from storage.errors import DatasetInUse
from storage.records import DatasetRecord
from webapp.context import get_context
from webapp.problems import ProblemError
from webapp.responses import format_instant


def build_dataset_view(record: DatasetRecord) -> dict[str, Any]:
    """Return a dataset as JSON-safe values; see `webapp.dataset_schemas.DatasetView`."""
    return {
        "id": record.id,
        "symbol": record.symbol,
        "version": record.version,
        "sha256": record.sha256,
        "n_bars": record.n_bars,
        **_build_span(record.first_ns, record.last_ns, record.spacing),
        "spacing": record.spacing,
        "periods_per_year": record.periods_per_year,
        "has_adjustment": record.has_adjustment,
        "warnings": list(record.warnings),
        "file_name": record.file_name,
        "created_at": format_instant(record.created_at),
        "n_bytes": record.n_bytes,
        "tags": list(record.tags),
    }


def build_preview_view(symbol: str, file_name: str, preview: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a child made of a file; see `webapp.dataset_schemas.DatasetPreview`."""
    shown = dict(preview)
    span = _build_span(shown.pop("first_ns"), shown.pop("last_ns"), shown["spacing"])
    versions = get_context().store.datasets.list_versions(symbol)
    is_known = bool(versions) and versions[0].sha256 == shown["sha256"]
    latest = versions[0].version if versions else 0
    return {
        **shown,
        **span,
        "symbol": symbol,
        "version": latest if is_known else latest + 1,
        "is_known": is_known,
        "file": {"name": file_name, **shown["file"]},
    }


def _build_span(first_ns: int, last_ns: int, spacing: str) -> dict[str, str]:
    span = np.array([first_ns, last_ns], dtype=np.int64)
    start, end = format_times(span, cast(Spacing, spacing))
    return {"start": start, "end": end}


def unknown_dataset(ref: str) -> ProblemError:
    """Build the refusal for a dataset that is not there."""
    return ProblemError(
        404,
        f"there is no dataset {ref[:100]}",
        [FieldError("dataset", ref, "no such dataset; GET /api/v1/datasets lists all")],
    )


def dataset_in_use(error: DatasetInUse) -> ProblemError:
    """Build the refusal for a dataset that something stands on, with the newest of it."""
    message = "stands on it; delete it first"
    named = [FieldError("run_id", run_id, message) for run_id in error.uses.runs]
    named += [FieldError("sweep_id", sweep_id, message) for sweep_id in error.uses.sweeps]
    return ProblemError(409, f"{error}; delete them first, or keep the dataset", named)
