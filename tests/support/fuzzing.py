"""Broken inputs by the hundred thousand, and what may be answered: a refusal that names its field.

``python -m tests.support.fuzzing TARGET N SEED`` prints a report as JSON. Inputs are mutations of
good ones, made from the seed alone, so that a number names an input for ever. Plain mutation and
not coverage guidance: what reads files is compiled, so nothing would be guided there, and the rest
is a few hundred lines that mutated structure reaches at tens of thousands of inputs a second.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import sys
import traceback
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import orjson

from backtest.errors import InputError
from storage.ingest import ingest_bytes
from storage.ingest_child import limit_resources
from tests.support.fuzz_bytes import LIMITS, target_parquet
from tests.support.fuzz_targets import Target, list_targets
from webapp.problems import ProblemError, show_value

_ALARM_SECONDS = 10
_MOST_KEPT = 5
# Each takes a process that loads the library.
_MOST_VERIFIED = 20


@dataclass
class Report:
    """What became of the inputs.

    Parameters
    ----------
    ended : int
        Inputs that ended the process that read them; the first ones were then refused by the
        product's own reader, which expects that of its child.
    failures : list of str
        The input's number, the input, and what it led to.
    """

    target: str
    n: int = 0
    accepted: int = 0
    refused: int = 0
    ended: int = 0
    failures: list[str] = field(default_factory=list)

    def fail(self, number: int, data: object, reason: str) -> None:
        if len(self.failures) < _MOST_KEPT:
            self.failures.append(f"{self.target} input {number}: {data!r:.600}\n{reason}")


def fuzz(name: str, n: int, seed: int) -> Report:
    """Give `n` inputs to a target."""
    report = Report(name)
    if name == "parquet":
        _fuzz_in_children(report, target_parquet, n, seed)
        return report
    target = list_targets()[name]
    for number in range(n):
        _try(report, target, number, seed)
    return report


def _try(report: Report, target: Target, number: int, seed: int) -> None:
    data, run = target(random.Random(seed * 1_000_003 + number))
    report.n += 1
    try:
        run()
    except (InputError, ProblemError) as refusal:
        report.refused += 1
        fault = _find_fault(refusal)
        if fault:
            report.fail(number, data, fault)
    except MemoryError:
        if report.target != "parquet":  # its reader expects it of its child
            report.fail(number, data, "MemoryError")
        report.refused += 1
    except Exception:  # noqa: BLE001  # what is looked for
        report.fail(number, data, traceback.format_exc(limit=-4))
    else:
        report.accepted += 1


def _find_fault(refusal: InputError | ProblemError) -> str | None:
    """Return what is wrong with a refusal that somebody is to read, if anything is."""
    if isinstance(refusal, ProblemError):
        return None if 400 <= refusal.status < 500 and refusal.detail else "no 4xx with a detail"
    for error in refusal.errors:
        if not error.field or not error.message:
            return f"names no field or gives no message: {error}"
        shown = orjson.dumps([error.field, show_value(error.value), error.message])
        if len(shown) > 20_000:
            return f"answers {len(shown)} bytes for one field"
    return None if str(refusal) else "says nothing"


def _fuzz_in_children(report: Report, target: Target, n: int, seed: int) -> None:
    """Fuzz what may end its process, in processes of its own under the product's limits."""
    # Which input is being read, and how many were accepted, refused and failed so far.
    shared = np.frombuffer(mmap.mmap(-1, 4096), np.int64)
    start = 0
    while start < n:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            _work_in_child(report.target, target, shared, writer, (start, n, seed))
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            failures = [json.loads(line) for line in stream]
        status = os.waitpid(pid, 0)[1]
        report.failures += failures[: _MOST_KEPT - len(report.failures)]
        start = int(shared[0]) + 1
        if status:
            report.ended += 1
            if report.ended <= _MOST_VERIFIED:
                _verify_refused(report, target, start - 1, seed)
    report.n = n
    report.accepted, report.refused = int(shared[1]), int(shared[2])


def _work_in_child(
    name: str, target: Target, shared: Any, writer: int, span: tuple[int, int, int]
) -> None:
    """Read inputs until the end, or until one of them ends this process. Never returns."""
    start, stop, seed = span
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # what a library says while it aborts
    limit_resources(3 << 30, 3600)
    for number in range(start, stop):
        shared[0] = number
        signal.alarm(_ALARM_SECONDS)
        own = Report(name)
        _try(own, target, number, seed)
        shared[1] += own.accepted
        shared[2] += own.refused
        for failure in own.failures:
            os.write(writer, json.dumps(failure).encode() + b"\n")
    os._exit(0)


def _verify_refused(report: Report, target: Target, number: int, seed: int) -> None:
    data, _ = target(random.Random(seed * 1_000_003 + number))
    assert isinstance(data, bytes)
    try:
        ingest_bytes(data, "fuzzed", None, LIMITS)
    except InputError:
        return
    report.fail(number, data, "ended a process that read it; the product's own did not refuse it")


if __name__ == "__main__":
    print(json.dumps(asdict(fuzz(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))  # noqa: T201
