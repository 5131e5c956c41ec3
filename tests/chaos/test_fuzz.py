"""100,000 broken inputs for everything that reads what people send."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.fuzz_targets import list_targets

ROOT = Path(__file__).resolve().parents[2]
N_INPUTS = 100_000
# Another one finds other inputs; this one finds the same again.
SEED = 20_260_101
# Two cores do all of it in three minutes; a target that hangs is found by this.
SECONDS_EACH = 400
# The slowest first, so that no core is idle at the end.
_SLOW = ("parquet", "csv", "SweepRequest")


def run_target(name: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.fuzzing", name, str(N_INPUTS), str(SEED)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "ARROW_IO_THREADS": "1"},
        capture_output=True,
        timeout=SECONDS_EACH,
        check=True,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    report["said"] = done.stderr.decode()[-500:]
    return report


@pytest.mark.timeout(900)
def test_every_one_of_100_000_inputs_is_read_or_refused_by_name() -> None:
    names = sorted(list_targets(), key=lambda name: name not in _SLOW)
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(run_target, names))
    failures = [text for report in reports for text in report["failures"]]
    assert not failures, "\n\n".join(failures)
    for report in reports:
        assert report["n"] == N_INPUTS, report
        assert report["accepted"] + report["refused"] + report["ended"] == N_INPUTS, report
        # Both happen: inputs that are all refused at the door would try nothing behind it.
        assert report["accepted"] > N_INPUTS / 200, report
        assert report["refused"] > N_INPUTS / 200, report
        # Of a process that a damaged Parquet file ended the log has a line.
        assert report["said"] == "" or report["target"] == "parquet", report
