"""The API's description, OpenAPI 3.1, generated from the route table and the validating models."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from backtest.version import __version__
from webapp.access import PUBLIC
from webapp.problems import MEDIA_TYPE
from webapp.responses import JSON
from webapp.routing import Route
from webapp.schemas import Problem

_TEMPLATE = "#/components/schemas/{model}"
# Every operation may refuse a foreign Host or Origin, ask for a token, have been asked too often,
# fail, or find the database away.
_ALWAYS = (400, 401, 403, 429, 500, 503)
_UUIDS = ("run_id", "sweep_id")
_SECURITY = {
    "token": {"type": "http", "scheme": "bearer", "description": "`stock-backtest token create`"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "stock_backtest",
        "description": "Of POST /api/v1/session; writes send X-CSRF-Token as well",
    },
}

Names = dict[tuple[type[BaseModel], str], str]


def build_openapi(routes: Iterable[Route]) -> dict[str, Any]:
    """Build the document for `routes`.

    OpenAPI Initiative: OpenAPI Specification 3.1.1, 2024. Its schemas are JSON Schema 2020-12, the
    dialect that pydantic writes.
    """
    table = tuple(routes)
    names, schemas = _build_schemas(table)
    paths: dict[str, dict[str, Any]] = {}
    for route in table:
        paths.setdefault(route.path, {})[route.method.lower()] = _build_operation(route, names)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Stock Backtest",
            "version": __version__,
            "description": "Backtest trading rules: submit a run, poll its state, read its result.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in table)],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": _SECURITY},
    }


def _build_schemas(routes: tuple[Route, ...]) -> tuple[Names, dict[str, Any]]:
    """Return the schema name of every (model, mode) and all schemas."""
    wanted: dict[tuple[type[BaseModel], Any], None] = {(Problem, "serialization"): None}
    for route in routes:
        if route.body is not None:
            wanted[(route.body, "validation")] = None
        if isinstance(route.answer, type):
            wanted[(route.answer, "serialization")] = None
        wanted |= {(model, "serialization"): None for _, model, _ in route.others}
    references, definitions = models_json_schema(list(wanted), ref_template=_TEMPLATE)
    names: Names = {
        (model, mode): reference["$ref"].rpartition("/")[2]  # type: ignore[misc]
        for (model, mode), reference in references.items()
    }
    return names, dict(sorted(definitions.get("$defs", {}).items()))


def _build_operation(route: Route, names: Names) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.endpoint,
        "summary": route.summary,
        "tags": [route.tag],
        "responses": _build_responses(route, names),
        # Nothing, where the platform is open; otherwise a token, or a session and its proof.
        "security": [] if route.endpoint in PUBLIC else [{}, {"token": []}, {"session": []}],
        "x-needs": "public" if route.endpoint in PUBLIC else route.scope,
    }
    parameters = [*_build_path_parameters(route), *_build_query_parameters(route)]
    parameters += [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in route.headers
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        schema = _refer(names, route.body, "validation")
        operation["requestBody"] = {
            "required": True,
            "content": {media_type: {"schema": schema} for media_type in route.body_types},
        }
    return operation


def _build_responses(route: Route, names: Names) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if isinstance(route.answer, str):
        content = {route.answer: {"schema": {"type": "string"}}}
    elif route.answer is not None:
        content = {JSON: {"schema": _refer(names, route.answer, "serialization")}}
    responses: dict[str, Any] = {
        str(route.status): _build_answer(HTTPStatus(route.status), content)
    }
    for status, text in route.also:
        body = {} if status == HTTPStatus.NOT_MODIFIED else content
        responses[str(status)] = {"description": text, **({"content": body} if body else {})}
    for status, model, text in route.others:
        schema = _refer(names, model, "serialization")
        responses[str(status)] = {"description": text, "content": {JSON: {"schema": schema}}}
    problem = {MEDIA_TYPE: {"schema": _refer(names, Problem, "serialization")}}
    for status in sorted({*_ALWAYS, *route.refusals}):
        responses.setdefault(str(status), _build_answer(HTTPStatus(status), problem))
    return responses


def _build_answer(status: HTTPStatus, content: dict[str, Any]) -> dict[str, Any]:
    return {"description": status.phrase, **({"content": content} if content else {})}


def _refer(names: Names, model: type[BaseModel], mode: str) -> dict[str, str]:
    return {"$ref": _TEMPLATE.format(model=names[(model, mode)])}


def _build_path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", **({"format": "uuid"} if name in _UUIDS else {})},
        }
        for name in re.findall(r"{(\w+)}", route.path)
    ]


def _build_query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    schema = route.query.model_json_schema()
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            **({"description": text} if (text := item.get("description")) else {}),
            # Each property is a parameter of its own: ?fixed.window=14&fixed.stop_loss=off.
            **({"style": "form", "explode": True} if item.get("type") == "object" else {}),
            "schema": {key: value for key, value in item.items() if key != "description"},
        }
        for name, item in schema["properties"].items()
    ]
