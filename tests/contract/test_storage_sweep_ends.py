"""The end of a sweep in each database, and questions about its numbers: leases and attempts."""

from __future__ import annotations

import uuid

import pytest

from storage.errors import TooManyQuestions
from storage.store import Store
from tests.support.sweep_samples import (
    N_POSITIONS,
    RETRIES,
    claim_chunk,
    end_sweep,
    finish_all,
    finish_chunk,
    get_sweep,
    start_sweep,
)


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
    record = get_sweep(store, sweep_id)
    assert store.sweeps.finish_sweep(sweep_id, second.attempt, "a" * 64, documents)
    assert get_sweep(store, sweep_id) == record
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
    record = get_sweep(store, sweep_id)
    assert record.state == "failed"
    assert record.error is not None
    assert record.error["code"] == "attempts_exhausted"
    assert store.sweeps.retry(sweep_id)
    end_sweep(store, sweep_id)


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
    end_sweep(store, sweep_id)


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


def test_a_finaliser_that_hands_back_costs_nothing_and_is_sent_for_at_once(store: Store) -> None:
    sweep_id = start_sweep(store)
    finish_all(store, sweep_id)
    for _ in range(RETRIES + 1):
        assert store.sweeps.take_finish_message(sweep_id, 3600.0)
        held = store.sweeps.claim_finish(sweep_id, 60.0, RETRIES, "worker-1")
        assert held is not None
        assert store.sweeps.return_finish(sweep_id, held.attempt)
        assert not store.sweeps.return_finish(sweep_id, held.attempt)
        assert store.sweeps.heartbeat_finish(sweep_id, held.attempt, 60.0) == "lost"
        assert not store.sweeps.finish_sweep(sweep_id, held.attempt, "b" * 64, {})
    end_sweep(store, sweep_id)


def test_a_retried_sweep_may_lose_as_many_finalisers_again(store: Store) -> None:
    sweep_id = start_sweep(store)
    finish_all(store, sweep_id)
    for _ in range(2):
        for _ in range(RETRIES):
            assert store.sweeps.claim_finish(sweep_id, -1.0, RETRIES) is not None
        assert store.sweeps.claim_finish(sweep_id, 60.0, RETRIES) is None
        assert get_sweep(store, sweep_id).state == "failed"
        assert store.sweeps.retry(sweep_id)
    end_sweep(store, sweep_id)


def test_the_end_of_a_worker_is_none_of_whoever_took_over_what_it_handed_back(
    store: Store,
) -> None:
    sweep_id = start_sweep(store)
    asked = store.sweeps.ask(sweep_id, "ranking", {"metric": "sharpe"})
    assert asked is not None
    finish_all(store, sweep_id)
    finish = store.sweeps.claim_finish(sweep_id, 60.0, RETRIES, "worker-1")
    answer = store.sweeps.claim_query(asked.query_id, 60.0, RETRIES, "worker-1")
    assert finish is not None
    assert answer is not None
    assert store.sweeps.return_finish(sweep_id, finish.attempt)
    assert store.sweeps.return_query(asked.query_id, answer.attempt)
    assert store.sweeps.claim_finish(sweep_id, 60.0, RETRIES, "worker-2") is not None
    assert store.sweeps.claim_query(asked.query_id, 60.0, RETRIES, "worker-2") is not None
    for worker, is_free in (("worker-1", False), ("worker-2", True)):
        store.sweeps.report_lost_finaliser(sweep_id, worker, "exit code 15")
        store.sweeps.report_lost_query(asked.query_id, worker, "exit code 15")
        again = store.sweeps.claim_finish(sweep_id, 60.0, RETRIES)
        answered = store.sweeps.claim_query(asked.query_id, 60.0, RETRIES)
        assert (again is not None, answered is not None) == (is_free, is_free)


def test_a_question_that_is_handed_back_costs_nothing_and_is_sent_for_at_once(
    store: Store,
) -> None:
    asked = store.sweeps.ask(start_sweep(store), "ranking", {"metric": "sharpe"})
    assert asked is not None
    for _ in range(RETRIES + 1):
        assert store.sweeps.take_query_message(asked.query_id, 3600.0)
        held = store.sweeps.claim_query(asked.query_id, 60.0, RETRIES)
        assert held is not None
        assert store.sweeps.return_query(asked.query_id, held.attempt)
        assert not store.sweeps.return_query(asked.query_id, held.attempt)
        assert not store.sweeps.answer_query(asked.query_id, held.attempt, {})
    last = store.sweeps.claim_query(asked.query_id, 60.0, RETRIES)
    assert last is not None
    assert store.sweeps.answer_query(asked.query_id, last.attempt, {"rows": []})


def test_only_so_many_questions_wait_and_known_ones_are_found_all_the_same(store: Store) -> None:
    sweep_id, other = start_sweep(store), start_sweep(store)
    kinds = ("ranking", "heatmap", "parallel")
    waiting = [store.sweeps.ask(sweep_id, kind, {}, max_waiting=3) for kind in kinds]
    for asked_of in (sweep_id, other):
        with pytest.raises(TooManyQuestions, match="3 questions"):
            store.sweeps.ask(asked_of, "marginals", {}, max_waiting=3)
    again = [store.sweeps.ask(sweep_id, kind, {}, max_waiting=3) for kind in kinds]
    assert again == waiting
    assert waiting[0] is not None
    held = store.sweeps.claim_query(waiting[0].query_id, 60.0, RETRIES)
    assert held is not None
    with pytest.raises(TooManyQuestions):
        store.sweeps.ask(other, "marginals", {}, max_waiting=3)
    assert store.sweeps.answer_query(held.query_id, held.attempt, {"rows": []})
    assert store.sweeps.ask(other, "marginals", {}, max_waiting=3) is not None
    answered = store.sweeps.ask(sweep_id, "ranking", {}, max_waiting=3)
    assert answered is not None
    assert answered.state == "done"
