"""Chunks of sweeps in each database: leases, plans, messages, and their numbers."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import func, select

from storage.database import create_database
from storage.store import Store
from storage.sweep_records import ChunkPlan
from storage.sweep_tables import SWEEP_METRICS, sweep_blocks
from tests.support.storage_samples import run_at_once
from tests.support.sweep_samples import (
    N_POSITIONS,
    RETRIES,
    SHARPE,
    build_result,
    claim_chunk,
    end_sweep,
    finish_all,
    finish_chunk,
    get_sweep,
    start_sweep,
    submit_sweep,
)


def test_of_threads_that_claim_one_chunk_exactly_one_wins(store: Store, database_url: str) -> None:
    others = [Store(create_database(database_url)) for _ in range(4)]
    try:
        for _ in range(3):
            sweep_id = submit_sweep(store).sweep_id
            claims = run_at_once(
                lambda other, sweep_id=sweep_id: other.sweeps.claim_chunk(sweep_id, 0, "w", 60.0),
                others,
            )
            assert [item.attempt for item in claims if item is not None] == [1]
            record = get_sweep(store, sweep_id)
            assert (record.state, record.stage) == ("running", "measuring")
            assert record.started_at is not None
    finally:
        for other in others:
            other.engine.dispose()


def test_the_first_chunk_ends_where_it_measured_and_plans_the_rest(store: Store) -> None:
    sweep_id = start_sweep(store, 4)
    record = get_sweep(store, sweep_id)
    assert (record.stage, record.rate) == ("computing", 5000.0)
    assert record.warnings[0]["code"] == "rule_without_hook"
    assert store.sweeps.find_rate("rsi") == (5000.0, 20)
    assert store.sweeps.chunks(sweep_id) == "dqqqq"
    assert store.sweeps.take_messages(sweep_id).chunks == (1, 2, 3, 4)
    finish_all(store, sweep_id)
    assert [(c.first, c.stop) for c in store.sweeps.iterate_chunks(sweep_id)] == [
        (0, 100),
        (100, 325),
        (325, 550),
        (550, 775),
        (775, 1000),
    ]
    assert store.sweeps.take_messages(sweep_id) == ((), True)


def test_a_result_stored_once_more_is_the_same_success_and_a_stale_one_is_refused(
    store: Store,
) -> None:
    sweep_id = start_sweep(store)
    stale = claim_chunk(store, sweep_id, 1, lease_seconds=-1)
    assert store.sweeps.expire_chunks(RETRIES).requeued == ((sweep_id, 1),)
    assert not finish_chunk(store, stale)
    fresh = claim_chunk(store, sweep_id, 1)
    assert (stale.attempt, fresh.attempt) == (1, 2)
    assert store.sweeps.heartbeat_chunk(sweep_id, 1, stale.attempt, 60.0) == "lost"
    assert store.sweeps.heartbeat_chunk(sweep_id, 1, fresh.attempt, 60.0) == "ok"
    assert not finish_chunk(store, stale)
    assert finish_chunk(store, fresh)
    before = store.sweeps.load_pulse(sweep_id)
    assert finish_chunk(store, fresh)  # a COMMIT whose answer was lost
    assert store.sweeps.load_pulse(sweep_id) == before
    assert store.sweeps.claim_chunk(sweep_id, 1, "late", 60.0) is None
    with store.engine.connect() as connection:
        n_blocks = connection.scalar(
            select(func.count()).select_from(sweep_blocks).where(sweep_blocks.c.idx == 1)
        )
    assert n_blocks == len(SWEEP_METRICS)


def test_chunks_that_failed_are_told_by_their_positions(store: Store) -> None:
    sweep_id = start_sweep(store)
    assert store.sweeps.find_failures(sweep_id) == (0, ())
    claim = claim_chunk(store, sweep_id, 2)
    assert store.sweeps.fail_chunk(claim, {"code": "x", "message": "it broke"})
    assert store.sweeps.find_failures(sweep_id) == (0, ((claim.first, claim.stop),))
    assert store.sweeps.find_failures("00000000-0000-0000-0000-000000000000") == (0, ())


def test_a_chunk_that_loses_its_worker_every_time_fails_and_can_be_retried(store: Store) -> None:
    sweep_id = start_sweep(store, 2)
    for _ in range(RETRIES - 1):
        claim_chunk(store, sweep_id, 1, lease_seconds=-1)
        assert store.sweeps.expire_chunks(RETRIES).requeued == ((sweep_id, 1),)
    claim_chunk(store, sweep_id, 1, lease_seconds=-1)
    assert store.sweeps.expire_chunks(RETRIES) == ((), ((sweep_id, 1),))
    assert get_sweep(store, sweep_id).state == "running"  # the others go on
    finish_all(store, sweep_id)
    assert store.sweeps.take_messages(sweep_id).is_complete
    assert store.sweeps.claim_finish(sweep_id, 60.0, RETRIES) is None
    record = get_sweep(store, sweep_id)
    assert record.state == "failed"
    assert record.error is not None
    assert record.error["chunks"][0]["chunk"] == 1
    assert "3 attempts" in record.error["message"]
    assert store.sweeps.retry(sweep_id)
    assert not store.sweeps.retry(sweep_id)
    assert get_sweep(store, sweep_id).error is None
    assert store.sweeps.take_messages(sweep_id).chunks == (1,)
    finish_all(store, sweep_id)
    end_sweep(store, sweep_id)
    assert get_sweep(store, sweep_id).state == "succeeded"


def test_only_a_window_of_messages_is_out_and_each_is_given_to_one_sender(
    store: Store, database_url: str
) -> None:
    sweep_id = start_sweep(store, 40)
    others = [Store(create_database(database_url)) for _ in range(4)]
    try:
        taken = run_at_once(lambda other: other.sweeps.take_messages(sweep_id).chunks, others)
    finally:
        for other in others:
            other.engine.dispose()
    chunks = [idx for part in taken for idx in part]
    assert len(chunks) == len(set(chunks))
    assert 8 <= len(chunks) <= 8 * len(others)  # those that look at once may all see room
    for idx in sorted(chunks)[:6]:
        claim_chunk(store, sweep_id, idx)
    more = store.sweeps.take_messages(sweep_id).chunks
    assert len(chunks) - 6 + len(more) == max(12, len(chunks) - 6)
    store.sweeps.unmark_sent(sweep_id, more)
    assert store.sweeps.take_messages(sweep_id).chunks == more


def test_messages_that_the_broker_lost_are_sent_again(store: Store) -> None:
    sweep_id = start_sweep(store, 3)
    assert len(store.sweeps.take_messages(sweep_id).chunks) == 3
    assert store.sweeps.count_overdue(60) == 0
    assert store.sweeps.count_overdue(0) == 3
    assert store.sweeps.release_overdue(0) == 3
    assert len(store.sweeps.take_messages(sweep_id).chunks) == 3


def test_numbers_come_back_bit_by_bit_one_metric_at_a_time(store: Store) -> None:
    sweep_id = start_sweep(store, 30)
    for idx in range(1, 31):
        claimed = claim_chunk(store, sweep_id, idx)
        result = build_result(claimed.first, claimed.stop, excluded=idx == 3, failed=idx == 4)
        assert store.sweeps.finish_chunk(claimed, result)
    read = list(store.sweeps.iterate_chunks(sweep_id, ["sharpe", "cagr"]))
    assert [chunk.idx for chunk in read] == list(range(31))
    for chunk in read:
        expected = build_result(
            chunk.first, chunk.stop, excluded=chunk.idx == 3, failed=chunk.idx == 4
        )
        assert chunk.columns["sharpe"].tobytes() == expected.metrics[:, SHARPE].tobytes()
        assert np.array_equal(chunk.status, expected.status)
        assert chunk.points is None
    progress = store.sweeps.progress(sweep_id)
    assert progress is not None
    assert (progress.n_done, progress.n_positions_done) == (31, N_POSITIONS)
    assert (progress.n_excluded_done, progress.n_failed_done) == (1, 1)
    assert progress.n_combinations_done == N_POSITIONS - 1
    assert progress.fraction == 1.0
    with store.engine.connect() as connection:
        kinds = connection.execute(
            select(sweep_blocks.c.idx).where(sweep_blocks.c.kind == "status")
        ).scalars()
        assert sorted(kinds) == [3, 4]  # a status that is 0 throughout takes no row
    with pytest.raises(ValueError, match="no such metrics"):
        list(store.sweeps.iterate_chunks(sweep_id, ["odd"]))


@pytest.mark.parametrize("objective", ["sharpe", "volatility"])
def test_the_best_so_far_are_those_of_all_chunks_done(store: Store, objective: str) -> None:
    sweep_id = start_sweep(store, 3, objective=objective, min_trades=0)
    values = build_result(0, 1000).metrics[:, SWEEP_METRICS.index(objective)]
    n_trades = build_result(0, 1000).metrics[:, SWEEP_METRICS.index("n_trades")]
    finish_all(store, sweep_id)
    order = np.argsort(values if objective == "volatility" else -values, kind="stable")
    expected = [position for position in order if n_trades[position] >= 0][:5]
    best = store.sweeps.best_so_far(sweep_id, 5)
    assert [row.position for row in best] == expected
    assert [row.metrics[objective] for row in best] == values[expected].tolist()


def test_a_batch_of_an_adaptive_search_plans_the_next_and_keeps_its_points(store: Store) -> None:
    sweep_id = submit_sweep(store, method="adaptive", first_stop=64, n_positions=100).sweep_id
    claimed = claim_chunk(store, sweep_id)
    points = np.arange(64, dtype=np.int64)[::-1].copy() * 10**12
    result = build_result(0, 64)
    kept = type(result)(64, points, result.metrics, result.status, 0.1, keep_points=True)
    assert store.sweeps.finish_chunk(claimed, kept, ChunkPlan((100,)))
    [chunk] = store.sweeps.iterate_chunks(sweep_id)
    assert chunk.points is not None
    assert chunk.points.tolist() == points.tolist()
    assert store.sweeps.take_messages(sweep_id).chunks == (1,)
    assert claim_chunk(store, sweep_id, 1).first == 64


def test_leases_are_judged_by_the_time_of_the_look(store: Store) -> None:
    sweep_id = start_sweep(store)
    claim_chunk(store, sweep_id, 1, lease_seconds=-1.0)
    now = store.leases.read_clock()
    assert store.sweeps.expire_chunks(RETRIES, now - timedelta(seconds=5)) == ((), ())
    assert store.sweeps.expire_chunks(RETRIES, now).requeued == ((sweep_id, 1),)
