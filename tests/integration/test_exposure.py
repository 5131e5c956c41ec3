"""Real processes: what starts where, and what it says if it does not."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.store import Store
from tasks.settings import PREFIX
from tests.support.processes import wait_until
from tests.support.web import SECRET_KEY, bearer, build_web

WEB = [sys.executable, "-P", "-m", "cli.main", "web"]
FLOWER = [sys.executable, "-P", "-m", "tasks.flower_app"]


def build_environ(folder: Path, **settings: str) -> dict[str, str]:
    web = build_web(folder)
    web.store.engine.dispose()
    own = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
    given = {
        "DATABASE_URL": web.settings.database_url,
        "BROKER_URL": "redis://127.0.0.1:1/0",
        **settings,
    }
    return own | {PREFIX + name: value for name, value in given.items()}


def find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def refuse(command: list[str], environ: dict[str, str], cwd: Path) -> str:
    """Run what must refuse to start; return the one line that it says."""
    done = subprocess.run(
        command, env=environ, cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


@contextmanager
def start(command: list[str], environ: dict[str, str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(port), 60, f"{command} listens")
        yield
    finally:
        process.terminate()
        process.wait(20)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def get(port: int, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


@pytest.mark.parametrize("bind", ["0.0.0.0:5000", ":5000", "[::]:5000", "192.0.2.1:5000"])
def test_the_page_does_not_start_on_the_network_without_configuration(
    tmp_path: Path, bind: str
) -> None:
    line = refuse(WEB, build_environ(tmp_path, BIND=bind), tmp_path)
    assert line.startswith(f"error: STOCK_BACKTEST_BIND = '{bind}': ")
    assert "stock-backtest token create" in line


def test_flower_does_not_start_on_the_network_without_configuration(tmp_path: Path) -> None:
    environ = build_environ(tmp_path)
    line = refuse([*FLOWER, "--address", "0.0.0.0"], environ, tmp_path)
    assert line.startswith("error: --address = '0.0.0.0': ")


def test_the_whole_platform_does_not_start_on_the_network_without_configuration(
    tmp_path: Path,
) -> None:
    own = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
    command = [sys.executable, "-P", "-m", "cli.main", "up", "--state-dir", str(tmp_path / "s")]
    line = refuse(command, own | {PREFIX + "BIND": "0.0.0.0:5000"}, tmp_path)
    assert line.startswith("error: STOCK_BACKTEST_BIND = '0.0.0.0:")
    assert not (tmp_path / "s" / "stock_backtest.db").exists()


@pytest.mark.parametrize("command", [[*WEB[:-1], "web"], [*WEB[:-1], "flower"]])
def test_on_a_database_without_its_schema_nothing_is_served_and_one_line_says_so(
    tmp_path: Path, command: list[str]
) -> None:
    environ = build_environ(tmp_path, AUTH="token", SECRET_KEY=SECRET_KEY)
    environ[PREFIX + "DATABASE_URL"] = f"sqlite:///{tmp_path}/empty.db"
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert done.stderr == "error: the database is empty; run `stock-backtest db upgrade`\n"


def test_gunicorn_itself_binds_nothing_but_what_the_page_was_told(tmp_path: Path) -> None:
    environ = build_environ(tmp_path, BIND="127.0.0.1:5000")
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "gunicorn", "--config", "python:cli.gunicorn_config"),
            *("--bind", f"0.0.0.0:{find_port()}", "webapp.app:create_app()"),
        ],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "STOCK_BACKTEST_BIND" in done.stderr


@pytest.mark.parametrize("key", ["", "short"])
def test_with_a_token_the_key_of_logins_must_come_from_the_environment(
    tmp_path: Path, key: str
) -> None:
    environ = build_environ(tmp_path, BIND="0.0.0.0:5000", AUTH="token", SECRET_KEY=key)
    line = refuse(WEB, environ, tmp_path)
    assert line.startswith("error: STOCK_BACKTEST_SECRET_KEY = ")
    assert "short" not in line


def test_on_every_address_with_a_token_the_page_asks_for_it(tmp_path: Path) -> None:
    port = find_port()
    environ = build_environ(tmp_path, BIND=f"0.0.0.0:{port}", SECRET_KEY=SECRET_KEY)
    token = json.loads(run_cli(environ, tmp_path, "token", "create", "ci", "--json"))["token"]
    with start(WEB, environ, port):
        assert get(port, "/health/live").status == 200
        for path in ("/", "/api/v1/rules", "/metrics", "/api/openapi.json", "/nothing"):
            assert get(port, path).status == 401
            assert get(port, path, **bearer(token)).status in (200, 404)
        assert run_cli(environ, tmp_path, "token", "revoke", "ci") == "revoked ci\n"
        assert get(port, "/api/v1/rules", **bearer(token)).status == 401


def test_the_override_is_loud(tmp_path: Path) -> None:
    port = find_port()
    environ = build_environ(tmp_path, BIND=f"0.0.0.0:{port}", AUTH="dangerously-open")
    process = subprocess.Popen(WEB, env=environ, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: answers(port), 60, "the page listens")
        assert get(port, "/api/v1/rules").status == 200
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert "WARNING: STOCK_BACKTEST_AUTH=dangerously-open" in errors


def test_flower_asks_for_the_token_as_a_password_and_counts_wrong_ones(tmp_path: Path) -> None:
    port = find_port()
    environ = build_environ(tmp_path)
    store = open_store(environ)
    _, secret = store.tokens.create("monitor", "read")
    store.engine.dispose()
    with start([*FLOWER, "--port", str(port)], environ, port):
        refused = get(port, "/workers")
        assert refused.status == 401
        assert refused.headers["WWW-Authenticate"].startswith("Basic")
        assert get(port, "/healthcheck").status == 200
        assert get(port, "/api/workers").status == 401
        page = get(port, "/workers", **basic("anybody", secret))
        assert page.status == 200
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in page.headers
        assert get(port, "/metrics", **bearer(secret)).status == 200
        assert get(port, "/workers", Host="evil.example", **bearer(secret)).status == 403
        guesses = [get(port, "/workers", **bearer("sbt_guess")).status for _ in range(11)]
        assert guesses == [401] * 10 + [429]


def basic(user: str, password: str) -> dict[str, str]:
    import base64

    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def open_store(environ: dict[str, str]) -> Store:
    from storage.database import create_database

    return Store(create_database(environ[PREFIX + "DATABASE_URL"]))


def run_cli(environ: dict[str, str], cwd: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cli.main", *arguments],
        env=environ,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
