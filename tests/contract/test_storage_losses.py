"""Workers that are lost, stop or fall silent: what is counted, what is told, who takes turns."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from storage.database import create_database
from storage.models import runs
from storage.records import RunRecord
from storage.sql_types import database_time
from storage.store import Store
from tests.support.model_base import write
from tests.support.storage_samples import claim, finish, run_at_once, submit
from tests.support.sweep_samples import claim_chunk, finish_all, start_sweep, submit_sweep

SEGFAULT = "signal 11 (SIGSEGV)"
ATTEMPTS = 3


def get(store: Store, run_id: str) -> RunRecord:
    record = store.runs.get(run_id)
    assert record is not None
    return record


def test_a_run_that_is_handed_back_is_queued_at_once_and_costs_no_attempt(store: Store) -> None:
    run_id = submit(store).run_id
    for attempt in range(1, 8):
        held = claim(store, run_id)
        assert held.attempt == attempt
        assert store.runs.give_back(run_id, held.attempt)
        assert not store.runs.give_back(run_id, held.attempt)
        assert run_id in store.runs.list_unsent(0.0, 10)
    assert get(store, run_id).state == "queued"
    assert finish(store, claim(store, run_id))


def test_a_reported_loss_frees_the_run_before_its_lease_is_over(store: Store) -> None:
    run_id = submit(store).run_id
    held = claim(store, run_id)
    assert store.runs.report_lost(run_id, "worker-2", SEGFAULT, ATTEMPTS) is None
    assert get(store, run_id).state == "running"
    assert store.runs.report_lost(run_id, "worker-1", SEGFAULT, ATTEMPTS) == "queued"
    assert not finish(store, held)
    assert claim(store, run_id).attempt == 2


def test_a_run_that_costs_three_workers_their_lives_fails_with_the_last_exit(store: Store) -> None:
    run_id = submit(store).run_id
    outcomes = []
    for _ in range(ATTEMPTS):
        claim(store, run_id)
        outcomes.append(store.runs.report_lost(run_id, "worker-1", SEGFAULT, ATTEMPTS))
    assert outcomes == ["queued", "queued", "failed"]
    record = get(store, run_id)
    assert record.error is not None
    assert (record.state, record.attempt) == ("failed", ATTEMPTS)
    assert (record.error["code"], record.error["exit"]) == ("attempts_exhausted", SEGFAULT)
    assert SEGFAULT in record.error["message"]


def test_an_exit_that_is_told_late_is_still_named_when_silence_uses_up_the_rest(
    store: Store,
) -> None:
    run_id = submit(store).run_id
    claim(store, run_id, lease_seconds=-1)
    assert store.runs.expire_leases(ATTEMPTS).requeued == (run_id,)
    assert store.runs.report_lost(run_id, "worker-1", SEGFAULT, ATTEMPTS) is None
    for _ in range(ATTEMPTS - 1):
        claim(store, run_id, lease_seconds=-1)
        store.runs.expire_leases(ATTEMPTS)
    error = get(store, run_id).error
    assert error is not None
    assert error["exit"] == SEGFAULT


def test_an_end_that_nobody_saw_is_told_as_such(store: Store) -> None:
    run_id = submit(store).run_id
    for _ in range(ATTEMPTS):
        claim(store, run_id, lease_seconds=-1)
    assert store.runs.claim(run_id, "worker-1", 60.0, ATTEMPTS) is None
    error = get(store, run_id).error
    assert error is not None
    assert error["exit"] is None
    assert "fell silent" in error["message"]


def test_a_report_about_a_run_that_was_handed_back_is_none_about_it(store: Store) -> None:
    run_id = submit(store).run_id
    held = claim(store, run_id)
    assert store.runs.give_back(run_id, held.attempt)
    assert store.runs.report_lost(run_id, "worker-1", "exit code 15", ATTEMPTS) is None
    for _ in range(ATTEMPTS):
        claim(store, run_id, lease_seconds=-1)
        store.runs.expire_leases(ATTEMPTS)
    error = get(store, run_id).error
    assert error is not None
    assert error["exit"] is None


def test_a_chunk_that_costs_its_processes_fails_with_the_last_exit(store: Store) -> None:
    sweep_id = submit_sweep(store).sweep_id
    for number in range(1, ATTEMPTS + 1):
        assert claim_chunk(store, sweep_id).attempt == number
        other = store.sweeps.report_lost_chunk(sweep_id, 0, "worker-2", SEGFAULT, ATTEMPTS)
        assert other is None
        outcome = store.sweeps.report_lost_chunk(sweep_id, 0, "worker-1", SEGFAULT, ATTEMPTS)
    assert outcome == "failed"
    assert store.sweeps.claim_finish(sweep_id, 60.0, ATTEMPTS) is None
    record = store.sweeps.get(sweep_id)
    assert record is not None
    assert record.error is not None
    assert (record.state, record.error["chunks"][0]["exit"]) == ("failed", SEGFAULT)


def test_a_finaliser_that_dies_every_time_names_its_exit(store: Store) -> None:
    sweep_id = start_sweep(store)
    finish_all(store, sweep_id)
    for _ in range(ATTEMPTS):
        assert store.sweeps.claim_finish(sweep_id, 60.0, ATTEMPTS, "worker-1") is not None
        store.sweeps.report_lost_finaliser(sweep_id, "worker-1", SEGFAULT)
    assert store.sweeps.claim_finish(sweep_id, 60.0, ATTEMPTS) is None
    record = store.sweeps.get(sweep_id)
    assert record is not None
    assert record.error is not None
    assert (record.state, record.error["exit"]) == ("failed", SEGFAULT)


def test_a_question_that_kills_whoever_answers_names_its_exit(store: Store) -> None:
    sweep_id = start_sweep(store)
    asked = store.sweeps.ask(sweep_id, "ranking", {"metric": "sharpe"})
    assert asked is not None
    for _ in range(ATTEMPTS):
        assert store.sweeps.claim_query(asked.query_id, 60.0, ATTEMPTS, "worker-1") is not None
        store.sweeps.report_lost_query(asked.query_id, "worker-1", SEGFAULT)
    assert store.sweeps.claim_query(asked.query_id, 60.0, ATTEMPTS) is None
    answer = store.sweeps.get_query(asked.query_id)
    assert answer is not None
    assert answer.error is not None
    assert (answer.state, answer.error["exit"]) == ("failed", SEGFAULT)


@pytest.mark.parametrize(("age", "listed"), [(5, False), (60, True), (3600, False)])
def test_results_whose_charts_do_not_follow_are_found_for_a_while(
    store: Store, age: float, listed: bool
) -> None:
    run_id = submit(store).run_id
    held = claim(store, run_id)
    assert finish(store, held)
    mine = runs.c.run_id == run_id
    write(store, update(runs).where(mine).values(finished_at=database_time(-age)))
    assert (run_id in store.runs.list_chartless(30.0, 600.0, 10)) == listed
    store.runs.mark_sent(run_id)
    assert store.runs.list_chartless(30.0, 600.0, 10) == ()
    write(store, update(runs).where(mine).values(sent_at=database_time(-60)))
    assert (run_id in store.runs.list_chartless(30.0, 600.0, 10)) == listed
    assert store.runs.save_charts(run_id, held.attempt, {"orders": "data:"})
    assert store.runs.list_chartless(30.0, 600.0, 10) == ()


def test_a_lease_on_a_service_is_one_holders_until_it_is_over_or_given_back(store: Store) -> None:
    assert store.leases.acquire("maintenance", "a", 60.0)
    assert store.leases.acquire("maintenance", "a", 60.0)
    assert not store.leases.acquire("maintenance", "b", 60.0)
    assert store.leases.acquire("another", "b", 60.0)
    store.leases.release("maintenance", "b")
    assert not store.leases.acquire("maintenance", "b", 60.0)
    store.leases.release("maintenance", "a")
    assert store.leases.acquire("maintenance", "b", -1.0)
    assert store.leases.acquire("maintenance", "a", 60.0)


def test_of_those_that_ask_at_once_one_gets_the_lease(store: Store, database_url: str) -> None:
    stores = [Store(create_database(database_url)) for _ in range(4)]
    try:
        for number in range(5):
            granted = run_at_once(
                lambda pair, number=number: pair[1].leases.acquire(f"s{number}", pair[0], 60.0),
                list(zip("abcd", stores, strict=True)),
            )
            assert sum(granted) == 1
    finally:
        for other in stores:
            other.engine.dispose()
