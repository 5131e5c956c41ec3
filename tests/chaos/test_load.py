"""A burst of runs and many clients that poll: nothing is lost, and nothing grows with them.

`benchmarks/bench_load.py` does ten times as much, and says how fast.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from tests.support.load import MemoryWatch, poll, submit_burst
from tests.support.load_stack import run_stack

pytestmark = pytest.mark.timeout(600)

N_RUNS, N_SUBMITTERS, N_POLLERS = 1000, 16, 200
BODIES = [
    {
        "dataset": "AAPL",
        "rule": "rsi",
        "force": True,
        "params": {"window": 2 + number % 60},
        "trading": {"fee_rate": number * 1e-6},
    }
    for number in range(N_RUNS)
]


def test_a_burst_is_accepted_and_computed_whole_while_clients_poll(tmp_path: Path) -> None:
    with run_stack(tmp_path) as stack, MemoryWatch(stack.pids) as memory:
        burst = submit_burst(stack.url, BODIES, N_SUBMITTERS)
        assert burst.statuses == {202: N_RUNS}
        # While most of the runs still wait: states change under the clients' eyes.
        early = poll(stack.url, burst.run_ids[:50], N_POLLERS, 5.0, 200.0)
        assert set(early.statuses) <= {200, 304}
        stack.wait_until_done(N_RUNS, 300)
        assert stack.find_faults(burst.run_ids) == []
        late = poll(stack.url, burst.run_ids, N_POLLERS, 5.0, 500.0)
        assert late.statuses == {304: len(late.latencies)}
        with stack.broker.client as client:
            assert client.llen("runs") == 0
        with stack.store.engine.connect() as connection:
            attempts = connection.execute(text("SELECT max(attempt) FROM runs")).scalar()
    assert attempts == 1
    # Far above what an idle machine measures: this holds on one that is busy with other tests.
    assert np.percentile(late.latencies, 99) < 2.0
    assert N_RUNS / burst.seconds > 50
    for name, most in (("web", 130), ("broker", 50), ("flower", 130)):
        assert memory.peak(name) < most, (name, memory.samples[name])
    for name in stack.pids:
        assert memory.growth_of_last_half(name) < 30, (name, memory.samples[name])
