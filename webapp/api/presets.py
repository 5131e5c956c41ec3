"""Presets: named inputs of a run, for the form."""

from __future__ import annotations

from typing import Any

from flask import Response

from backtest.errors import FieldError, InputError
from rules.spec import RunRequest, parse_run_request
from storage.models import MAX_NAME_LENGTH
from storage.records import PresetRecord
from tasks.logs import get_logger
from webapp.audit import name_object
from webapp.bodies import read_json_object
from webapp.context import get_context
from webapp.problems import ProblemError
from webapp.responses import build_json, drop_keys, format_instant
from webapp.routing import Route
from webapp.schemas import PresetList, PresetRequest, PresetView

_TAG = "Presets"
NOT_KEPT = {"force", "tags", "note"}


def build_preset_view(record: PresetRecord) -> dict[str, Any]:
    """Return a preset as JSON-safe values; see `webapp.schemas.PresetView`."""
    return {
        "id": record.id,
        "name": record.name,
        **record.body,
        "created_at": format_instant(record.created_at),
        "updated_at": format_instant(record.updated_at),
    }


def list_presets() -> Response:
    """List all presets."""
    records = get_context().store.presets.list()
    return build_json({"strategies": [build_preset_view(record) for record in records]})


def save() -> Response:
    """Store a preset; one of the same name is replaced."""
    name, body = parse_preset(read_json_object())
    record = get_context().store.presets.save(name, body)
    name_object(record.id)
    get_logger(__name__).info("preset_saved", preset=record.id)
    return build_json(build_preset_view(record), 201)


def parse_preset(payload: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Validate a preset as the run that it stands for; a dataset may be missing.

    Raises
    ------
    InputError
        With every error of every field at once.
    """
    errors = find_name_errors(payload)
    body = drop_keys(payload, ("name", *NOT_KEPT))
    has_dataset = body.get("dataset") is not None
    request: RunRequest | None = None
    try:
        # Any text passes for the dataset: whether it exists is asked when the preset is run.
        request = parse_run_request(body if has_dataset else {**body, "dataset": "-"})
    except InputError as error:
        errors.extend(error.errors)
    if errors or request is None:
        raise InputError(errors)
    stored = request.model_dump(mode="json", exclude=NOT_KEPT)
    return str(payload["name"]).strip(), stored if has_dataset else {**stored, "dataset": None}


def find_name_errors(payload: dict[str, Any]) -> list[FieldError]:
    """Return what is wrong with a preset's name, and what no preset keeps."""
    name = payload.get("name")
    errors: list[FieldError] = []
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= MAX_NAME_LENGTH:
        errors.append(
            FieldError("name", name, f"give it a name of 1 to {MAX_NAME_LENGTH} characters")
        )
    errors.extend(
        FieldError(key, payload[key], "a preset does not keep this; remove it")
        for key in sorted(NOT_KEPT & payload.keys())
    )
    return errors


def delete(preset_id: str) -> Response:
    """Delete a preset."""
    if not get_context().store.presets.delete(preset_id):
        raise ProblemError(
            404,
            f"there is no preset {preset_id[:100]}",
            [FieldError("preset_id", preset_id, "no such preset; it may have been deleted")],
        )
    get_logger(__name__).info("preset_deleted", preset=preset_id[:100])
    return Response(status=204)


ROUTES = (
    Route("GET", "/api/strategies", list_presets, "List presets", _TAG, PresetList),
    Route(
        "POST",
        "/api/strategies",
        save,
        "Save a preset",
        _TAG,
        PresetView,
        status=201,
        body=PresetRequest,
        refusals=(400, 413, 415, 422),
    ),
    Route(
        "DELETE",
        "/api/strategies/{preset_id}",
        delete,
        "Delete a preset",
        _TAG,
        status=204,
        refusals=(404,),
        needs="submit",  # who may overwrite one may delete one
    ),
)
