"""Foreign pages can neither read nor write; browsers are told what our pages may do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.web import RUN, Web, build_web, count_rows, submit, web

__all__ = ["web"]

PATHS = ("/", "/api/v1/rules", "/api/v1/runs", "/health", "/health/live", "/metrics", "/static/x")


@pytest.mark.parametrize("path", PATHS)
def test_a_foreign_host_is_refused_everywhere(web: Web, path: str) -> None:
    answer = web.client.get(path, headers={"Host": "evil.example:5000"})
    assert answer.status_code == 400
    assert answer.mimetype == "application/problem+json"
    assert "STOCK_BACKTEST_ALLOWED_HOSTS" in answer.json["detail"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:5000", "[::1]:5000"])
def test_loopback_is_always_answered(web: Web, host: str) -> None:
    assert web.client.get("/health/live", headers={"Host": host}).status_code == 200


def test_configured_hosts_are_answered(tmp_path: Path) -> None:
    web = build_web(tmp_path, allowed_hosts="app.example.com, other.example")
    for host in ("app.example.com", "OTHER.example:8080"):
        assert web.client.get("/health/live", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:8888"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_write_from_a_foreign_page_is_refused_and_changes_nothing(
    web: Web, headers: dict[str, str]
) -> None:
    run_id = submit(web)
    before = count_rows(web)
    for method, path, body in [
        ("POST", "/api/v1/runs", RUN),
        ("POST", "/run_backtest", RUN),
        ("POST", f"/api/v1/runs/{run_id}/cancel", None),
        ("PATCH", f"/api/v1/runs/{run_id}", {"note": "x"}),
        ("DELETE", f"/api/v1/runs/{run_id}", None),
        ("POST", "/api/v1/datasets", None),
        ("DELETE", "/api/v1/datasets/WALK", None),
        ("POST", "/api/strategies", {"name": "x", "rule": "rsi"}),
        ("DELETE", "/api/strategies/x", None),
    ]:
        answer = web.client.open(path, method=method, json=body, headers=headers)
        assert answer.status_code == 403, (method, path)
        assert answer.mimetype == "application/problem+json"
    assert count_rows(web) == before
    record = web.store.runs.get(run_id)
    assert record is not None
    assert (record.state, record.note) == ("queued", "")


def test_our_own_page_may_write(web: Web) -> None:
    headers = {"Origin": "http://localhost:5000", "Sec-Fetch-Site": "same-origin"}
    answer = web.client.post(
        "/api/v1/runs", json=RUN, headers={"Host": "localhost:5000", **headers}
    )
    assert answer.status_code == 202


@pytest.mark.parametrize("path", ["/api/v1/rules", "/nothing", "/api/v1/runs/x"])
def test_every_answer_carries_the_security_headers(web: Web, path: str) -> None:
    headers = web.client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?:|\*", policy)
    assert "Access-Control-Allow-Origin" not in headers


def test_no_cookie_is_set(web: Web) -> None:
    assert "Set-Cookie" not in web.client.get("/api/v1/rules").headers
