"""Sweeps in each database: insertion, lists, pause, cancelling, tags, deletion."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from adapters.sweep_columns import HEADLINE_METRICS, METRIC_SIGN
from backtest.errors import InputError
from storage.database import create_database
from storage.errors import IdempotencyConflict, UnknownDataset
from storage.models import dataset_contents
from storage.store import Store
from storage.sweep_blocks import N_BEST
from storage.sweep_records import SweepFilter
from storage.sweep_tables import SWEEP_METRICS, sweep_best, sweep_blocks, sweep_chunks, sweeps
from tests.support.storage_samples import add_dataset, run_at_once
from tests.support.sweep_samples import (
    RETRIES,
    build_sweep,
    claim_chunk,
    finish_all,
    finish_chunk,
    get_sweep,
    start_sweep,
    submit_sweep,
)


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
    assert get_sweep(store, sweep_id).state == "queued"
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
    record = get_sweep(store, sweep_id)
    assert (record.state, record.finished_at is not None) == ("cancelled", True)
    assert store.sweeps.chunks(sweep_id) == "dcccc"
    assert len(store.sweeps.best_so_far(sweep_id)) == N_BEST


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
