"""The web tier's threads share a core, its children do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from cli import one_core
from storage.cores import CORES_VARIABLE, use_all_cores

CODE = """
import json, os, threading
from cli import one_core
from storage.cores import use_all_cores

def read_cores():
    tasks = os.listdir("/proc/self/task")
    return {thread: sorted(os.sched_getaffinity(int(thread))) for thread in tasks}

one_core._CHOOSE_AGAIN_SECONDS = 0.0
threads = [threading.Thread(target=threading.Event().wait, daemon=True) for _ in range(3)]
for thread in threads:
    thread.start()
before = read_cores()
together = one_core.OneCore()
together.turn()  # lets this thread go
together.turn()  # and the others follow it
kept = read_cores()
together.turn()
free = read_cores()[str(os.getpid())]
use_all_cores()
print(json.dumps([before, kept, free, sorted(os.sched_getaffinity(0))]))
"""


@pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="with one core there is nothing to choose"
)
def test_all_threads_follow_the_first_and_a_child_can_leave_them() -> None:
    result = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=True
    )
    before, kept, free, child = json.loads(result.stdout)
    everywhere = sorted(os.sched_getaffinity(0))
    assert set(map(tuple, before.values())) == {tuple(everywhere)}
    assert len(kept) == 4
    assert len(set(map(tuple, kept.values()))) == 1
    assert len(next(iter(kept.values()))) == 1
    assert free == everywhere
    assert child == everywhere


FEW = """
import os
from cli.one_core import OneCore
from storage.cores import use_all_cores

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # as an operator's taskset does
OneCore().turn()
use_all_cores()
print(len(os.sched_getaffinity(0)))
"""
CHILD = """
import os
from storage.cores import use_all_cores

use_all_cores()
print(sorted(os.sched_getaffinity(0)))
"""


def _run(code: str, **environ: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, **environ},
    ).stdout.strip()


@pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="with one core there is nothing to take away"
)
def test_cores_that_an_operator_took_away_stay_away() -> None:
    assert _run(FEW) == "1"


def test_a_child_has_the_cores_that_its_parent_was_given() -> None:
    mine = sorted(os.sched_getaffinity(0))
    assert _run(CHILD) == str(mine)
    assert _run(CHILD, **{CORES_VARIABLE: str(mine[0])}) == str(mine[:1])


def test_those_who_start_children_pass_the_cores_on() -> None:
    from storage import ingest
    from webapp import child_stream

    assert CORES_VARIABLE in ingest._KEPT_ENVIRONMENT
    assert CORES_VARIABLE in child_stream._KEPT_ENVIRONMENT


def test_a_system_that_forbids_it_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[object, ...]] = []

    def refuse(*arguments: object) -> None:
        calls.append(arguments)
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setenv(CORES_VARIABLE, "")  # restored afterwards
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    together = one_core.OneCore()
    together.turn()
    together.turn()
    use_all_cores()
    assert len(calls) == 2
