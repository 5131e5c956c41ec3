"""JSON answers: orjson, NaN as null, floats in their shortest form that reads back equal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from flask import Response

JSON = "application/json"


def encode_json(value: object) -> bytes:
    """Encode `value`; numpy arrays and datetimes are understood, NaN and infinities become null."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


def build_json(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Build a JSON response that no cache keeps unless `headers` says otherwise."""
    response = Response(encode_json(value), status=status, mimetype=JSON)
    response.headers["Cache-Control"] = "no-store"
    for name, text in (headers or {}).items():
        response.headers[name] = text
    return response


def format_instant(instant: datetime | None) -> str | None:
    """Return a stored time as ISO 8601 in UTC with ``Z``; the database's naive times are UTC."""
    if instant is None:
        return None
    aware = instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")


def drop_keys(value: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """Return a copy of `value` without `keys`."""
    return {name: item for name, item in value.items() if name not in keys}
