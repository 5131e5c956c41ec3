"""Log lines as they leave a process: rendered by a real one, read from its standard error."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

from tasks.settings import redact_text

_HEAD = """
import logging
from tasks.logs import bind_run, configure_logging, get_logger
from tasks.settings import Settings
configure_logging(Settings(log_format={form!r}, log_level={level!r}), "worker")
log = get_logger("tasks.example")
"""


def run_lines(body: str, form: str = "json", level: str = "INFO") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _HEAD.format(form=form, level=level) + body],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def run_objects(body: str, level: str = "INFO") -> list[dict[str, Any]]:
    return [json.loads(line) for line in run_lines(body, level=level)]


def test_a_line_is_one_object_with_time_level_service_and_values() -> None:
    [line] = run_objects("log.info('run_claimed', attempt=2)")
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "message": "run_claimed",
        "attempt": 2,
        "level": "info",
        "logger": "tasks.example",
        "service": "worker",
    }


def test_every_line_inside_a_run_carries_its_id_ours_and_those_of_libraries() -> None:
    lines = run_objects(
        "with bind_run('11111111-2222-4333-8444-555555555555'):\n"
        "    log.info('ours')\n"
        "    logging.getLogger('sqlalchemy.pool').warning('theirs %s', 'formatted')\n"
        "log.info('after')\n"
    )
    ids = [line.get("run_id") for line in lines]
    assert ids == ["11111111-2222-4333-8444-555555555555"] * 2 + [None]
    assert lines[1]["message"] == "theirs formatted"
    assert lines[1]["service"] == "worker"


def test_celerys_own_lines_about_a_run_carry_its_id() -> None:
    lines = run_objects(
        "data = {'id': 'the-id', 'name': 'stock_backtest.run'}\n"
        "logging.getLogger('celery.app.trace').info('Task done', extra={'data': data})\n"
        "data = {'id': 'other', 'name': 'celery.ping'}\n"
        "logging.getLogger('celery.app.trace').info('Task done', extra={'data': data})\n"
    )
    assert [line.get("run_id") for line in lines] == ["the-id", None]


def test_passwords_in_urls_are_never_printed_wherever_they_stand() -> None:
    lines = run_lines(
        "url = 'mysql+pymysql://user:hunter2@db:3306/x'\n"
        "log.info('connect to ' + url, url=url, nested={'urls': [url]})\n"
        "logging.getLogger('kombu').warning('lost %s', 'redis://:hunter2@localhost:6379/0')\n"
        "try:\n"
        "    raise OSError('cannot reach ' + url)\n"
        "except OSError:\n"
        "    log.exception('failed')\n"
    )
    text = "\n".join(lines)
    assert "hunter2" not in text
    assert "mysql+pymysql://user:***@db:3306/x" in text
    assert "redis://:***@localhost:6379/0" in text


def test_a_traceback_stays_inside_its_object() -> None:
    [line] = run_objects(
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('failed')\n"
    )
    assert line["level"] == "error"
    assert "ZeroDivisionError: division by zero" in line["exception"]


def test_lines_below_the_level_are_left_out() -> None:
    lines = run_objects("log.info('no')\nlog.warning('yes')\n", level="WARNING")
    assert [line["message"] for line in lines] == ["yes"]


def test_a_terminal_gets_text_with_the_same_facts() -> None:
    [line] = run_lines("with bind_run('the-id'):\n    log.info('run_claimed')\n", form="console")
    assert "run_claimed" in line
    assert "run_id=the-id" in line
    assert not line.startswith("{")


def test_configuring_again_does_not_double_lines() -> None:
    body = "configure_logging(Settings(log_format='json'), 'worker')\nlog.info('once')\n"
    assert len(run_objects(body)) == 1


def test_redaction_keeps_text_without_passwords() -> None:
    for text in ("http://127.0.0.1:5000/", "redis://host:6379/0", "a: b@c", "user@host"):
        assert redact_text(text) == text
    assert redact_text("x://u:p@ss@h/1") == "x://u:***@h/1"


def test_the_quiet_libraries_are_quiet() -> None:
    assert run_objects("logging.getLogger('kombu.connection').info('noise')") == []
    assert logging.getLogger("tests").handlers == []


def test_what_was_sent_can_neither_look_like_a_line_of_ours_nor_steer_a_terminal() -> None:
    evil = "a\\n2026-01-01 [info] forged\\r\\x1b[2J\\x9b31m\\u2028b\\x85c"
    body = f"log.info('refused', value='{evil}')\nlogging.getLogger('lib').warning('{evil}')\n"
    ours, theirs, *rest = run_lines(body, form="console")
    text = "\n".join((ours, theirs, *rest))
    for character in "\x1b\x9b\x85\u2028\r":
        assert character not in text
    assert "forged" in ours
    assert all(line.startswith("    ") for line in rest)
    assert len(run_lines(body)) == 2  # one object a line


def test_what_nobody_catches_is_printed_without_its_secrets() -> None:
    body = (
        "import threading\n"
        "def fail():\n"
        "    raise OSError('lost ' + 'redis://:hunter2@h/0')\n"
        "thread = threading.Thread(target=fail)\n"
        "thread.start()\n"
        "thread.join()\n"
        "fail()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", _HEAD.format(form="json", level="INFO") + body],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("OSError: lost redis://:***@h/0") == 2
    assert "hunter2" not in done.stderr
