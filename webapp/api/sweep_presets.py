"""Presets of sweeps: named inputs of a sweep, for the form."""

from __future__ import annotations

from typing import Any

from flask import Response

from backtest.errors import InputError
from rules.sweep_request import SweepRequest, parse_sweep_request
from storage.records import PresetRecord
from tasks.logs import get_logger
from webapp.api.presets import NOT_KEPT, delete, find_name_errors
from webapp.bodies import read_json_object
from webapp.context import get_context
from webapp.responses import build_json, drop_keys, format_instant
from webapp.routing import Route
from webapp.sweep_preset_schemas import SweepPresetList, SweepPresetRequest, SweepPresetView

_TAG = "Presets"
_PATH = "/api/v1/sweep-presets"


def build_sweep_preset_view(record: PresetRecord) -> dict[str, Any]:
    """Return a preset as JSON-safe values; see `SweepPresetView`."""
    return {
        "id": record.id,
        "name": record.name,
        **drop_keys(record.body, ("kind",)),
        "created_at": format_instant(record.created_at),
        "updated_at": format_instant(record.updated_at),
    }


def list_sweep_presets() -> Response:
    """List all presets of sweeps."""
    records = get_context().store.presets.list("sweep")
    return build_json({"presets": [build_sweep_preset_view(record) for record in records]})


def save_sweep_preset() -> Response:
    """Store a preset; one of the same name is replaced."""
    name, body = parse_sweep_preset(read_json_object())
    record = get_context().store.presets.save(name, body, "sweep")
    get_logger(__name__).info("preset_saved", preset=record.id)
    return build_json(build_sweep_preset_view(record), 201)


def parse_sweep_preset(payload: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Validate a preset as the sweep that it stands for; datasets may be missing.

    Raises
    ------
    InputError
        With every error of every field at once.
    """
    errors = find_name_errors(payload)
    body = drop_keys(payload, ("name", *NOT_KEPT))
    has_dataset = any(body.get(name) is not None for name in ("dataset", "datasets"))
    request: SweepRequest | None = None
    try:
        # Any text passes for the dataset: whether it exists is asked when the preset is swept.
        request = parse_sweep_request(body if has_dataset else {**body, "dataset": "-"})
    except InputError as error:
        errors.extend(error.errors)
    if errors or request is None:
        raise InputError(errors)
    stored = request.model_dump(mode="json", exclude=NOT_KEPT)
    return str(payload["name"]).strip(), stored if has_dataset else {**stored, "dataset": None}


ROUTES = (
    Route("GET", _PATH, list_sweep_presets, "List presets of sweeps", _TAG, SweepPresetList),
    Route(
        "POST",
        _PATH,
        save_sweep_preset,
        "Save a preset of a sweep",
        _TAG,
        SweepPresetView,
        status=201,
        body=SweepPresetRequest,
        refusals=(400, 413, 415, 422),
    ),
    Route(
        "DELETE",
        f"{_PATH}/{{preset_id}}",
        delete,
        "Delete a preset of a sweep",
        _TAG,
        status=204,
        refusals=(404,),
    ),
)
