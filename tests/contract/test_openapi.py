"""The description is valid OpenAPI 3.1 and tells the truth."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest

from tests.support.web import Web, inline_web, submit, web

__all__ = ["inline_web", "web"]

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
def document(web: Web) -> dict[str, Any]:
    answer = web.client.get("/api/openapi.json")
    assert answer.status_code == 200
    return dict(answer.json)


def list_operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def find_references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [item for child in value.values() for item in find_references(child)]
    if isinstance(value, list):
        return [item for child in value for item in find_references(child)]
    return []


def test_the_document_has_the_structure_of_openapi_3_1(document: dict[str, Any]) -> None:
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert {"title", "version"} <= document["info"].keys()
    ids = []
    for method, path, operation in list_operations(document):
        assert method in METHODS
        assert path.startswith("/")
        ids.append(operation["operationId"])
        assert operation["responses"]
        for status, response in operation["responses"].items():
            assert re.fullmatch(r"[1-5]\d\d", status)
            assert response["description"]
            for media in response.get("content", {}).values():
                assert "schema" in media
        named = {item["name"] for item in operation.get("parameters", []) if item["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))
        for parameter in operation.get("parameters", []):
            assert {"name", "in", "schema"} <= parameter.keys()
            assert parameter["in"] != "path" or parameter["required"] is True
        if "requestBody" in operation:
            assert operation["requestBody"]["content"]
    assert len(ids) == len(set(ids))


def test_every_reference_points_to_a_valid_schema(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for reference in find_references(document):
        prefix, _, name = reference.rpartition("/")
        assert prefix == "#/components/schemas"
        assert name in schemas
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_route_is_documented_and_every_documented_route_exists(
    web: Web, document: dict[str, Any]
) -> None:
    served = {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in web.app.url_map.iter_rules()
        for method in rule.methods or set()
        if rule.endpoint not in ("static", "module", "sheet")
        and not rule.endpoint.startswith("page_")
        if method not in ("HEAD", "OPTIONS")
    }
    documented = {(method, path) for method, path, _ in list_operations(document)}
    assert documented == served


def test_the_contract_is_covered(document: dict[str, Any]) -> None:
    documented = {f"{method.upper()} {path}" for method, path, _ in list_operations(document)}
    run, sweep = "/api/v1/runs/{run_id}", "/api/v1/sweeps/{sweep_id}"
    parts = ("ranking", "heatmap", "marginals", "importance", "export.parquet", "export.csv")
    assert {
        "POST /api/v1/sweeps",
        "GET /api/v1/sweeps",
        *(f"{method} {sweep}" for method in ("GET", "PATCH", "DELETE")),
        *(f"GET {sweep}/{part}" for part in parts),
        *(f"POST {sweep}/{action}" for action in ("pause", "resume", "cancel", "retry")),
        "POST /api/v1/runs",
        "POST /run_backtest",
        "GET /api/v1/runs",
        f"GET {run}",
        f"PATCH {run}",
        f"DELETE {run}",
        f"POST {run}/cancel",
        f"GET {run}/result",
        f"GET {run}/charts",
        "GET /api/v1/rules",
        "GET /api/v1/datasets",
        "POST /api/v1/datasets",
        "DELETE /api/v1/datasets",
        "GET /api/strategies",
        "POST /api/strategies",
        "GET /health",
        "GET /health/live",
        "GET /health/ready",
        "GET /metrics",
        "GET /api/openapi.json",
    } <= documented
    assert any(item.startswith("DELETE /api/strategies/{") for item in documented)


def test_refusals_are_problem_documents_everywhere(document: dict[str, Any]) -> None:
    for method, path, operation in list_operations(document):
        for status, response in operation["responses"].items():
            if int(status) >= 400 and not path.startswith("/health"):
                assert list(response["content"]) == ["application/problem+json"], (method, path)


def find_schema(document: dict[str, Any], path: str, method: str, status: str) -> dict[str, Any]:
    content = document["paths"][path][method]["responses"][status]["content"]
    schema = next(iter(content.values()))["schema"]
    return {**schema, "components": document["components"]}


def test_answers_match_their_documented_schemas(inline_web: Web) -> None:
    client = inline_web.client
    document = client.get("/api/openapi.json").json
    run_id = submit(inline_web)
    client.post("/api/strategies", json={"name": "p", "rule": "rsi"})
    run = "/api/v1/runs/{run_id}"
    for template in (
        run,
        f"{run}/result",
        f"{run}/charts",
        f"{run}/view",
        f"{run}/series",
        f"{run}/trades",
        f"{run}/trades/view",
        "/api/v1/runs",
        "/api/v1/rules",
        "/api/v1/datasets",
        "/api/strategies",
        "/health",
        "/health/live",
    ):
        answer = client.get(template.replace("{run_id}", run_id))
        assert answer.status_code == 200, template
        jsonschema.validate(answer.json, find_schema(document, template, "get", "200"))
    refusal = client.post("/api/v1/runs", json={"rule": "nonsense"})
    jsonschema.validate(refusal.json, find_schema(document, "/api/v1/runs", "post", "422"))


def test_answers_about_a_sweep_match_their_documented_schemas(inline_web: Web) -> None:
    client = inline_web.client
    document = client.get("/api/openapi.json").json
    body = {"dataset": "WALK", "rule": "rsi", "space": {"window": "3:5", "oversold": [20, 30]}}
    path = "/api/v1/sweeps"
    schema = find_schema(document, path, "post", "200")
    jsonschema.validate(client.post(f"{path}?estimate=1", json=body).json, schema)
    submitted = client.post(path, json=body)
    jsonschema.validate(submitted.json, find_schema(document, path, "post", "202"))
    jsonschema.validate(client.post(path, json=body).json, schema)
    sweep = f"{path}/{{sweep_id}}"
    parts = ("ranking", "heatmap", "marginals", "importance", "parallel", "verdict", "chunks")
    for template in (path, sweep, *(f"{sweep}/{part}" for part in parts)):
        answer = client.get(template.replace("{sweep_id}", submitted.json["sweep_id"]))
        assert answer.status_code == 200, template
        jsonschema.validate(answer.json, find_schema(document, template, "get", "200"))


def test_the_documented_body_of_a_run_is_what_validates(document: dict[str, Any]) -> None:
    body = document["paths"]["/api/v1/runs"]["post"]["requestBody"]["content"]
    assert set(body) == {
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    }
    schema = {**body["application/json"]["schema"], "components": document["components"]}
    jsonschema.validate({"dataset": "AAPL", "rule": "rsi", "trading": {"size": 0.5}}, schema)
    for bad in ({}, {"dataset": "AAPL", "rule": "rsi", "trading": {"fee_rate": -1}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)


def test_the_values_that_a_heat_map_holds_are_described_as_parameters(
    document: dict[str, Any],
) -> None:
    operation = document["paths"]["/api/v1/sweeps/{sweep_id}/heatmap"]["get"]
    [fixed] = [item for item in operation["parameters"] if item["name"] == "fixed"]
    # An exploded object: each of its properties is a parameter of the query string by itself.
    assert (fixed["in"], fixed["style"], fixed["explode"]) == ("query", "form", True)
    jsonschema.validate({"fixed.window": "14", "fixed.stop_loss": "off"}, fixed["schema"])
    for bad in ({"window": "14"}, {"fixed.": "14"}, {"fixed.window": ["14"]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, fixed["schema"])


def test_the_documented_body_of_a_sweep_may_come_as_a_form(document: dict[str, Any]) -> None:
    body = document["paths"]["/api/v1/sweeps"]["post"]["requestBody"]["content"]
    assert set(body) == {
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    }
