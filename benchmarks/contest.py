"""Contestants side by side: each in a process of its own, warm, measured in turn.

Machines are noisy, so rounds alternate between the contestants, and the best and the median of each
are kept. Only ratios within one contest mean anything.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

PEERS_VARIABLE = "STOCK_BACKTEST_PEERS_PYTHON"
_ROUND_SECONDS = 0.25


@dataclass(frozen=True)
class Task:
    """What a contestant does once.

    Parameters
    ----------
    run : callable
        Does it and returns a figure by which the contestants' work can be compared.
    n_units : int
        Units of work in one call: time is reported per unit.
    """

    run: Callable[[], float]
    n_units: int = 1


Builder = Callable[..., Task]


def serve_contestant(build: Builder, arguments: dict[str, Any]) -> None:
    """Child process: warm up, then answer every line on standard input with one round's time."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a peer's progress bar or greeting must not end up among the answers
    cores = arguments.pop("cores", None)
    if cores is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    task = build(**arguments)
    check = task.run()
    started = time.perf_counter()
    task.run()
    n_calls = max(1, int(_ROUND_SECONDS / (time.perf_counter() - started)))
    print(json.dumps({"check": check}), file=answers, flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        for _ in range(n_calls):
            task.run()
        seconds = (time.perf_counter() - started) / (n_calls * task.n_units)
        # [KiB] / [KiB / MiB] = [MiB]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "peak_mib": peak}), file=answers, flush=True)


@dataclass
class Contestant:
    """A warm child process and what it has answered so far; times are per unit of work."""

    name: str
    process: subprocess.Popen[str]
    check: float
    seconds: list[float]
    peak_mib: float = 0.0

    def run_round(self) -> None:
        """Have it measure one round."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print("round", file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        self.seconds.append(answer["seconds"])
        self.peak_mib = answer["peak_mib"]

    @property
    def best(self) -> float:
        """Fastest round. [s / unit]."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """Median round. [s / unit]."""
        return statistics.median(self.seconds)


@contextmanager
def start_contestant(
    script: str, name: str, python: str, arguments: dict[str, Any]
) -> Iterator[Contestant | None]:
    """Start a child and wait until it is warm; None, with a line of explanation, if it fails."""
    command = [python, script, "--serve", name, "--arguments", json.dumps(arguments)]
    environment = {**os.environ, "RAPTORBT_NO_VERSION_CHECK": "1"}
    pipe = subprocess.PIPE
    # Progress bars and warnings of the peers are kept aside, and shown only if one fails.
    with (
        tempfile.TemporaryFile("w+") as noise,
        subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=noise, text=True, env=environment
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdin is not None
        line = process.stdout.readline()
        if not line:
            noise.seek(0)
            print(f"{noise.read()}  {name}: left out, it did not start (see above)")
            yield None
            return
        yield Contestant(name, process, json.loads(line)["check"], [])
        process.stdin.close()


def run_contest(
    script: str,
    names: Sequence[str],
    peers_python: str | None,
    rounds: int,
    arguments: dict[str, Any],
) -> list[Contestant]:
    """Measure the contestants in turn; names that begin with ``ours`` run in this environment."""
    with ExitStack() as stack:
        contestants = []
        for name in names:
            python = sys.executable if name.startswith("ours") else peers_python
            if python is None:
                continue
            entered = stack.enter_context(start_contestant(script, name, python, arguments))
            contestants += [entered] if entered else []
        for _ in range(rounds):
            for contestant in contestants:
                contestant.run_round()
    return contestants
