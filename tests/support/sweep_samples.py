"""Small sweeps with made-up numbers, for tests of storage."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import numpy as np

from storage.store import Store
from storage.sweep_records import (
    ChunkClaim,
    ChunkPlan,
    ChunkResult,
    NewSweep,
    SweepRecord,
)
from storage.sweep_tables import SWEEP_METRICS
from tests.support.storage_samples import add_dataset

N_POSITIONS = 1000
RETRIES = 3
SHARPE = SWEEP_METRICS.index("sharpe")


def build_sweep(*hashes: str, **changes: Any) -> NewSweep:
    new = NewSweep(
        sweep_id=str(uuid.uuid4()),
        fingerprint="f" * 64,
        spec={"rule": "rsi", "datasets": list(hashes)},
        datasets=tuple((f"SYM{number}", sha256) for number, sha256 in enumerate(hashes)),
        rule="rsi",
        method="grid",
        objective="sharpe",
        min_trades=0,
        n_points=N_POSITIONS,
        n_positions=N_POSITIONS,
        n_combinations=N_POSITIONS,
        n_bars=20,
        first_stop=N_POSITIONS,
    )
    return replace(new, **changes)


def submit_sweep(store: Store, **changes: Any) -> SweepRecord:
    return store.sweeps.insert(build_sweep(add_dataset(store), **changes))


def claim_chunk(
    store: Store, sweep_id: str, idx: int = 0, lease_seconds: float = 60.0
) -> ChunkClaim:
    claimed = store.sweeps.claim_chunk(sweep_id, idx, "worker-1", lease_seconds)
    assert claimed is not None
    return claimed


def build_result(first: int, stop: int, *, excluded: int = 0, failed: int = 0) -> ChunkResult:
    """Numbers that depend on the position alone, as those of a real sweep do."""
    positions = np.arange(first, stop, dtype=np.int64)
    metrics = np.asfortranarray(
        np.sin(positions[:, None] * (1.0 + np.arange(len(SWEEP_METRICS))[None, :]))
    )
    status = np.zeros(stop - first, dtype=np.uint8)
    status[:excluded] = 1
    status[excluded : excluded + failed] = 3
    metrics[status != 0] = np.nan
    return ChunkResult(stop, positions, metrics, status, 0.1)


def finish_chunk(store: Store, claimed: ChunkClaim, plan: ChunkPlan | None = None) -> bool:
    return store.sweeps.finish_chunk(claimed, build_result(claimed.first, claimed.stop), plan)


def start_sweep(store: Store, n_chunks: int = 4, **changes: Any) -> str:
    """A sweep whose first chunk has measured, and planned so many more."""
    sweep_id = submit_sweep(store, **changes).sweep_id
    claimed = claim_chunk(store, sweep_id)
    stops = tuple(100 + 900 * number // n_chunks for number in range(1, n_chunks + 1))
    plan = ChunkPlan(stops, 5000.0, ({"code": "rule_without_hook", "message": "slow"},))
    assert store.sweeps.finish_chunk(claimed, build_result(0, 100), plan)
    return sweep_id


def finish_all(store: Store, sweep_id: str) -> None:
    """Compute whatever is queued."""
    for idx, letter in enumerate(store.sweeps.chunks(sweep_id)):
        if letter == "q":
            assert finish_chunk(store, claim_chunk(store, sweep_id, idx))


def get_sweep(store: Store, sweep_id: str) -> SweepRecord:
    record = store.sweeps.get(sweep_id)
    assert record is not None
    return record


def end_sweep(store: Store, sweep_id: str) -> None:
    """Finalise with a made-up result."""
    claim = store.sweeps.claim_finish(sweep_id, 60.0, RETRIES)
    assert claim is not None
    documents = {"best": {"index": 7, "metrics": {"sharpe": float("nan")}}, "plateau": None}
    assert store.sweeps.finish_sweep(sweep_id, claim.attempt, "a" * 64, documents)
