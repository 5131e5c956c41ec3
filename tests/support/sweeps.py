"""Real sweeps for tests of workers: requests, the wait for their end, the undisturbed result."""

from __future__ import annotations

from functools import cache
from typing import Any

from rules.sweep_spec import parse_sweep_request
from storage.bar_files import load_bar_file
from storage.store import Store
from storage.sweep_records import ENDED_SWEEP_STATES, SweepRecord
from tasks.settings import Settings
from tasks.sweep_compute import build_local_sweep_spec
from tasks.sweep_local import run_local_sweep
from tasks.sweeps import submit_sweep
from tests.support.datasets import DATA
from tests.support.processes import wait_until

# 25 x 20 x 20 signals, each with some fees: seconds of work, whatever the kernels.
BASE = {
    "dataset": "AAPL",
    "rule": "rsi",
    "space": {"window": "2:26", "oversold": "21:40:1", "overbought": "60:79:1"},
    "force": True,
}


def build_request(n_fees: int, **changes: Any) -> dict[str, Any]:
    """A grid of 10,000 x `n_fees` combinations."""
    fees = [round(0.0001 * number, 4) for number in range(n_fees)]
    return {**BASE, "trading": {"fee_rate": fees}, **changes}


def submit(store: Store, settings: Settings, request: dict[str, Any]) -> str:
    return submit_sweep(store, settings, parse_sweep_request(request)).record.sweep_id


def count_done(store: Store, sweep_id: str) -> int:
    return store.sweeps.chunks(sweep_id).count("d")


def wait_for_chunks(store: Store, sweep_id: str, n_chunks: int, seconds: float = 60) -> None:
    wait_until(lambda: count_done(store, sweep_id) >= n_chunks, seconds, f"{n_chunks} chunks")


def wait_for_sweep(store: Store, sweep_id: str, seconds: float = 120) -> SweepRecord:
    """Return the sweep once it has ended."""

    def ended() -> SweepRecord | None:
        record = store.sweeps.get(sweep_id)
        assert record is not None
        return record if record.state in ENDED_SWEEP_STATES else None

    found = wait_until(ended, seconds, f"sweep {sweep_id} ends")
    assert found is not None
    return found


@cache
def compute_undisturbed(n_fees: int) -> str:
    """Return the hash of the same sweep in this process, without queue or database."""
    bars, warnings = load_bar_file(DATA / "AAPL.csv")
    request = parse_sweep_request(build_request(n_fees))
    spec = build_local_sweep_spec(request, [("AAPL", bars)])
    with run_local_sweep(spec, lambda _: (bars, warnings)) as local:
        return local.result_sha256
