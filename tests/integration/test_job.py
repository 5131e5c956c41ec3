"""`stock-backtest job`: one process per run, as a Job's pod starts it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from storage.models import runs
from storage.sql_types import database_time
from tests.support.jobs import build_environ
from tests.support.model_base import write
from tests.support.processes import wait_until
from tests.support.web import Web, build_web, submit

pytestmark = pytest.mark.timeout(180)
NOBODY = "123e4567-e89b-42d3-a456-426614174000"
HEAVY = ("flask", "werkzeug", "celery", "kombu", "redis", "kubernetes", "pandas", "pyarrow")
HEAVY += ("alembic", "optuna", "sqlalchemy.orm", "httpx", "prometheus_client")


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    found = build_web(tmp_path_factory.mktemp("job"))
    yield found
    found.store.engine.dispose()


def run_job(
    web: Web, *arguments: str, command: tuple[str, ...] = ("-m", "tasks.job"), **more: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command, *arguments],
        env=build_environ(web, **more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_run_is_done_by_importing_only_what_it_needs(web: Web) -> None:
    run_id = submit(web)
    script = (
        "import json, sys; from tasks.job import main; code = main(sys.argv[1:]);"
        "print(json.dumps(sorted(sys.modules))); sys.exit(code)"
    )
    done = run_job(web, run_id, command=("-c", script))
    assert done.returncode == 0, done.stderr
    record = web.store.runs.get(run_id)
    assert record is not None
    assert (record.state, record.has_charts) == ("succeeded", True)
    modules: list[str] = json.loads(done.stdout.splitlines()[-1])
    assert [name for name in HEAVY if name in modules] == []
    # Once more: nothing is left to do.
    assert run_job(web, run_id).returncode == 0


REFUSALS: dict[str, tuple[list[str], dict[str, str], int, str]] = {
    "run": ([NOBODY], {}, 2, "there is no such run"),
    "sweep": (["--sweep", NOBODY], {}, 2, "there is no such sweep"),
    "query": (["--query", NOBODY], {}, 2, "there is no such question"),
    "id": (["not-an-id"], {}, 2, "is no UUID"),
    "limit": ([NOBODY], {"MAX_BARS": "many"}, 2, "must be a whole number"),
    "executor": ([NOBODY], {"EXECUTOR": "slurm"}, 2, "must be one of celery, kubernetes"),
    "url": ([NOBODY], {"DATABASE_URL": ""}, 2, "gets it from a secret"),
    "away": (
        [NOBODY],
        {"DATABASE_URL": "mysql://nobody:secret@127.0.0.1:1/x"},
        3,
        "cannot be reached",
    ),
}
# One process for all, as most of a process's time is its start.
REFUSE = """
import contextlib, io, json, os, sys
from tasks.job import main
clean, answers = dict(os.environ), {}
for name, (arguments, more, _, _) in json.loads(sys.argv[1]).items():
    os.environ.clear()
    os.environ.update(clean | {f"STOCK_BACKTEST_{key}": value for key, value in more.items()})
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(arguments)
    answers[name] = [code, said.getvalue()]
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def refusals(web: Web) -> dict[str, tuple[int, str]]:
    done = run_job(web, json.dumps(REFUSALS), command=("-c", REFUSE))
    assert done.returncode == 0, done.stderr
    answers: dict[str, tuple[int, str]] = json.loads(done.stdout.splitlines()[-1])
    return answers


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_be_done_is_one_line_and_an_exit_code(
    refusals: dict[str, tuple[int, str]], name: str
) -> None:
    _, _, code, words = REFUSALS[name]
    found, said = refusals[name]
    assert found == code, said
    last = said.splitlines()[-1]
    assert last.startswith("error: ")
    assert words in last
    assert "Traceback" not in said
    assert "secret@" not in said


def test_a_database_that_is_not_migrated_is_named_with_its_remedy(web: Web, tmp_path: Path) -> None:
    done = run_job(web, NOBODY, STOCK_BACKTEST_DATABASE_URL=f"sqlite:///{tmp_path}/empty.db")
    assert done.returncode == 3
    assert "stock-backtest db upgrade" in done.stderr


def test_a_run_that_its_input_ends_is_not_tried_again(web: Web) -> None:
    run_id = submit(web, params={"window": 6})
    record = web.store.runs.get(run_id)
    assert record is not None
    spec = {**record.spec, "params": {"window": -1}}
    write(web.store, update(runs).where(runs.c.run_id == run_id).values(spec=spec))
    command = ("-m", "cli.main", "job")
    assert [run_job(web, run_id, command=command).returncode for _ in range(2)] in ([2, 2], [5, 5])
    failed = web.store.runs.get(run_id)
    assert failed is not None
    assert failed.state == "failed"


def test_a_run_that_somebody_holds_is_waited_for_and_taken_over(web: Web) -> None:
    run_id = submit(web, params={"window": 7})
    assert web.store.runs.claim(run_id, "a pod that was killed", 600.0, 3)
    done: dict[str, Any] = {}
    process = subprocess.Popen(
        [sys.executable, "-m", "tasks.job", run_id],
        env=build_environ(web),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    wait_until(lambda: "run_not_claimed" in process.stdout.readline(), 60, "it finds it held")  # type: ignore[union-attr]
    over = update(runs).where(runs.c.run_id == run_id).values(lease_until=database_time(-5))
    write(web.store, over)
    done["log"], _ = process.communicate(timeout=100)
    assert process.returncode == 0, done["log"]
    record = web.store.runs.get(run_id)
    assert record is not None
    assert (record.state, record.attempt) == ("succeeded", 2)


@pytest.mark.parametrize(("window", "where"), [(8, "compute_run"), (21, "count")])
def test_sigterm_hands_the_run_back_at_no_cost(web: Web, window: int, where: str) -> None:
    """While it is computed, and when it has just been claimed."""
    run_id = submit(web, params={"window": window})
    slow = (
        "import sys, time; import tasks.execute as execute; from tasks.job import main;"
        f"execute.{where} = lambda *a, **k: time.sleep(60); sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", slow, run_id], env=build_environ(web), stderr=subprocess.PIPE
    )
    wait_until(
        lambda: web.store.runs.get(run_id).state == "running",  # type: ignore[union-attr]
        60,
        "the run is claimed",
    )
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    record = web.store.runs.get(run_id)
    assert record is not None
    assert (record.state, record.attempt) == ("queued", 1)
    assert web.store.runs.claim(run_id, "the next pod", 600.0, 1)  # none was lost


def test_work_that_hangs_in_compiled_code_is_ended_by_the_system(web: Web) -> None:
    """There neither a thread nor a handler of Python has a turn: the lease is never let go of."""
    hung = (
        "import sys; import tasks.execute as execute, tasks.job as job;"
        "job.HARD_LIMIT_GRACE_SECONDS = 1;"
        "execute.execute_run = lambda *a: sum(range(10**12));"
        "sys.exit(job.main(sys.argv[1:]))"
    )
    done = run_job(web, NOBODY, command=("-c", hung), STOCK_BACKTEST_MAX_RUN_SECONDS="0")
    assert done.returncode == -signal.SIGALRM
