"""A case of the suite: work goes through a rig, something breaks, what is left is compared."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from storage.errors import StorageUnavailable
from tests.support.chaos_outcome import Outcome
from tests.support.chaos_rig import N_FEES, WINDOWS, Rig
from tests.support.processes import wait_until
from tests.support.sweeps import build_request, count_done


class Stream:
    """Single runs, one after the other, from a client that does not give up."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.accepted: dict[str, int] = {}
        # Runs that must fail, and the exit that their error must name.
        self.doomed: dict[str, str] = {}
        self.n_refused = 0
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Stream:
        self._sent = self._pool.submit(self._send)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._pool.shutdown()
        if exc_info[0] is None:
            self._sent.result()

    def _send(self) -> None:
        for window in itertools.cycle(WINDOWS):
            body = {
                "dataset": "AAPL",
                "rule": "rsi",
                "force": True,
                "params": {"window": window},
            }
            self.accepted[self.rig.accept("/api/v1/runs", body, self._note)] = window
            # Runs go before chunks: no more than the workers can bear, or the sweep would stand
            # still; while nothing goes on at all, another one every now and then.
            sent_at = time.monotonic()
            while not self._stop.wait(1.0):
                if self._count_open() == 0 or time.monotonic() - sent_at > 4.0:
                    break
            if self._stop.is_set():
                return

    def _count_open(self) -> int:
        try:
            counts = self.rig.store.runs.counts()
        except StorageUnavailable:
            return 99
        return counts["queued"] + counts["running"]

    def _note(self) -> None:
        self.n_refused += 1


def run_case(
    rig: Rig,
    break_it: Callable[[Stream], Any],
    *,
    n_chunks: int = 2,
    seconds: float = 90.0,
) -> Outcome:
    """Run a sweep and a stream of runs, break something meanwhile, compare with the undisturbed.

    Parameters
    ----------
    break_it : callable
        Takes the stream; returns once what it breaks is whole again, but for what heals by itself.
    n_chunks : int
        So many chunks are done before.
    seconds : float
        How long all may take to end after that.
    """
    rig.wait_until_healthy()
    rig.clear()
    outcome = Outcome()
    with Stream(rig) as stream:
        sweep_id = rig.accept("/api/v1/sweeps", build_request(N_FEES))
        wait_until(lambda: count_done(rig.store, sweep_id) >= n_chunks, 90, "some chunks")
        note = break_it(stream)
        time.sleep(1.0)
    broken = time.monotonic()
    rig.wait_for_end(list(stream.accepted), sweep_id, seconds)
    rig.check_sweep(sweep_id, outcome)
    rig.check_runs(stream.accepted, stream.doomed, outcome)
    outcome.n_refused = stream.n_refused
    outcome.seconds = time.monotonic() - broken
    rig.heal()
    if isinstance(note, str):
        outcome.notes.append(note)
    return outcome
