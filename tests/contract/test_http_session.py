"""Browsers: a token becomes a cookie, and a cookie alone writes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from storage.access import Scope
from tests.support.web import RUN, SECRET_KEY, Web, bearer, build_web, make_token

OWN = {"Origin": "http://localhost"}


@pytest.fixture
def closed(tmp_path: Path) -> Web:
    return build_web(tmp_path, auth="token", secret_key=SECRET_KEY)


def log_in(web: Web, scope: Scope = "submit", **options: object) -> tuple[FlaskClient, str]:
    """Return a browser that has logged in and the proof that its pages hold."""
    client = web.app.test_client()
    answer = client.post("/api/v1/session", json={"token": make_token(web, scope)}, **options)
    assert answer.status_code == 200
    return client, str(answer.json["csrf_token"])


def test_a_person_is_shown_the_login_where_a_program_reads_why(closed: Web) -> None:
    accept = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    for path in ("/", "/runs", "/sweep/x", "/nothing"):
        answer = closed.client.get(path, headers=accept)
        assert (answer.status_code, answer.mimetype) == (401, "text/html")
        assert "WWW-Authenticate" in answer.headers
        assert 'id="login-form"' in answer.text
        assert "boot-data" not in answer.text  # neither rules nor datasets
    page = closed.client.get("/login")
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-store"


def test_a_login_gives_a_cookie_that_scripts_and_other_sites_do_not_get(closed: Web) -> None:
    answer = closed.client.post("/api/v1/session", json={"token": make_token(closed)})
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Max-Age=43200" in cookie
    assert "Secure" not in cookie  # http on loopback: a browser would drop it
    assert "sbt_" not in cookie
    assert closed.client.get("/").status_code == 200
    assert closed.client.get("/api/v1/session").json["kind"] == "session"


def test_over_https_the_cookie_is_secure_and_bound_to_the_host(closed: Web) -> None:
    answer = closed.client.post(
        "/api/v1/session", json={"token": make_token(closed)}, base_url="https://localhost"
    )
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie
    assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]


def test_over_https_a_page_of_plain_http_is_another_origin(closed: Web) -> None:
    for origin, status in [("http://localhost", 403), ("https://localhost", 200)]:
        answer = closed.client.post(
            "/api/v1/session",
            json={"token": closed.store.tokens.create(origin, "read")[1]},
            base_url="https://localhost",
            headers={"Origin": origin},
        )
        assert answer.status_code == status


def test_without_https_browsers_are_not_told_to_insist_on_it(closed: Web) -> None:
    assert "Strict-Transport-Security" not in closed.client.get("/login").headers


def test_our_own_page_writes_with_its_proof(closed: Web) -> None:
    client, proof = log_in(closed)
    page = client.get("/")
    assert f'<meta name="csrf-token" content="{proof}">' in page.text
    assert page.headers["Cache-Control"] == "no-store"
    answer = client.post("/api/v1/runs", json=RUN, headers={**OWN, "X-CSRF-Token": proof})
    assert answer.status_code == 202


@pytest.mark.parametrize(
    "headers",
    [
        {},
        OWN,
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "wrong", **OWN},
        {"X-CSRF-Token": "ü".encode().decode("latin-1"), **OWN},
        {"X-CSRF-Token": "{proof}"},
        {"X-CSRF-Token": "{proof}", "Origin": "http://evil.example"},
        {"X-CSRF-Token": "{proof}", "Origin": "null"},
        {"X-CSRF-Token": "{proof}", "Sec-Fetch-Site": "cross-site"},
        {"X-CSRF-Token": "{proof}", "Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_stolen_cookie_writes_nothing_from_elsewhere(
    closed: Web, headers: dict[str, str]
) -> None:
    client, proof = log_in(closed, "admin")
    sent = {name: value.replace("{proof}", proof) for name, value in headers.items()}
    for method, path, body in [
        ("POST", "/api/v1/runs", RUN),
        ("POST", "/api/v1/tokens", {"name": "mine", "scope": "admin"}),
        ("DELETE", "/api/v1/datasets/WALK", None),
        ("DELETE", "/api/v1/session", None),
    ]:
        answer = client.open(path, method=method, json=body, headers=sent)
        assert answer.status_code == 403, (method, path)
    assert sum(closed.store.runs.counts().values()) == 0
    assert [item.symbol for item in closed.store.datasets.list()] == ["WALK"]
    assert len(closed.store.tokens.list()) == 1


def test_the_proof_of_one_session_is_none_for_another(closed: Web) -> None:
    client, _ = log_in(closed)
    _, other = log_in(closed, "admin")
    answer = client.post("/api/v1/runs", json=RUN, headers={**OWN, "X-CSRF-Token": other})
    assert answer.status_code == 403


def test_a_cookie_that_was_tampered_with_or_signed_by_another_key_is_none(
    closed: Web, tmp_path: Path
) -> None:
    client, _ = log_in(closed)
    cookie = client.get_cookie("stock_backtest")
    assert cookie is not None
    for value in (cookie.value[:-2], "x" + cookie.value, "x.y.z", ""):
        client.set_cookie("stock_backtest", value)
        assert client.get("/api/v1/session").status_code == 401
    (tmp_path / "other").mkdir()
    other = build_web(tmp_path / "other", auth="token", secret_key="z" * 40)
    client = other.app.test_client()
    client.set_cookie("stock_backtest", cookie.value)
    assert client.get("/api/v1/session").status_code == 401


def test_every_replica_with_the_key_knows_the_cookie(closed: Web) -> None:
    from webapp.app import create_app

    client, _ = log_in(closed)
    cookie = client.get_cookie("stock_backtest")
    assert cookie is not None
    replica = create_app(closed.settings).test_client()
    replica.set_cookie("stock_backtest", cookie.value)
    assert replica.get("/api/v1/session").status_code == 200


def test_logging_out_ends_the_session_for_whoever_has_its_cookie(closed: Web) -> None:
    client, proof = log_in(closed)
    cookie = client.get_cookie("stock_backtest")
    assert cookie is not None
    answer = client.delete("/api/v1/session", headers={**OWN, "X-CSRF-Token": proof})
    assert answer.status_code == 204
    assert answer.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert client.get_cookie("stock_backtest") is None
    client.set_cookie("stock_backtest", cookie.value)
    assert client.get("/api/v1/session").status_code == 401


def test_revoking_a_token_ends_the_sessions_that_it_began(closed: Web) -> None:
    client, _ = log_in(closed, "submit")
    assert client.get("/").status_code == 200
    closed.store.tokens.revoke("submit of a test")
    assert client.get("/").status_code == 401


def test_a_session_has_the_scope_of_its_token(closed: Web) -> None:
    client, proof = log_in(closed, "read")
    answer = client.post("/api/v1/runs", json=RUN, headers={**OWN, "X-CSRF-Token": proof})
    assert answer.status_code == 403
    assert "submit" in answer.json["detail"]


def test_a_token_in_the_header_needs_no_proof(closed: Web) -> None:
    client, _ = log_in(closed)
    headers = bearer(closed.store.tokens.create("ci", "submit")[1])
    assert client.post("/api/v1/runs", json=RUN, headers=headers).status_code == 202


def test_wrong_tokens_are_refused_beside_the_field_and_never_repeated(closed: Web) -> None:
    answer = closed.client.post("/api/v1/session", json={"token": "hunter2-of-somebody"})
    assert answer.status_code == 401
    assert answer.json["errors"][0]["field"] == "token"
    assert "hunter2" not in answer.text
    for body in ({}, {"token": 5}, {"token": ""}, {"token": "x" * 201}, {"token": "x", "y": 1}):
        answer = closed.client.post("/api/v1/session", json=body)
        assert answer.status_code == 422
        assert answer.json["errors"] == [
            {
                "field": "token",
                "value": None,
                "message": "paste a token, sbt_ and 43 characters, and send nothing else",
            }
        ]


def test_login_failures_are_bounded_even_for_who_guesses_right_in_the_end(closed: Web) -> None:
    secret = make_token(closed)
    guesses = [closed.client.post("/api/v1/session", json={"token": f"x{i}"}) for i in range(10)]
    assert {answer.status_code for answer in guesses} == {401}
    answer = closed.client.post("/api/v1/session", json={"token": secret})
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) <= 300
    elsewhere = closed.client.post(
        "/api/v1/session", json={"token": secret}, environ_overrides={"REMOTE_ADDR": "192.0.2.9"}
    )
    assert elsewhere.status_code == 200


def test_a_login_from_another_origin_is_refused(closed: Web) -> None:
    answer = closed.client.post(
        "/api/v1/session",
        json={"token": make_token(closed)},
        headers={"Origin": "http://evil.example"},
    )
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


def test_without_a_key_there_is_no_login_but_tokens_work(tmp_path: Path) -> None:
    web = build_web(tmp_path)
    secret = make_token(web)
    answer = web.client.post("/api/v1/session", json={"token": secret})
    assert answer.status_code == 409
    assert "SECRET_KEY" in answer.json["detail"]
    assert "SECRET_KEY" in web.client.get("/login").text
    assert web.client.get("/api/v1/rules", headers=bearer(secret)).status_code == 200


def test_logins_are_in_the_audit_log(closed: Web) -> None:
    log_in(closed)
    event = closed.store.audit.list(1)[0]
    assert (event.action, event.actor) == ("post_session", "submit of a test")
