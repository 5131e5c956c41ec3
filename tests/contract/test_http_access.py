"""Who may ask what: tokens, scopes, and nothing without them once there is one."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Any

import pytest

from storage.access import SCOPES, Scope, includes_scope
from tests.support.web import RUN, SECRET_KEY, Web, bearer, build_web, make_token, submit
from webapp.access import PUBLIC, get_access

# What answers a stranger; nothing else does.
OPEN_PATHS = ("/health", "/health/live", "/health/ready")


@pytest.fixture
def closed(tmp_path: Path) -> Web:
    return build_web(tmp_path, auth="token", secret_key=SECRET_KEY)


def list_operations(web: Web) -> list[tuple[str, str, str]]:
    """Return method, path and endpoint of everything that the application serves."""
    values = {
        "version": "v",
        "filename": "x.js",
        "table": "trades",
        "extension": "csv",
        "index": "0",
    }
    found = []
    for rule in web.app.url_map.iter_rules():
        path = re.sub(
            r"<(?:\w+:)?(\w+)>", lambda match: values.get(match[1], str(uuid.uuid4())), rule.rule
        )
        found += [(method, path, rule.endpoint) for method in sorted(rule.methods or ())]
    return found


def test_without_a_token_every_path_but_health_answers_401(closed: Web) -> None:
    operations = list_operations(closed)
    assert len(operations) > 60
    for method, path, endpoint in operations:
        answer = closed.client.open(path, method=method)
        if endpoint in PUBLIC:
            assert answer.status_code != 401 or endpoint == "post_session", path
            continue
        assert answer.status_code == 401, (method, path)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        if method != "HEAD":
            assert answer.mimetype == "application/problem+json", (method, path)
            assert answer.json["status"] == 401
    for path in ("/nothing", "/api/v1/nothing", "/.env", "/run_backtest/x"):
        assert closed.client.get(path).status_code == 401


def test_only_health_login_and_what_the_login_page_loads_are_public() -> None:
    assert {
        *("get_health", "get_health_live", "get_health_ready"),
        *("static", "module", "sheet", "page_login", "post_session"),
    } == PUBLIC


@pytest.mark.parametrize("path", OPEN_PATHS)
def test_health_answers_without_a_token(closed: Web, path: str) -> None:
    assert closed.client.get(path).status_code in (200, 503)


def test_every_operation_says_what_it_needs(closed: Web) -> None:
    policy = get_access(closed.app).policy
    endpoints = {endpoint for _, _, endpoint in list_operations(closed)}
    assert endpoints - policy.keys() == set()
    assert get_access(closed.app).needed("an operation that nobody declared") == "admin"


@pytest.mark.parametrize("scope", SCOPES)
def test_scopes_are_enforced_on_every_operation(closed: Web, scope: Scope) -> None:
    headers = bearer(make_token(closed, scope))
    policy = get_access(closed.app).policy
    for method, path, endpoint in list_operations(closed):
        if endpoint == "delete_tokens_ref":
            continue  # an admin's would end the walk
        answer = closed.client.open(path, method=method, headers=headers)
        needed = "read" if method == "OPTIONS" else policy[endpoint]
        allowed = needed == "public" or includes_scope(scope, needed)
        assert (answer.status_code != 403) is allowed, (method, path, answer.status_code)
        assert answer.status_code != 401 or needed == "public"


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/", "read"),
        ("GET", "/metrics", "read"),
        ("GET", "/api/openapi.json", "read"),
        ("POST", "/api/v1/runs", "submit"),
        ("POST", "/run_backtest", "submit"),
        ("POST", "/api/v1/sweeps", "submit"),
        ("POST", "/api/v1/datasets", "submit"),
        ("POST", "/api/strategies", "submit"),
        ("DELETE", "/api/strategies/x", "submit"),
        ("DELETE", "/api/v1/runs/x", "admin"),
        ("DELETE", "/api/v1/datasets/WALK", "admin"),
        ("GET", "/api/v1/tokens", "admin"),
        ("POST", "/api/v1/tokens", "admin"),
        ("GET", "/api/v1/audit", "admin"),
    ],
)
def test_what_is_needed_for_what(closed: Web, method: str, path: str, needed: Scope) -> None:
    for scope in SCOPES:
        headers = bearer(closed.store.tokens.create(f"{scope}{path}{method}", scope)[1])
        status = closed.client.open(path, method=method, headers=headers).status_code
        assert (status == 403) is not includes_scope(scope, needed)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer sbt_wrong",
        "Bearer sbt_" + "x" * 43,
        "Basic YTpi",
        "sbt_x",
        "Bearer sbt_' OR 1=1 --",
        "Bearer sbt_ü",
    ],
)
def test_what_is_no_token_is_refused(closed: Web, header: str) -> None:
    make_token(closed)
    answer = closed.client.get(
        "/api/v1/rules", headers={"Authorization": header.encode().decode("latin-1")}
    )
    assert answer.status_code == 401
    assert "wrong" not in answer.text


def test_a_revoked_token_is_refused_at_once(closed: Web) -> None:
    admin = bearer(make_token(closed))
    created = closed.client.post("/api/v1/tokens", json={"name": "ci"}, headers=admin)
    assert created.status_code == 201
    secret, token_id = created.json["token"], created.json["id"]
    assert created.json["scope"] == "read"
    assert closed.client.get("/api/v1/rules", headers=bearer(secret)).status_code == 200
    listed = closed.client.get("/api/v1/tokens", headers=admin)
    assert secret not in listed.text
    assert {item["name"] for item in listed.json["tokens"]} == {"ci", "admin of a test"}
    revoked = closed.client.delete(f"/api/v1/tokens/{token_id}", headers=admin)
    assert revoked.json["revoked_at"] is not None
    assert closed.client.get("/api/v1/rules", headers=bearer(secret)).status_code == 401
    again = closed.client.delete(f"/api/v1/tokens/{token_id}", headers=admin)
    assert again.status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x", "scope": "root"}, "scope"),
        ({"name": "x", "expires_days": 0}, "expires_days"),
        ({"name": "x", "colour": "red"}, "colour"),
    ],
)
def test_a_bad_token_request_names_the_field(closed: Web, body: dict[str, Any], field: str) -> None:
    answer = closed.client.post("/api/v1/tokens", json=body, headers=bearer(make_token(closed)))
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == field


def test_loopback_is_open_until_the_first_token_is_made(tmp_path: Path) -> None:
    web = build_web(tmp_path)
    assert web.client.get("/api/v1/session").json == {
        "kind": "open",
        "name": "local",
        "scope": "admin",
        "csrf_token": None,
    }
    submit(web)
    created = web.client.post("/api/v1/tokens", json={"name": "first", "scope": "admin"})
    assert web.client.get("/api/v1/rules").status_code == 401
    headers = bearer(created.json["token"])
    assert web.client.get("/api/v1/rules", headers=headers).status_code == 200
    web.client.delete("/api/v1/tokens/first", headers=headers)
    assert web.client.get("/api/v1/rules").status_code == 401  # revoking the last opens nothing


@pytest.mark.parametrize(
    ("peer", "host"),
    [("192.0.2.7", "localhost"), ("127.0.0.1", "app.example.com"), ("::ffff:192.0.2.7", "[::1]")],
)
def test_what_came_over_the_network_is_never_let_in_unasked(
    tmp_path: Path, peer: str, host: str
) -> None:
    web = build_web(tmp_path, allowed_hosts="app.example.com")
    answer = web.client.get(
        "/api/v1/rules", headers={"Host": host}, environ_overrides={"REMOTE_ADDR": peer}
    )
    assert answer.status_code == 401


@pytest.mark.parametrize("told", ["192.0.2.7", "192.0.2.7, 127.0.0.1", "unknown"])
def test_what_a_proxy_of_this_machine_passes_on_is_never_let_in_unasked(
    tmp_path: Path, told: str
) -> None:
    web = build_web(tmp_path)
    headers = {"Host": "127.0.0.1", "X-Forwarded-For": told}
    assert web.client.get("/api/v1/rules", headers=headers).status_code == 401
    own = {**headers, "X-Forwarded-For": "127.0.0.1"}
    assert web.client.get("/api/v1/rules", headers=own).status_code == 200


def test_a_platform_that_is_open_on_purpose_asks_nobody(tmp_path: Path) -> None:
    web = build_web(tmp_path, auth="dangerously-open", bind="0.0.0.0:5000")
    make_token(web)
    answer = web.client.get("/api/v1/rules", environ_overrides={"REMOTE_ADDR": "192.0.2.7"})
    assert answer.status_code == 200


def test_on_the_network_nobody_is_let_in_whatever_the_database_holds(tmp_path: Path) -> None:
    web = build_web(tmp_path, bind="0.0.0.0:5000", secret_key=SECRET_KEY)
    assert web.client.get("/api/v1/rules").status_code == 401


def test_a_write_leaves_a_row_that_says_who_what_when_and_from_where(closed: Web) -> None:
    headers = bearer(make_token(closed, "submit"))
    run_id = closed.client.post("/api/v1/runs", json=RUN, headers=headers).json["run_id"]
    closed.client.patch(f"/api/v1/runs/{run_id}", json={"note": "n"}, headers=headers)
    closed.client.post(f"/api/v1/runs/{run_id}/cancel", headers=headers)
    closed.client.delete(f"/api/v1/runs/{run_id}", headers=headers)  # refused: not its scope
    closed.client.get("/api/v1/runs", headers=headers)  # changes nothing
    preset = closed.client.post(
        "/api/strategies", json={"name": "p", "rule": "rsi"}, headers=headers
    ).json["id"]
    admin = bearer(make_token(closed))
    answer = closed.client.get("/api/v1/audit", headers=admin)
    events = answer.json["events"]
    assert [(item["action"], item["object_id"], item["status"]) for item in events] == [
        ("post_strategies", preset, 201),
        ("post_runs_run_id_cancel", run_id, 200),
        ("patch_runs_run_id", run_id, 200),
        ("post_runs", run_id, 202),
    ]
    for event in events:
        assert event["actor"] == "submit of a test"
        assert event["address"] == "127.0.0.1"
        assert event["at"].endswith("Z")
    assert "sbt_" not in answer.text
    page = closed.client.get("/api/v1/audit?limit=2", headers=admin).json
    rest = closed.client.get(f"/api/v1/audit?before={page['next_before']}", headers=admin).json
    assert page["events"] + rest["events"] == events


def test_the_first_proxy_that_is_not_ours_is_where_a_request_came_from(tmp_path: Path) -> None:
    web = build_web(tmp_path, trusted_proxies="10.0.0.0/8", auth="token", secret_key=SECRET_KEY)
    headers = bearer(make_token(web))
    for peer, forwarded, expected in [
        ("10.1.2.3", "198.51.100.1, 203.0.113.9, 10.9.9.9", "203.0.113.9"),
        ("203.0.113.5", "198.51.100.1", "203.0.113.5"),  # a stranger's word counts nothing
        ("10.1.2.3", "<script>", "10.1.2.3"),
        ("10.1.2.3", "", "10.1.2.3"),
    ]:
        web.client.post(
            "/api/strategies",
            json={"name": "p", "rule": "rsi"},
            headers={**headers, "X-Forwarded-For": forwarded},
            environ_overrides={"REMOTE_ADDR": peer},
        )
        assert web.store.audit.list(1)[0].address == expected


def test_writes_of_a_token_are_limited_and_told_when_to_come_back(tmp_path: Path) -> None:
    web = build_web(tmp_path, auth="token", secret_key=SECRET_KEY, max_writes_per_minute=3)
    headers = bearer(make_token(web, "submit"))
    statuses = [
        web.client.post("/api/strategies", json={"name": "p", "rule": "rsi"}, headers=headers)
        for _ in range(4)
    ]
    assert [answer.status_code for answer in statuses] == [201, 201, 201, 429]
    last = statuses[-1]
    assert last.mimetype == "application/problem+json"
    assert 1 <= int(last.headers["Retry-After"]) <= 60
    assert web.client.get("/api/v1/rules", headers=headers).status_code == 200
    other = bearer(make_token(web, "admin"))
    assert (
        web.client.post("/api/strategies", json={"name": "q", "rule": "rsi"}, headers=other)
    ).status_code == 201


def test_reads_of_a_token_are_limited_too(tmp_path: Path) -> None:
    web = build_web(tmp_path, auth="token", secret_key=SECRET_KEY, max_reads_per_minute=2)
    headers = bearer(make_token(web, "read"))
    statuses = [web.client.get("/api/v1/rules", headers=headers).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


def test_an_address_that_guesses_tokens_is_told_to_wait_but_shuts_out_nobody(closed: Web) -> None:
    headers = bearer(make_token(closed))
    statuses = [
        closed.client.get("/api/v1/rules", headers=bearer("sbt_guess")).status_code
        for _ in range(12)
    ]
    assert statuses == [401] * 10 + [429] * 2
    assert closed.client.get("/api/v1/rules", headers=headers).status_code == 200


def test_the_description_tells_what_each_operation_needs(closed: Web) -> None:
    headers = bearer(make_token(closed, "read"))
    document = closed.client.get("/api/openapi.json", headers=headers).json
    policy = get_access(closed.app).policy
    operations = [item for path in document["paths"].values() for item in path.values()]
    assert {item["operationId"]: item["x-needs"] for item in operations} == {
        item["operationId"]: policy[item["operationId"]] for item in operations
    }
    for item in operations:
        assert bool(item["security"]) is (item["x-needs"] != "public")
        assert "401" in item["responses"]
        assert "429" in item["responses"]
    schemes = document["components"]["securitySchemes"]
    assert schemes["token"]["scheme"] == "bearer"
