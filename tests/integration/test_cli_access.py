"""`token`, `audit`, `--server` with a token, and what errors never say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tasks.settings import PREFIX
from tests.support.commands import Done, here, run_apart
from tests.support.live_web import serving
from tests.support.web import SECRET_KEY, Web, bearer, build_web, make_token

__all__ = ["here"]

ROOT = Path(__file__).resolve().parents[2]
Cli = Callable[..., Done]


@pytest.fixture
def web(tmp_path: Path) -> Web:
    return build_web(tmp_path, auth="token", secret_key=SECRET_KEY)


@pytest.fixture
def cli(web: Web, here: Callable[..., Done]) -> Cli:
    """A command of somebody who is at home in the web's database."""

    def call(*arguments: str, **environ: str) -> Done:
        settings = {f"{PREFIX}DATABASE_URL": web.settings.database_url}
        return here(*arguments, **(settings | environ))

    return call


def test_a_token_is_printed_once_and_alone(cli: Cli, web: Web) -> None:
    done = cli("token", "create", "ci", "--scope", "submit", "--expires-days", "30")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"sbt_[\w-]{43}\n", done.stdout)
    assert "may submit until 20" in done.stderr
    secret = done.stdout.strip()
    assert web.client.get("/api/v1/rules", headers=bearer(secret)).status_code == 200
    listed = cli("token", "list")
    assert "ci" in listed.stdout
    assert "submit" in listed.stdout
    assert secret not in listed.stdout + cli("token", "list", "--json").stdout
    assert cli("token", "revoke", "ci").returncode == 0
    assert web.client.get("/api/v1/rules", headers=bearer(secret)).status_code == 401
    again = cli("token", "revoke", "ci")
    assert again.returncode == 2
    assert again.stderr.startswith("error: TOKEN = 'ci': no such live token")


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("--scope", "root"), "scope"),
        (("--scopes", "read,root"), "scope"),
        (("--expires-days", "0"), "expires_days"),
        (("x" * 101,), "name"),
        (("a", "--name", "b"), "--name"),
    ],
)
def test_a_bad_token_is_refused_in_one_line(
    cli: Cli, arguments: tuple[str, ...], field: str
) -> None:
    done = cli("token", "create", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {field} = ")
    assert len(done.stderr.splitlines()) == 1


def test_the_audit_log_is_listed(cli: Cli) -> None:
    cli("token", "create", "ci")
    events = json.loads(cli("audit", "--json").stdout)
    assert [item["action"] for item in events] == ["token create"]
    assert events[0]["actor"].startswith("command line of ")
    assert "token create" in cli("audit").stdout


def test_a_server_is_shown_the_token_of_the_environment(web: Web, tmp_path: Path) -> None:
    secret = make_token(web)
    cli = partial(run_apart, tmp_path)
    with serving(web) as url:
        refused = cli("dataset", "list", "--server", url)
        assert refused.returncode == 2
        assert refused.stderr.startswith("error: STOCK_BACKTEST_TOKEN = None: ")
        wrong = cli("dataset", "list", "--server", url, STOCK_BACKTEST_TOKEN="sbt_wrong")
        assert wrong.returncode == 2
        assert "(hidden)" in wrong.stderr
        assert "sbt_wrong" not in wrong.stderr
        done = cli("dataset", "list", "--server", url, STOCK_BACKTEST_TOKEN=secret)
        assert done.returncode == 0, done.stderr
        assert "WALK" in done.stdout
        made = cli("token", "create", "far", "--server", url, STOCK_BACKTEST_TOKEN=secret)
        assert made.stdout.startswith("sbt_")
        weak = cli("token", "list", "--server", url, STOCK_BACKTEST_TOKEN=made.stdout.strip())
        assert weak.returncode == 2
        assert "admin" in weak.stderr


def test_no_command_takes_a_token_on_its_command_line(cli: Cli) -> None:
    for command in ("backtest", "sweep", "dataset", "run", "token"):
        done = cli(command, "--token", "x")
        assert done.returncode == 2


@pytest.mark.parametrize(
    "environ",
    [
        {"STOCK_BACKTEST_DATABASE_URL": "mysql+pymysql://u:hunter2@127.0.0.1:1/x"},
        {"STOCK_BACKTEST_DATABASE_URL": "oracle://u:hunter2@host/x"},
        {"STOCK_BACKTEST_DATABASE_URL": "mysql+pymysql://u:hun/ter2@127.0.0.1:port/x"},
        {"STOCK_BACKTEST_DATABSE_URL": "mysql://u:hunter2@host/x"},
        {"STOCK_BACKTEST_BROKER_URL": "redis://:hunter2@127.0.0.1:1/0"},
        {"STOCK_BACKTEST_MAX_BARS": "sbt_hunter2hunter2hunter2"},
    ],
)
def test_no_error_repeats_a_password(cli: Cli, tmp_path: Path, environ: dict[str, str]) -> None:
    for command in ("doctor", "run list", "db current"):
        done = cli(*command.split(), **environ)
        assert "ter2" not in done.stdout + done.stderr, command
        assert "Traceback" not in done.stderr, command
    served = run_apart(tmp_path, "maintenance", "--once", **environ)
    assert "ter2" not in served.stdout + served.stderr
    assert "Traceback" not in served.stderr


def test_a_server_whose_url_has_a_password_is_named_without_it(cli: Cli) -> None:
    done = cli("run", "list", "--server", "http://u:hunter2@127.0.0.1:1")
    assert done.returncode == 3
    assert "hunter2" not in done.stderr


def test_doctor_lists_the_settings_of_access_and_judges_them(cli: Cli, web: Web) -> None:
    done = cli("doctor", STOCK_BACKTEST_TOKEN="sbt_swordfish", STOCK_BACKTEST_SECRET_KEY=SECRET_KEY)
    for name in ("AUTH", "TOKEN", "SECRET_KEY", "SESSION_HOURS", "MAX_LOGIN_FAILURES"):
        assert f"STOCK_BACKTEST_{name}" in done.stdout
    assert "swordfish" not in done.stdout
    assert SECRET_KEY not in done.stdout
    assert "ok    access: open on 127.0.0.1:5000 until the first token" in done.stdout
    exposed = cli("doctor", STOCK_BACKTEST_BIND="0.0.0.0:5000")
    assert exposed.returncode == 1
    assert "FAIL  access: STOCK_BACKTEST_BIND" in exposed.stdout
    make_token(web)
    assert "ok    access: by token" in cli("doctor").stdout


def test_a_traceback_is_printed_without_the_passwords_that_it_quotes(tmp_path: Path) -> None:
    script = (
        "import sys, cli.main as m\n"
        "text = 'lost redis://:hunter2@h/0 and sbt_hunter2hunter2hunter2'\n"
        "def fail(*a, **k): raise RuntimeError(text)\n"
        "m.group.main = fail\n"
        "m.main([])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "hunter2" not in done.stderr
    assert "redis://:***@h/0" in done.stderr
