"""Sweeps in each database: insertion, chunks under leases, pause, numbers, the end, deletion."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import numpy as np
import pytest
from sqlalchemy import func, select

from adapters.sweep_columns import HEADLINE_METRICS, METRIC_SIGN
from backtest.errors import InputError
from storage.database import create_database
from storage.errors import IdempotencyConflict, UnknownDataset
from storage.models import dataset_contents
from storage.store import Store
from storage.sweep_blocks import N_BEST
from storage.sweep_records import ChunkPlan, SweepFilter, SweepRecord
from storage.sweep_tables import SWEEP_METRICS, sweep_best, sweep_blocks, sweep_chunks, sweeps
from tests.support.storage_samples import add_dataset, run_at_once
from tests.support.sweep_samples import (
    N_POSITIONS,
    SHARPE,
    build_result,
    build_sweep,
    claim_chunk,
    finish_all,
    finish_chunk,
    start_sweep,
    submit_sweep,
)

RETRIES = 3


def get(store: Store, sweep_id: str) -> SweepRecord:
    record = store.sweeps.get(sweep_id)
    assert record is not None
    return record


def end(store: Store, sweep_id: str) -> None:
    """Finalise with a made-up result."""
    claim = store.sweeps.claim_finish(sweep_id, 60.0, RETRIES)
    assert claim is not None
    documents = {"best": {"index": 7, "metrics": {"sharpe": float("nan")}}, "plateau": None}
    assert store.sweeps.finish_sweep(sweep_id, claim.attempt, "a" * 64, documents)


def test_the_metrics_of_the_tables_are_those_of_the_adapters() -> None:
    assert SWEEP_METRICS == HEADLINE_METRICS
    from storage import sweep_blocks as blocks

    assert {name for name, sign in METRIC_SIGN.items() if sign < 0} == blocks.SMALLER_IS_BETTER


def test_a_new_sweep_is_queued_with_its_first_chunk(store: Store) -> None:
    new = build_sweep(add_dataset(store), n_points=10**25, tags=("b", "a"), note="größer")
    record = store.sweeps.insert(new)
    assert (record.state, record.stage, record.n_points) == ("queued", "", 10**25)
    assert (record.tags, record.note, record.spec) == (("b", "a"), "größer", new.spec)
    assert (record.symbol, record.rate, record.result_sha256) == ("SYM0", None, None)
    assert store.sweeps.insert(new) == record
    assert store.sweeps.get(new.sweep_id) == record
    assert store.sweeps.chunks(new.sweep_id) == "q"
    assert store.sweeps.take_messages(new.sweep_id) == ((0,), False)
    assert store.sweeps.take_messages(new.sweep_id) == ((), False)
    with pytest.raises(UnknownDataset):
        store.sweeps.insert(build_sweep("0" * 64))
    with pytest.raises(InputError):
        store.sweeps.insert(build_sweep(new.datasets[0][1], tags=("x" * 99,)))


def test_an_idempotency_key_answers_the_same_request_with_the_same_sweep(store: Store) -> None:
    sha256 = add_dataset(store)
    first = store.sweeps.insert(build_sweep(sha256, idempotency_key="k", request_hash="a"))
    again = store.sweeps.insert(build_sweep(sha256, idempotency_key="k", request_hash="a"))
    assert again == first == store.sweeps.find_by_idempotency_key("k", "a")
    with pytest.raises(IdempotencyConflict):
        store.sweeps.insert(build_sweep(sha256, idempotency_key="k", request_hash="b"))
    assert store.sweeps.save_idempotency_key("l", "c", first.sweep_id) == first
    assert store.sweeps.find_by_idempotency_key("l") == first


def test_sweeps_are_listed_newest_first_page_by_page(store: Store) -> None:
    sha256 = add_dataset(store)
    ids = [
        store.sweeps.insert(
            build_sweep(sha256, rule="macd" if number % 2 else "rsi", tags=(f"t{number}",))
        ).sweep_id
        for number in range(5)
    ]
    first = store.sweeps.list(SweepFilter(limit=3))
    rest = store.sweeps.list(SweepFilter(limit=3, cursor=first.next_cursor))
    assert [item.sweep_id for item in (*first.items, *rest.items)] == ids[::-1]
    assert rest.next_cursor is None
    found = store.sweeps.list(SweepFilter(rule="macd", symbol="SYM0", state="queued", tag="t3"))
    assert [item.sweep_id for item in found.items] == [ids[3]]
    with pytest.raises(InputError):
        store.sweeps.list(SweepFilter(state="odd", limit=0, sort="x"))


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
            record = get(store, sweep_id)
            assert (record.state, record.stage) == ("running", "measuring")
            assert record.started_at is not None
    finally:
        for other in others:
            other.engine.dispose()


def test_the_first_chunk_ends_where_it_measured_and_plans_the_rest(store: Store) -> None:
    sweep_id = start_sweep(store, 4)
    record = get(store, sweep_id)
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


def test_from_the_return_of_pause_on_no_chunk_is_given_out_or_completes(store: Store) -> None:
    sweep_id = start_sweep(store)
    assert store.sweeps.take_messages(sweep_id).chunks == (1, 2, 3, 4)
    running = claim_chunk(store, sweep_id, 1)
    assert store.sweeps.pause(sweep_id)
    assert not store.sweeps.pause(sweep_id)
    assert store.sweeps.chunks(sweep_id) == "dqqqq"
    assert not finish_chunk(store, running)
    assert not store.sweeps.fail_chunk(running, {"code": "x"})
    assert store.sweeps.heartbeat_chunk(sweep_id, 1, running.attempt, 60.0) == "lost"
    assert store.sweeps.claim_chunk(sweep_id, 2, "w", 60.0) is None
    assert store.sweeps.take_messages(sweep_id) == ((), False)
    assert store.sweeps.resume(sweep_id)
    assert not store.sweeps.resume(sweep_id)
    assert not finish_chunk(store, running)  # its token went with the pause
    assert store.sweeps.take_messages(sweep_id).chunks == (1, 2, 3, 4)  # sent again at once
    again = claim_chunk(store, sweep_id, 1)
    assert again.attempt == 2
    with store.engine.connect() as connection:
        lost = connection.scalar(select(func.max(sweep_chunks.c.n_lost)))
    assert lost == 0
    assert finish_chunk(store, again)


def test_a_pause_amid_finishing_threads_is_a_clean_cut(store: Store, database_url: str) -> None:
    sweep_id = start_sweep(store, 8)
    claims = [claim_chunk(store, sweep_id, idx) for idx in range(1, 9)]
    others = [Store(create_database(database_url)) for _ in range(3)]
    counted: list[int] = []

    def pause(other: Store) -> None:
        time.sleep(0.01)
        assert other.sweeps.pause(sweep_id)
        counted.append(other.sweeps.chunks(sweep_id).count("d"))

    def finish(other: Store, part: int) -> None:
        for claim in claims[part::2]:
            finish_chunk(other, claim)

    try:
        work: list[Callable[[], None]] = [
            lambda: pause(others[0]),
            lambda: finish(others[1], 0),
            lambda: finish(others[2], 1),
        ]
        run_at_once(lambda item: item(), work)
    finally:
        for other in others:
            other.engine.dispose()
    states = store.sweeps.chunks(sweep_id)
    assert states.count("d") == counted[0]
    assert set(states) <= {"d", "q"}


def test_a_sweep_paused_before_it_started_starts_when_resumed(store: Store) -> None:
    sweep_id = submit_sweep(store).sweep_id
    assert store.sweeps.pause(sweep_id)
    assert store.sweeps.claim_chunk(sweep_id, 0, "w", 60.0) is None
    assert store.sweeps.resume(sweep_id)
    assert get(store, sweep_id).state == "queued"
    claim_chunk(store, sweep_id)


def test_a_cancelled_sweep_keeps_its_numbers_and_never_goes_on(store: Store) -> None:
    sweep_id = start_sweep(store)
    running = claim_chunk(store, sweep_id, 1)
    assert store.sweeps.cancel(sweep_id)
    assert not store.sweeps.cancel(sweep_id)
    assert not finish_chunk(store, running)
    assert store.sweeps.heartbeat_chunk(sweep_id, 1, running.attempt, 60.0) == "cancelled"
    for change in (store.sweeps.pause, store.sweeps.resume, store.sweeps.retry):
        assert not change(sweep_id)
    assert store.sweeps.claim_finish(sweep_id, 60.0, RETRIES) is None
    record = get(store, sweep_id)
    assert (record.state, record.finished_at is not None) == ("cancelled", True)
    assert store.sweeps.chunks(sweep_id) == "dcccc"
    assert len(store.sweeps.best_so_far(sweep_id)) == N_BEST


def test_a_chunk_that_loses_its_worker_every_time_fails_and_can_be_retried(store: Store) -> None:
    sweep_id = start_sweep(store, 2)
    for _ in range(RETRIES - 1):
        claim_chunk(store, sweep_id, 1, lease_seconds=-1)
        assert store.sweeps.expire_chunks(RETRIES).requeued == ((sweep_id, 1),)
    claim_chunk(store, sweep_id, 1, lease_seconds=-1)
    assert store.sweeps.expire_chunks(RETRIES) == ((), ((sweep_id, 1),))
    assert get(store, sweep_id).state == "running"  # the others go on
    finish_all(store, sweep_id)
    assert store.sweeps.take_messages(sweep_id).is_complete
    assert store.sweeps.claim_finish(sweep_id, 60.0, RETRIES) is None
    record = get(store, sweep_id)
    assert record.state == "failed"
    assert record.error is not None
    assert record.error["chunks"][0]["chunk"] == 1
    assert "3 attempts" in record.error["message"]
    assert store.sweeps.retry(sweep_id)
    assert not store.sweeps.retry(sweep_id)
    assert get(store, sweep_id).error is None
    assert store.sweeps.take_messages(sweep_id).chunks == (1,)
    finish_all(store, sweep_id)
    end(store, sweep_id)
    assert get(store, sweep_id).state == "succeeded"


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


def test_the_pulse_moves_with_every_step_and_rests_in_between(store: Store) -> None:
    sweep_id = submit_sweep(store).sweep_id
    seen = []
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: claim_chunk(store, sweep_id),
        lambda: finish_chunk(store, claim_chunk(store, submit_sweep(store).sweep_id)),
    ]
    for step in steps:
        step()
        pulse = store.sweeps.load_pulse(sweep_id)
        assert pulse is not None
        seen.append(pulse.etag)
    assert seen[0] != seen[1]
    assert seen[1] == seen[2]  # another sweep's
    assert store.sweeps.load_pulse(str(uuid.uuid4())) is None


def test_one_finaliser_at_a_time_ends_a_sweep_once(store: Store) -> None:
    sweep_id = start_sweep(store)
    assert store.sweeps.claim_finish(sweep_id, 60.0, RETRIES) is None  # chunks are left
    finish_all(store, sweep_id)
    assert store.sweeps.take_finish_message(sweep_id, 5.0)
    assert not store.sweeps.take_finish_message(sweep_id, 5.0)
    first = store.sweeps.claim_finish(sweep_id, -1.0, RETRIES)
    assert first is not None
    second = store.sweeps.claim_finish(sweep_id, 60.0, RETRIES)
    assert second is not None
    assert store.sweeps.claim_finish(sweep_id, 60.0, RETRIES) is None
    assert store.sweeps.heartbeat_finish(sweep_id, first.attempt, 60.0) == "lost"
    assert not store.sweeps.finish_sweep(sweep_id, first.attempt, "b" * 64, {})
    assert store.sweeps.heartbeat_finish(sweep_id, second.attempt, 60.0) == "ok"
    documents = {"best": {"index": 7, "sharpe": float("nan")}}
    assert store.sweeps.finish_sweep(sweep_id, second.attempt, "a" * 64, documents)
    record = get(store, sweep_id)
    assert store.sweeps.finish_sweep(sweep_id, second.attempt, "a" * 64, documents)
    assert get(store, sweep_id) == record
    assert (record.state, record.result_sha256) == ("succeeded", "a" * 64)
    assert (record.n_combinations, record.n_excluded, record.n_failed) == (N_POSITIONS, 0, 0)
    assert record.seconds is not None
    assert store.sweeps.load_artifact(sweep_id, "best") == {"index": 7, "sharpe": None}
    assert store.sweeps.load_artifact(sweep_id, "plateau") is None
    found = store.sweeps.load_artifacts([sweep_id, "0" * 36], ["best", "plateau"])
    assert found == {(sweep_id, "best"): {"index": 7, "sharpe": None}}
    assert store.sweeps.find_finished("f" * 64) == record
    for change in (store.sweeps.pause, store.sweeps.cancel, store.sweeps.retry):
        assert not change(sweep_id)


def test_a_finaliser_that_dies_every_time_fails_the_sweep_which_can_be_retried(
    store: Store,
) -> None:
    sweep_id = start_sweep(store)
    finish_all(store, sweep_id)
    for _ in range(RETRIES):
        assert store.sweeps.claim_finish(sweep_id, -1.0, RETRIES) is not None
    assert store.sweeps.claim_finish(sweep_id, 60.0, RETRIES) is None
    record = get(store, sweep_id)
    assert record.state == "failed"
    assert record.error is not None
    assert record.error["code"] == "attempts_exhausted"
    assert store.sweeps.retry(sweep_id)
    end(store, sweep_id)


def test_pausing_while_it_is_finalised_stops_the_finaliser(store: Store) -> None:
    sweep_id = start_sweep(store)
    finish_all(store, sweep_id)
    claim = store.sweeps.claim_finish(sweep_id, 60.0, RETRIES)
    assert claim is not None
    assert store.sweeps.pause(sweep_id)
    assert store.sweeps.heartbeat_finish(sweep_id, claim.attempt, 60.0) == "lost"
    assert not store.sweeps.finish_sweep(sweep_id, claim.attempt, "a" * 64, {})
    assert store.sweeps.resume(sweep_id)
    assert store.sweeps.take_messages(sweep_id).is_complete
    assert store.sweeps.take_finish_message(sweep_id, 5.0)
    end(store, sweep_id)


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


def test_the_same_question_is_asked_once_and_answered_once(store: Store) -> None:
    sweep_id = start_sweep(store)
    asked = store.sweeps.ask(sweep_id, "ranking", {"metric": "sharpe", "offset": 0})
    assert asked is not None
    assert store.sweeps.ask(sweep_id, "ranking", {"offset": 0, "metric": "sharpe"}) == asked
    assert store.sweeps.take_query_message(asked.query_id, 5.0)
    assert not store.sweeps.take_query_message(asked.query_id, 5.0)
    assert store.sweeps.list_due_queries(0.0, 10) == (asked.query_id,)
    held = store.sweeps.claim_query(asked.query_id, 60.0, RETRIES)
    assert held is not None
    assert store.sweeps.claim_query(asked.query_id, 60.0, RETRIES) is None
    assert store.sweeps.heartbeat_query(asked.query_id, held.attempt, 60.0)
    assert store.sweeps.answer_query(asked.query_id, held.attempt, {"rows": [1.5]})
    assert not store.sweeps.answer_query(asked.query_id, held.attempt, {"rows": []})
    finish_chunk(store, claim_chunk(store, sweep_id, 1))
    fresh = store.sweeps.ask(sweep_id, "ranking", {"metric": "sharpe", "offset": 0})
    assert fresh is not None
    assert (fresh.query_id, fresh.state, fresh.result) == (
        asked.query_id,
        "done",
        {"rows": [1.5]},
    )
    other = store.sweeps.ask(sweep_id, "ranking", {"metric": "cagr"})
    assert other is not None
    for _ in range(RETRIES):
        assert store.sweeps.claim_query(other.query_id, -1.0, RETRIES) is not None
    assert store.sweeps.claim_query(other.query_id, -1.0, RETRIES) is None
    failed = store.sweeps.get_query(other.query_id)
    assert failed is not None
    assert failed.state == "failed"
    assert store.sweeps.ask(str(uuid.uuid4()), "ranking", {}) is None


def test_deleting_takes_everything_along_and_lets_the_bars_go(store: Store) -> None:
    sweep_id = start_sweep(store, 30)
    kept = start_sweep(store, 2)
    finish_all(store, sweep_id)
    asked = store.sweeps.ask(sweep_id, "ranking", {})
    assert asked is not None
    late = claim_chunk(store, kept, 1)
    assert store.sweeps.delete(sweep_id)
    assert not store.sweeps.delete(sweep_id)
    assert store.sweeps.get(sweep_id) is None
    assert list(store.sweeps.iterate_chunks(sweep_id, ["sharpe"])) == []
    with store.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(sweeps)) == 1
        assert connection.scalar(select(func.count()).select_from(sweep_chunks)) == 3
        assert connection.scalar(select(func.count()).select_from(sweep_best)) == N_BEST
        assert connection.scalar(select(func.count()).select_from(dataset_contents)) == 1
    assert store.sweeps.delete(kept)
    assert not finish_chunk(store, late)
    with store.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(sweep_blocks)) == 0
    assert store.datasets.remove("AAPL")
    with store.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(dataset_contents)) == 0


def test_tags_and_notes_change_and_retention_finds_what_ended(store: Store) -> None:
    sweep_id = start_sweep(store)
    changed = store.sweeps.patch(sweep_id, ["x", "y"], "kept")
    assert changed is not None
    assert (changed.tags, changed.note) == (("x", "y"), "kept")
    assert store.sweeps.list(SweepFilter(tag="y")).items == (changed,)
    assert store.sweeps.patch(str(uuid.uuid4()), []) is None
    assert store.sweeps.list_finished_before(0.0, 10) == ()
    assert store.sweeps.list_active(10) == (sweep_id,)
    store.sweeps.cancel(sweep_id)
    time.sleep(0.01)
    assert store.sweeps.list_finished_before(0.0, 10) == (sweep_id,)
    assert store.sweeps.counts()["cancelled"] == 1
