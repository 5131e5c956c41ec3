"""Every change leaves a row and a log line: who, what, on which object, when, from where.

Neither holds what was sent: no secret can get there. What was refused is a log line only, or a
stranger could fill the table.
"""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, g, request

from storage.errors import StorageUnavailable
from tasks.logs import get_logger
from webapp.context import get_context
from webapp.security import WRITES, find_client

_DENIALS = frozenset({401, 403, 429})


def add_audit(app: Flask) -> None:
    """Note each request that changed something once it is answered."""
    app.after_request(_note)


def name_object(object_id: str) -> None:
    """Name what the current request changes, where neither address nor ``Location`` does."""
    g.object_id = object_id


def note_question() -> None:
    """Say that the current request changes nothing, whatever its method."""
    g.is_question = True


def _note(response: Response) -> Response:
    if request.method not in WRITES or g.get("is_question"):
        return response
    context = get_context()
    identity = g.get("identity")
    status = response.status_code
    event: dict[str, Any] = {
        "actor": identity.name if identity is not None else "nobody",
        "action": request.endpoint or "unknown",
        "object_id": _find_object(response),
        "address": find_client(context.settings),
        "status": status,
    }
    if status in _DENIALS:
        get_logger(__name__).warning("write_denied", **event)
    if status >= 400 or identity is None:
        return response
    get_logger(__name__).info("write", **event)
    try:
        context.store.audit.add(**event, token_id=identity.token_id)
    except StorageUnavailable as error:
        # What was asked for is done; the line above is what remains of it.
        get_logger(__name__).error("audit_not_stored", reason=str(error), **event)
    return response


def _find_object(response: Response) -> str:
    named = g.get("object_id") or g.get("run_id")
    if named is None:
        places = [*(request.view_args or {}).values(), response.headers.get("Location", "")]
        named = next((str(item) for item in places if item), "").rpartition("/")[2]
    return str(named)[:255]
