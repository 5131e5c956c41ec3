"""The supervisor with small real processes in the place of the platform's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.support.processes import is_alive, wait_until

# A supervisor as its own program: it needs the main thread, and tests kill it.
_PROGRAM = """
import json, os, sys
from pathlib import Path
from cli.supervisor import ProcessSpec, Supervisor

directory = Path(sys.argv[1])
supervisor = Supervisor(directory / "log", directory, lambda line: print(line, flush=True))
supervisor.catch_signals()
for name, code in json.loads(sys.argv[2]).items():
    supervisor.start(ProcessSpec(name, [sys.executable, "-c", code], dict(os.environ), 1.0))

def write_pids():
    fresh = directory / "pids.new"
    fresh.write_text(json.dumps(supervisor.pids))
    fresh.replace(directory / "pids.json")
    return True

supervisor.watch(write_pids)
supervisor.stop()
print("stopped", flush=True)
"""
SLEEPER = "import time\ntime.sleep(600)"
STUBBORN = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)"
PARENT = textwrap.dedent(
    """
    import os, time
    from pathlib import Path
    from tasks.process_guard import die_with_parent
    parent = os.getpid()
    if os.fork() == 0:
        die_with_parent(parent)
        Path("grandchild").write_text(str(os.getpid()))
        time.sleep(600)
    time.sleep(600)
    """
)


class Running:
    """One supervisor program and what it says."""

    def __init__(self, directory: Path, codes: dict[str, str]) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(directory), json.dumps(codes)],
            stdout=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: len(self.pids) == len(codes), 10, "all processes start")

    @property
    def pids(self) -> dict[str, int]:
        file = self.directory / "pids.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def end(self, number: signal.Signals) -> str:
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=20)
        return output


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_every_process(directory: Path, number: signal.Signals) -> None:
    running = Running(directory, {"one": SLEEPER, "two": SLEEPER})
    pids = list(running.pids.values())
    assert all(is_alive(pid) for pid in pids)
    assert running.end(number).endswith("stopped\n")
    assert running.process.returncode == 0
    assert not any(is_alive(pid) for pid in pids)


def test_a_process_that_ignores_the_polite_signal_is_killed(directory: Path) -> None:
    running = Running(directory, {"stubborn": STUBBORN})
    pid = running.pids["stubborn"]
    wait_until(lambda: _ignores_sigterm(pid), 10, "the handler is in place")
    running.end(signal.SIGTERM)
    assert not is_alive(pid)


def test_a_dead_process_is_started_again_with_growing_pauses(directory: Path) -> None:
    running = Running(directory, {"one": SLEEPER, "two": SLEEPER})
    first, other = running.pids["one"], running.pids["two"]
    os.kill(first, signal.SIGKILL)
    second = wait_until(lambda: _other_pid(running, "one", first), 10, "the first restart")
    os.kill(second, signal.SIGKILL)
    wait_until(lambda: _other_pid(running, "one", second), 10, "the second restart")
    assert running.pids["two"] == other
    said = running.end(signal.SIGTERM)
    assert "one ended (signal SIGKILL); starting it again in 0.25 s" in said
    assert "one ended (signal SIGKILL); starting it again in 0.5 s" in said


def test_killing_the_supervisor_leaves_no_child_and_no_grandchild(directory: Path) -> None:
    running = Running(directory, {"parent": PARENT, "stubborn": STUBBORN})
    note = directory / "grandchild"
    wait_until(lambda: note.exists() and note.read_text(), 10, "the grandchild starts")
    pids = [*running.pids.values(), int(note.read_text())]
    assert all(is_alive(pid) for pid in pids)
    running.end(signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in pids), 5, "all processes die")


def test_stopping_takes_grandchildren_along_that_nobody_guards(directory: Path) -> None:
    unguarded = PARENT.replace("    die_with_parent(parent)\n", "")
    running = Running(directory, {"parent": unguarded})
    note = directory / "grandchild"
    wait_until(lambda: note.exists() and note.read_text(), 10, "the grandchild starts")
    pid = int(note.read_text())
    assert is_alive(pid)
    running.end(signal.SIGTERM)
    wait_until(lambda: not is_alive(pid), 5, "the grandchild dies")


def test_what_processes_print_is_appended_to_the_log(directory: Path) -> None:
    (directory / "log").write_text("kept\n")
    running = Running(directory, {"one": "print('said', flush=True)\n" + SLEEPER})
    log = directory / "log"
    wait_until(lambda: "said" in log.read_text(), 10, "the line arrives")
    running.end(signal.SIGTERM)
    assert log.read_text() == "kept\nsaid\n"


def _other_pid(running: Running, name: str, pid: int) -> int:
    found = running.pids.get(name, pid)
    return found if found != pid else 0


def _ignores_sigterm(pid: int) -> bool:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigIgn:"):
            return bool(int(line.split()[1], 16) & (1 << (signal.SIGTERM - 1)))
    return False
