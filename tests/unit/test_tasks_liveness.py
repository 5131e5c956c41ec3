"""A worker that is connected and does not consume is told apart from one that has nothing to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tasks.broker import Pulse
from tasks.liveness import Status, Watch, ask_worker, build_address, watch_worker
from tasks.settings import Settings
from tests.support.processes import wait_until


class Worker:
    """A worker's parent as its watch sees it, at times of our choosing."""

    def __init__(self) -> None:
        self.pulse = Pulse()
        self.n_active, self.broker_answers = 0, True
        self.watch = Watch(
            self.pulse, 2, lambda: self.n_active, lambda: self.broker_answers, now=0.0
        )

    def pass_time(self, start: int, stop: int, *, turns: bool = True, asks: bool = True) -> Status:
        """Look every second, as the watch does every few."""
        for second in range(start, stop):
            if turns:
                self.pulse.turned_at = float(second)
            if asks:
                self.pulse.asked_at = self.pulse.answered_at = float(second)
            status = self.watch.look(float(second))
        return status


def test_a_worker_that_asks_and_finds_nothing_is_idle() -> None:
    status = Worker().pass_time(0, 100)
    assert (status.state, status.is_live) == ("idle", True)


def test_a_worker_that_turns_but_does_not_ask_stalls() -> None:
    worker = Worker()
    worker.pass_time(0, 10)
    assert worker.pass_time(10, 20, asks=False).state == "idle"
    status = worker.pass_time(20, 60, asks=False)
    assert (status.state, status.is_live) == ("stalled", False)
    assert "connected, but not consuming" in status.text


def test_a_worker_with_a_task_in_every_process_is_busy_and_need_not_ask() -> None:
    worker = Worker()
    worker.n_active = 2
    status = worker.pass_time(0, 600, asks=False)
    assert (status.state, status.is_live) == ("busy", True)


def test_a_busy_worker_whose_loop_stands_still_stalls() -> None:
    worker = Worker()
    worker.n_active = 2
    worker.pass_time(0, 10)
    assert worker.pass_time(10, 60, turns=False, asks=False).state == "stalled"


def test_a_worker_without_a_broker_waits_and_is_given_time_when_it_is_back() -> None:
    worker = Worker()
    worker.pass_time(0, 10)
    worker.broker_answers = False
    status = worker.pass_time(10, 600, asks=False)
    assert (status.state, status.is_live) == ("waiting", True)
    worker.broker_answers = True
    assert worker.pass_time(600, 610, asks=False).is_live
    assert worker.pass_time(610, 640, asks=False).state == "stalled"


def test_a_worker_that_has_not_connected_yet_is_starting() -> None:
    for turns in (False, True):  # before its loop begins, and before its first answer
        status = Worker().pass_time(0, 10, turns=turns, asks=False)
        assert (status.state, status.is_live) == ("starting", True)


def test_a_worker_that_recovers_is_idle_again() -> None:
    worker = Worker()
    worker.pass_time(0, 60, asks=False)
    assert worker.pass_time(60, 62).state == "idle"


def test_each_worker_of_a_machine_has_its_own_address() -> None:
    settings = Settings(broker_url="redis://a", database_url="sqlite:///a")
    addresses = {
        build_address(settings, "a"),
        build_address(settings, "b"),
        build_address(replace(settings, broker_url="redis://b"), "a"),
    }
    assert len(addresses) == 3
    assert "redis" not in "".join(addresses)  # a URL holds a password


def test_whoever_asks_is_answered_and_silence_is_told_from_it(tmp_path: Path) -> None:
    settings = Settings(broker_url="redis://127.0.0.1:1", database_url=f"sqlite:///{tmp_path}/x")
    assert ask_worker(settings, "nobody") is None
    watch_worker(settings, "somebody", 1, lambda: 0)
    status = wait_until(lambda: ask_worker(settings, "somebody"), 10, "it answers")
    assert status is not None
    assert status.state == "waiting"  # nobody listens at that port


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Worker exited prematurely: signal 11 (SIGSEGV) Job: 5.", "signal 11 (SIGSEGV)"),
        ("Worker exited prematurely: exitcode 3 Job: 5.", "exit code 3"),
        (
            "Worker exited prematurely: signal 9 (SIGKILL) Job: 5.",
            "signal 9 (SIGKILL: ended from outside, as the system does when memory runs out)",
        ),
    ],
)
def test_the_end_of_a_process_is_told_in_words(text: str, shown: str) -> None:
    from billiard.exceptions import WorkerLostError

    from tasks.lost_workers import describe_exit

    assert describe_exit(WorkerLostError(text)) == shown


def test_a_task_that_exits_by_itself_is_told_by_its_code() -> None:
    from tasks.lost_workers import describe_exit

    assert describe_exit(SystemExit(3)) == "exit code 3"
    assert describe_exit(SystemExit(None)) == "exit code 0"
