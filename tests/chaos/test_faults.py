"""A sweep and a stream of runs go through the API while one thing breaks: all is done, once."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.messages import send_chunk, send_finish, send_run
from tests.support.chaos_case import Stream, run_case
from tests.support.chaos_outcome import Outcome
from tests.support.chaos_rig import WORKERS, Rig, run_rig
from tests.support.processes import is_alive, wait_until

pytestmark = pytest.mark.timeout(400)

Break = Callable[[Rig, Stream], str | None]
NoteCase = Callable[[str, str, Outcome], None]


@pytest.fixture(scope="module", params=["sqlite", "mariadb"])
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with run_rig(tmp_path_factory.mktemp("rig"), request.param) as running:
        # Before anything breaks: what every later case is compared with.
        run_case(running, lambda stream: time.sleep(4.0))
        yield running


def database_of(rig: Rig) -> str:
    return "SQLite" if rig.server is None else "MariaDB"


def kill_children(rig: Rig, stream: Stream) -> str:
    pids = []
    for _ in range(3):
        _, pid = rig.wait_for_holder()
        os.kill(pid, signal.SIGKILL)
        pids.append(pid)
        wait_until(lambda pid=pid: not is_alive(pid), 10, "it is gone")
    return f"{len(pids)} processes killed while they held a chunk or a run"


def kill_parents(rig: Rig, stream: Stream) -> str:
    names = []
    for _ in range(2):
        name, pid = rig.wait_for_holder()
        rig.services[name].signal(signal.SIGKILL)
        names.append(name)
        wait_until(lambda pid=pid: not is_alive(pid), 10, "its process is gone too")
    return f"{', '.join(names)} killed while computing"


def kill_web(rig: Rig, stream: Stream) -> None:
    for _ in range(2):
        rig.services["web"].signal(signal.SIGKILL)
        time.sleep(2.5)


def kill_web_between_commit_and_enqueue(rig: Rig, stream: Stream) -> str:
    body = {
        "dataset": "AAPL",
        "rule": "rsi",
        "force": True,
        "params": {"window": 5},
        "note": "dies between commit and enqueue",
    }
    n_refused = 0

    def refused() -> None:
        nonlocal n_refused
        n_refused += 1

    run_id = rig.accept("/api/v1/runs", body, refused)
    stream.accepted[run_id] = 5
    assert n_refused > 0, "the web tier should have died"
    return "the same key answered with the run that was committed"


def kill_maintenance(rig: Rig, stream: Stream) -> str:
    maintenance = rig.services["maintenance"]
    maintenance.stays_away = True
    maintenance.signal(signal.SIGKILL)
    kill_children(rig, stream)
    kill_parents(rig, stream)
    return "no maintenance process until the end; workers carried it"


def freeze_child(rig: Rig, stream: Stream) -> str:
    while True:
        _, child = rig.wait_for_holder()
        os.kill(child, signal.SIGSTOP)
        if rig.holds(child):
            break
        os.kill(child, signal.SIGCONT)  # it was done in between
    wait_until(lambda: not rig.holds(child), 60, "its work is taken from it")
    os.kill(child, signal.SIGCONT)
    return "its work was taken from it, and it woke up with a token that was over"


def stop_workers_politely(rig: Rig, stream: Stream) -> None:
    for name in WORKERS:
        rig.wait_for_holder(name)
        rig.services[name].signal(signal.SIGTERM)
        time.sleep(2.0)


def restart_broker(rig: Rig, stream: Stream) -> None:
    for seconds in (0.0, 2.0):
        rig.broker.kill()
        time.sleep(seconds)
        rig.broker.start()
        time.sleep(2.0)


def restart_broker_without_data(rig: Rig, stream: Stream) -> None:
    for seconds in (0.0, 2.0):
        rig.broker.kill()
        for item in rig.broker_directory.iterdir():
            if item.name.startswith(("appendonly", "dump")):
                shutil.rmtree(item) if item.is_dir() else item.unlink()
        time.sleep(seconds)
        rig.broker.start()
        time.sleep(2.0)


def silence_broker(rig: Rig, stream: Stream) -> str:
    seconds = 15 if rig.server is None else 90
    rig.broker.pause()
    try:
        time.sleep(seconds)
    finally:
        rig.broker.resume()
    return f"silent for {seconds} s"


def fill_broker(rig: Rig, stream: Stream) -> None:
    with rig.broker.client as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")
        try:
            time.sleep(6.0)
        finally:
            client.config_set("maxmemory", "0")


def lose_popped_messages(rig: Rig, stream: Stream) -> None:
    for name in WORKERS:
        rig.services[name].signal(signal.SIGSTOP)
    # Their pops are answered into sockets that nobody reads.
    time.sleep(1.0)
    for name in WORKERS:
        rig.services[name].signal(signal.SIGKILL)


def deliver_twice_and_late(rig: Rig, stream: Stream) -> str:
    n_sent = 0
    sweep_id = rig.find_sweep()
    for _ in range(3):
        for run_id in list(stream.accepted):
            send_run(rig.settings, run_id)
        for idx in range(len(rig.store.sweeps.chunks(sweep_id))):
            send_chunk(rig.settings, sweep_id, idx)
        send_finish(rig.settings, sweep_id)
        n_sent += len(stream.accepted) + 1
        time.sleep(2.0)
    return f"{n_sent} messages more than needed"


def skew_clocks(rig: Rig, stream: Stream) -> str:
    # The library and not the command, which puts a process between.
    [library, *_] = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")) or [None]
    if library is None:
        pytest.skip("needs libfaketime: apt-get install faketime")
    shifts = {WORKERS[1]: "+2h", "maintenance": "-2h"}
    for name, shift in shifts.items():
        rig.restart(name, LD_PRELOAD=str(library), FAKETIME=shift, FAKETIME_DONT_FAKE_MONOTONIC="1")
    rig.wait_until_healthy()
    rig.wait_for_holder(WORKERS[1])
    time.sleep(4.0)
    for name in shifts:
        rig.restart(name)
    return "a worker two hours ahead, maintenance two hours behind"


def poison(rig: Rig, stream: Stream) -> str:
    exits = {"segfault": "signal 11 (SIGSEGV)", "exit": "exit code 3"}
    for rule, how in exits.items():
        stream.doomed[rig.accept("/api/v1/runs", {"dataset": "AAPL", "rule": rule})] = how

    def all_failed() -> bool:
        records = [rig.store.runs.get(run_id) for run_id in stream.doomed]
        return all(record is not None and record.state == "failed" for record in records)

    started = time.monotonic()
    wait_until(all_failed, 60, "the poisoned runs fail")
    return f"both failed with their exit after {time.monotonic() - started:.1f} s"


def fill_disk(rig: Rig, stream: Stream) -> str:
    if not rig.disk.is_mount():
        pytest.skip("needs a disk of its own to fill: mounting one takes root's rights")
    rig.fill_disk(8.0)
    return "full for 8 s"


def restart_database(rig: Rig, stream: Stream) -> None:
    assert rig.server is not None
    for seconds in (0.0, 3.0):
        rig.server.kill()
        time.sleep(seconds)
        rig.server.start()
        time.sleep(3.0)


def silence_database(rig: Rig, stream: Stream) -> str:
    assert rig.server is not None
    rig.server.pause()
    try:
        time.sleep(25)
    finally:
        rig.server.resume()
    return "silent for 25 s, longer than the sockets' timeout"


def kill_connections(rig: Rig, stream: Stream) -> str:
    assert rig.server is not None
    n_killed = 0
    end = time.monotonic() + 5
    while time.monotonic() < end:
        n_killed += rig.server.kill_connections("platform")
        time.sleep(0.05)
    return f"{n_killed} connections killed"


def force_deadlocks(rig: Rig, stream: Stream) -> str:
    assert rig.server is not None
    before = rig.server.count("Innodb_deadlocks")
    n_held = rig.server.lock_in_reverse(rig.settings.database_url, seconds=8.0)
    n_deadlocks = rig.server.count("Innodb_deadlocks") - before
    return f"{n_held} transactions against the order of locks, {n_deadlocks} deadlocks"


def make_locks_wait(rig: Rig, stream: Stream) -> str:
    assert rig.server is not None
    # Longer than innodb_lock_wait_timeout, which fails one statement and keeps the transaction.
    rig.server.hold_locks(rig.settings.database_url, seconds=7.0)
    return "every row of runs and chunks locked for 7 s (error 1205)"


def make_read_only(rig: Rig, stream: Stream) -> str:
    assert rig.server is not None
    rig.server.execute("SET GLOBAL read_only = 1")
    try:
        time.sleep(10)
    finally:
        rig.server.execute("SET GLOBAL read_only = 0")
    return "read-only for 10 s"


EVERYWHERE: dict[str, Break] = {
    "SIGKILL of worker processes": kill_children,
    "SIGKILL of whole workers": kill_parents,
    "SIGKILL of the web tier": kill_web,
    "SIGKILL of the web tier between commit and enqueue": kill_web_between_commit_and_enqueue,
    "SIGKILL of maintenance and of workers": kill_maintenance,
    "a worker process frozen for longer than its lease": freeze_child,
    "SIGTERM during chunks and runs": stop_workers_politely,
    "broker restarted with its data": restart_broker,
    "broker restarted without its data": restart_broker_without_data,
    "broker silent (SIGSTOP)": silence_broker,
    "broker out of memory": fill_broker,
    "messages popped by frozen workers that are then killed": lose_popped_messages,
    "duplicate and delayed delivery": deliver_twice_and_late,
    "tasks that kill their process every time": poison,
    "disk of the database full": fill_disk,
}
MARIADB: dict[str, Break] = {
    # SQLite has no clock but that of its only machine.
    "clocks that disagree by hours": skew_clocks,
    "database restarted": restart_database,
    "database silent (SIGSTOP)": silence_database,
    "database connections killed": kill_connections,
    "deadlocks forced (1213)": force_deadlocks,
    "lock waits beyond their timeout (1205)": make_locks_wait,
    "database read-only": make_read_only,
}


# Where the database itself is told of what breaks: the others are the broker's alone.
SQLITE = (
    "SIGKILL of worker processes",
    "SIGKILL of whole workers",
    "SIGKILL of the web tier between commit and enqueue",
    "SIGKILL of maintenance and of workers",
    "broker restarted without its data",
    "disk of the database full",
)
# Cases that must have cost somebody's work, or they have broken nothing.
COSTLY = (
    "a worker process frozen for longer than its lease",
    "SIGKILL of worker processes",
    "SIGKILL of whole workers",
    "SIGKILL of maintenance and of workers",
    "tasks that kill their process every time",
)


@pytest.mark.parametrize("case", EVERYWHERE)
def test_nothing_is_lost_and_nothing_doubled(rig: Rig, case: str, note_case: NoteCase) -> None:
    if rig.server is None and case not in SQLITE:
        pytest.skip("a part of the cases is enough on SQLite; all run on MariaDB")
    outcome = run_case(rig, lambda stream: EVERYWHERE[case](rig, stream))
    note_case(case, database_of(rig), outcome)
    assert outcome.n_lost > 0 or case not in COSTLY, "nothing was broken"


@pytest.mark.parametrize("case", MARIADB)
def test_nothing_is_lost_when_the_database_fails(rig: Rig, case: str, note_case: NoteCase) -> None:
    if rig.server is None:
        pytest.skip("a server's fault; SQLite has none")
    outcome = run_case(rig, lambda stream: MARIADB[case](rig, stream))
    note_case(case, database_of(rig), outcome)
