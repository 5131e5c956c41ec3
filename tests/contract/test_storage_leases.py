"""Claims and leases: one winner, stale tokens, lost workers, final states."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import Engine, event, func, select

from storage.database import create_database
from storage.models import run_artifacts
from storage.store import Store
from tests.support.storage_samples import (
    SUMMARY,
    claim,
    finish,
    run_at_once,
    submit,
)


def _state(store: Store, run_id: str) -> str:
    record = store.runs.get(run_id)
    assert record is not None
    return record.state


def test_a_claim_starts_the_run_and_carries_its_spec_and_token(store: Store) -> None:
    run = submit(store)
    held = claim(store, run.run_id)
    assert (held.run_id, held.attempt, held.spec) == (run.run_id, 1, run.spec)
    record = store.runs.get(run.run_id)
    assert record is not None
    assert (record.state, record.attempt) == ("running", 1)
    assert record.started_at is not None
    assert record.version > run.version


def test_of_threads_that_claim_one_run_exactly_one_wins(store: Store, database_url: str) -> None:
    # Engines of their own, as workers are processes of their own.
    stores = [Store(create_database(database_url)) for _ in range(4)]
    try:
        for _ in range(5):
            run_id = submit(store).run_id
            claims = run_at_once(
                lambda other, run_id=run_id: other.runs.claim(run_id, "w", 60.0, 3), stores
            )
            assert [item.attempt for item in claims if item is not None] == [1]
    finally:
        for other in stores:
            other.engine.dispose()


def test_what_is_held_finished_or_unknown_cannot_be_claimed(store: Store) -> None:
    run = submit(store)
    held = claim(store, run.run_id)
    assert store.runs.claim(run.run_id, "late", 60.0, 3) is None
    assert finish(store, held)
    assert store.runs.claim(run.run_id, "late", 60.0, 3) is None
    assert store.runs.claim(str(uuid.uuid4()), "late", 60.0, 3) is None
    assert _state(store, run.run_id) == "succeeded"


def test_a_stale_token_can_do_nothing(store: Store) -> None:
    run = submit(store)
    stale = claim(store, run.run_id, lease_seconds=-1)
    fresh = claim(store, run.run_id)
    assert fresh.attempt == 2
    assert finish(store, stale) is False
    assert store.runs.fail(run.run_id, stale.attempt, {"code": "late"}) is False
    assert store.runs.heartbeat(run.run_id, stale.attempt, 60, "engine", 0.9) == "lost"
    record = store.runs.get(run.run_id)
    assert record is not None
    assert (record.state, record.progress, record.error) == ("running", 0.0, None)
    with store.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(run_artifacts)) == 0
    assert finish(store, fresh) is True
    assert store.runs.save_charts(run.run_id, stale.attempt, {"orders": "old"}) is False
    assert store.runs.load_charts(run.run_id) is None


def test_finishing_again_with_the_same_token_is_the_same_success(store: Store) -> None:
    held = claim(store, submit(store).run_id)
    assert finish(store, held, total_return=0.25) is True
    first = store.runs.get(held.run_id)
    assert finish(store, held, total_return=0.75) is True  # a COMMIT whose answer was lost
    assert store.runs.get(held.run_id) == first
    assert first is not None
    assert first.metrics is not None
    assert first.metrics["total_return"] == 0.25


def test_the_result_and_the_state_are_stored_together_or_not_at_all(store: Store) -> None:
    held = claim(store, submit(store).run_id)
    statements: list[str] = []

    # The connection breaks between the two statements of the transaction.
    @event.listens_for(store.engine, "before_cursor_execute")
    def interrupt(*args: object) -> None:
        statements.append(str(args[2]))
        if "INSERT INTO run_artifacts" in statements[-1]:
            raise ConnectionResetError("cut")

    try:
        with pytest.raises(ConnectionResetError):
            finish(store, held)
    finally:
        event.remove(store.engine, "before_cursor_execute", interrupt)
    assert any(statement.startswith("UPDATE runs") for statement in statements)
    record = store.runs.get(held.run_id)
    assert record is not None
    assert (record.state, record.metrics) == ("running", None)
    assert finish(store, held) is True


def test_a_heartbeat_keeps_the_lease_and_reports_progress(store: Store) -> None:
    held = claim(store, submit(store).run_id, lease_seconds=-1)
    assert store.runs.heartbeat(held.run_id, held.attempt, 60, "engine", 0.5) == "ok"
    record = store.runs.get(held.run_id)
    assert record is not None
    assert (record.stage, record.progress) == ("engine", 0.5)
    assert store.runs.expire_leases(3) == ((), ())
    assert store.runs.claim(held.run_id, "late", 60.0, 3) is None


def test_leases_are_judged_by_the_time_of_the_look(store: Store) -> None:
    held = claim(store, submit(store).run_id, lease_seconds=-1)
    now = store.leases.read_clock()
    assert store.runs.expire_leases(3, now - timedelta(seconds=5)) == ((), ())
    assert store.runs.expire_leases(3, now) == ((held.run_id,), ())


def test_a_heartbeat_that_reports_nothing_new_leaves_the_version(store: Store) -> None:
    held = claim(store, submit(store).run_id)
    versions = []
    for stage, progress in [("engine", 0.5), ("engine", 0.5), ("engine", 0.6), ("metrics", 0.6)]:
        assert store.runs.heartbeat(held.run_id, held.attempt, 60, stage, progress) == "ok"
        record = store.runs.get(held.run_id)
        assert record is not None
        versions.append(record.version)
    assert [later - versions[0] for later in versions] == [0, 0, 1, 2]


def test_a_lease_ends_by_the_clock_of_the_database(store: Store) -> None:
    held = claim(store, submit(store).run_id, lease_seconds=0.2)
    assert store.runs.expire_leases(3) == ((), ())
    time.sleep(0.3)
    assert store.runs.expire_leases(3) == ((held.run_id,), ())


def test_a_lost_run_is_queued_again_and_needs_a_new_message(store: Store) -> None:
    run = submit(store)
    store.runs.mark_sent(run.run_id)
    held = claim(store, run.run_id, lease_seconds=-1)
    assert store.runs.heartbeat(run.run_id, held.attempt, -1, "engine", 0.5) == "ok"
    assert store.runs.expire_leases(3) == ((run.run_id,), ())
    assert store.runs.expire_leases(3) == ((), ())
    record = store.runs.get(run.run_id)
    assert record is not None
    assert (record.state, record.stage, record.progress) == ("queued", "", 0.0)
    assert store.runs.list_unsent(0, 10) == (run.run_id,)
    assert claim(store, run.run_id).attempt == 2


def test_a_run_that_ends_its_worker_every_time_fails_at_the_cap(store: Store) -> None:
    run = submit(store)
    for attempt in (1, 2):
        assert claim(store, run.run_id, lease_seconds=-1, max_attempts=2).attempt == attempt
    assert store.runs.expire_leases(2) == ((), (run.run_id,))
    record = store.runs.get(run.run_id)
    assert record is not None
    assert record.state == "failed"
    assert record.finished_at is not None
    assert record.error is not None
    assert record.error["code"] == "attempts_exhausted"
    assert "2 attempts" in record.error["message"]
    assert store.runs.claim(run.run_id, "late", 60.0, 2) is None


def test_a_claim_beyond_the_cap_fails_the_run_instead_of_leaving_it(store: Store) -> None:
    run = submit(store)
    claim(store, run.run_id, lease_seconds=-1)
    assert store.runs.claim(run.run_id, "again", 60.0, 1) is None
    assert _state(store, run.run_id) == "failed"


def test_maintenance_in_two_processes_expires_a_lease_once(store: Store) -> None:
    ids = [claim(store, submit(store).run_id, lease_seconds=-1).run_id for _ in range(5)]
    expired = run_at_once(lambda _: store.runs.expire_leases(3), range(2))
    assert sorted(expired[0].requeued + expired[1].requeued) == sorted(ids)


def test_a_cancelled_queued_run_is_never_started(store: Store) -> None:
    run = submit(store)
    assert store.runs.cancel(run.run_id) is True
    assert store.runs.cancel(run.run_id) is False
    assert store.runs.claim(run.run_id, "late", 60.0, 3) is None
    assert store.runs.list_unsent(0, 10) == ()
    record = store.runs.get(run.run_id)
    assert record is not None
    assert record.state == "cancelled"
    assert record.finished_at is not None


def test_a_worker_whose_run_is_cancelled_is_told_and_cannot_finish(store: Store) -> None:
    held = claim(store, submit(store).run_id)
    assert store.runs.cancel(held.run_id) is True
    assert store.runs.heartbeat(held.run_id, held.attempt, 60, "engine", 0.5) == "cancelled"
    assert finish(store, held) is False
    assert store.runs.fail(held.run_id, held.attempt, {"code": "x"}) is False
    assert _state(store, held.run_id) == "cancelled"
    assert store.runs.load_summary(held.run_id) is None


@pytest.mark.parametrize("final", ["succeeded", "failed", "cancelled"])
def test_a_final_state_never_changes(store: Store, final: str) -> None:
    held = claim(store, submit(store).run_id, lease_seconds=-1)
    if final == "succeeded":
        assert finish(store, held)
    elif final == "failed":
        assert store.runs.fail(held.run_id, held.attempt, {"code": "x", "message": "broken"})
    else:
        assert store.runs.cancel(held.run_id)
    before = store.runs.get(held.run_id)
    assert store.runs.cancel(held.run_id) is False
    assert store.runs.fail(held.run_id, held.attempt, {"code": "y"}) is False
    assert finish(store, held, total_return=9.0) is (final == "succeeded")
    assert store.runs.claim(held.run_id, "late", 60.0, 9) is None
    assert store.runs.expire_leases(1) == ((), ())
    assert store.runs.heartbeat(held.run_id, held.attempt, 60, "x", 0.1) != "ok"
    assert store.runs.get(held.run_id) == before


def test_a_failed_run_keeps_the_error_it_was_given(store: Store) -> None:
    held = claim(store, submit(store).run_id)
    error = {"code": "rule_error", "message": "müde", "remedy": "choose another window"}
    assert store.runs.fail(held.run_id, held.attempt, error) is True
    record = store.runs.get(held.run_id)
    assert record is not None
    assert (record.state, record.error, record.metrics) == ("failed", error, None)


def test_runs_without_a_message_are_listed_until_they_are_sent(store: Store) -> None:
    first, second = submit(store), submit(store)
    assert store.runs.list_unsent(60, 10) == ()
    assert store.runs.list_unsent(0, 10) == (first.run_id, second.run_id)
    assert store.runs.list_unsent(0, 1) == (first.run_id,)
    store.runs.mark_sent(first.run_id)
    assert store.runs.list_unsent(0, 10) == (second.run_id,)
    assert store.runs.list_undelivered(60, 10) == ()
    assert store.runs.list_undelivered(0, 10) == (first.run_id,)
    claim(store, first.run_id)
    assert store.runs.list_undelivered(0, 10) == ()


def test_a_result_comes_back_bit_by_bit(store: Store) -> None:
    held = claim(store, submit(store).run_id)
    columns = {
        "time": np.array([0, 2**62], dtype=np.int64),
        "equity": np.array([0.1, np.nan]),
        "indicator:" + "long name " * 20: np.array([-0.0, np.inf]),
        "exposed": np.array([True, False]),
        "none": np.array([], dtype=np.float64),
    }
    summary = {**SUMMARY, "returns": {"monthly": [{"year": 2000, "run": 0.1 + 0.2}]}}
    trades = [{"pnl": 1 / 3, "exit_reason": "signal", "mae": None}]
    assert store.runs.finish(held.run_id, held.attempt, summary, trades, columns)
    assert store.runs.load_summary(held.run_id) == summary
    assert store.runs.load_trades(held.run_id) == trades
    loaded = store.runs.load_columns(held.run_id)
    assert loaded is not None
    assert list(loaded) == list(columns)
    for name, values in columns.items():
        assert loaded[name].dtype == values.dtype
        assert loaded[name].tobytes() == values.tobytes()
    some = store.runs.load_columns(held.run_id, ["exposed", "equity", "unknown"])
    assert some is not None
    assert list(some) == ["equity", "exposed"]
    record = store.runs.get(held.run_id)
    assert record is not None
    assert record.metrics == SUMMARY["metrics"]
    assert (record.state, record.progress) == ("succeeded", 1.0)


def test_a_run_without_result_has_none_of_its_parts(store: Store) -> None:
    run = submit(store)
    assert store.runs.load_summary(run.run_id) is None
    assert store.runs.load_trades(run.run_id) is None
    assert store.runs.load_columns(run.run_id) is None
    assert store.runs.load_charts(run.run_id) is None


def test_charts_follow_the_result_and_change_the_version(store: Store) -> None:
    held = claim(store, submit(store).run_id)
    charts = {"orders": "data:image/png;base64,AAAA"}
    assert store.runs.save_charts(held.run_id, held.attempt, charts) is False  # not done yet
    assert finish(store, held)
    before = store.runs.get(held.run_id)
    assert before is not None
    assert before.has_charts is False
    assert store.runs.save_charts(held.run_id, held.attempt, charts) is True
    assert store.runs.save_charts(held.run_id, held.attempt, charts) is True  # repeated
    assert store.runs.load_charts(held.run_id) == charts
    after = store.runs.get(held.run_id)
    assert after is not None
    assert after.has_charts is True
    assert after == replace(before, has_charts=True, version=after.version)
    assert after.version > before.version


def test_a_result_of_a_million_bars_fits_through_a_packet_of_one_mebibyte(
    store: Store, database: Engine
) -> None:
    held = claim(store, submit(store).run_id)
    random = np.random.default_rng(7)
    columns = {name: random.normal(size=1_000_000) for name in ("equity", "cash")}
    trades = [{"pnl": float(value), "exit_reason": "signal"} for value in columns["cash"][:50_000]]
    assert store.runs.finish(held.run_id, held.attempt, SUMMARY, trades, columns)
    loaded = store.runs.load_columns(held.run_id, ["cash"])
    assert loaded is not None
    assert loaded["cash"].tobytes() == columns["cash"].tobytes()
    assert store.runs.load_trades(held.run_id) == trades
    with database.connect() as connection:
        count = connection.scalar(select(func.count()).select_from(run_artifacts))
    assert count is not None
    assert count > 30
