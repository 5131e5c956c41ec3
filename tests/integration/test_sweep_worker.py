"""Sweeps through a real broker and a real worker: the same numbers as in one process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backtest.errors import InputError
from rules.spec import parse_run_request
from rules.sweep_spec import parse_sweep_request
from storage.database import create_database
from storage.schema import upgrade_schema
from storage.store import Store
from tasks.maintenance import run_maintenance_pass
from tasks.messages import SWEEP_QUEUE
from tasks.queue_depth import count_messages
from tasks.settings import Settings
from tasks.submit import submit_run
from tasks.sweep_reader import open_columns
from tasks.sweeps import (
    cancel_sweep,
    estimate_sweep,
    pause_sweep,
    request_query,
    resume_sweep,
    retry_sweep,
    submit_sweep,
)
from tests.support.datasets import add_aapl
from tests.support.processes import wait_until
from tests.support.sweeps import (
    build_request,
    compute_undisturbed,
    count_done,
    submit,
    wait_for_chunks,
    wait_for_sweep,
)
from tests.support.valkey import Valkey, run_valkey
from tests.support.worker import ServiceProcess, run_worker, wait_for_run

SMALL = {
    "dataset": "AAPL",
    "rule": "sma_cross",
    "space": {"fast": "2:40:2", "slow": "10:60:10"},
    "where": "fast < slow",
}


@pytest.fixture(scope="module")
def broker() -> Iterator[Valkey]:
    with run_valkey() as server:
        yield server


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    engine = create_database(f"sqlite:///{tmp_path_factory.mktemp('sweeps')}/test.db")
    upgrade_schema(engine)
    store = Store(engine)
    add_aapl(store)
    yield store
    engine.dispose()


@pytest.fixture(scope="module")
def settings(filled: Store, broker: Valkey) -> Settings:
    return Settings(database_url=str(filled.engine.url), broker_url=broker.url)


@pytest.fixture(scope="module")
def worker(
    settings: Settings, filled: Store, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    with run_worker(settings, tmp_path_factory.mktemp("worker"), 2) as process:
        yield process


def test_a_sweep_goes_through_the_queue_with_the_numbers_of_one_process(
    filled: Store, settings: Settings, worker: ServiceProcess
) -> None:
    sweep_id = submit(filled, settings, build_request(10))
    record = wait_for_sweep(filled, sweep_id)
    assert record.state == "succeeded", record.error
    assert record.result_sha256 == compute_undisturbed(10)
    assert (record.n_combinations, record.n_excluded, record.n_failed) == (100_000, 0, 0)
    assert record.rate is not None
    best = filled.sweeps.load_artifact(sweep_id, "best")
    assert best["index"] == filled.sweeps.best_so_far(sweep_id, 1)[0].point
    assert 50_000 < filled.sweeps.load_artifact(sweep_id, "ranking.sharpe")["total"] <= 100_000
    assert sum(len(chunk) for chunk in open_columns(filled, sweep_id).read([])) == 100_000
    # Any other question is a worker's.
    asked = request_query(filled, settings, sweep_id, "ranking", {"metric": "cagr", "limit": 3})
    wait_until(lambda: filled.sweeps.get_query(asked.query_id).state == "done", 20, "the answer")  # type: ignore[union-attr]
    answered = filled.sweeps.get_query(asked.query_id)
    assert answered is not None
    assert len(answered.result["rows"]) == 3
    assert (
        request_query(filled, settings, sweep_id, "ranking", {"limit": 3, "metric": "cagr"})
        == answered
    )
    wrong = request_query(
        filled, settings, sweep_id, "heatmap", {"x": "a", "y": "b", "metric": "cagr"}
    )
    wait_until(lambda: filled.sweeps.get_query(wrong.query_id).state == "failed", 20, "the error")  # type: ignore[union-attr]


def test_a_single_run_does_not_wait_behind_a_sweep(
    filled: Store, settings: Settings, worker: ServiceProcess
) -> None:
    sweep_id = submit(filled, settings, build_request(1000))
    wait_for_chunks(filled, sweep_id, 3)
    for window in (11, 12, 13):
        body = {"dataset": "AAPL", "rule": "rsi", "params": {"window": window}, "force": True}
        before = count_done(filled, sweep_id)
        run_id = submit_run(filled, settings, parse_run_request(body)).record.run_id
        assert wait_for_run(filled, run_id).state == "succeeded"
        # In chunks and not in seconds, which a busy machine stretches: one of them takes 0.1 to
        # 0.5 s of a process, and hundreds are still to come.
        assert count_done(filled, sweep_id) - before <= 12
        n_messages = count_messages(settings, SWEEP_QUEUE)
        assert n_messages is not None
        assert 0 < n_messages <= 16  # whatever the size of the sweep
    assert filled.sweeps.get(sweep_id).state == "running"  # type: ignore[union-attr]
    assert pause_sweep(filled, settings, sweep_id)
    before = filled.sweeps.chunks(sweep_id)
    assert "r" not in before
    time.sleep(1.5)
    assert filled.sweeps.chunks(sweep_id) == before
    assert not pause_sweep(filled, settings, sweep_id)
    assert resume_sweep(filled, settings, sweep_id)
    wait_for_chunks(filled, sweep_id, before.count("d") + 2, 10)
    assert cancel_sweep(filled, settings, sweep_id)
    n_done = count_done(filled, sweep_id)
    time.sleep(0.7)
    assert count_done(filled, sweep_id) == n_done
    assert not retry_sweep(filled, settings, sweep_id)


def test_sweeps_share_the_workers(
    filled: Store, settings: Settings, worker: ServiceProcess
) -> None:
    large = submit(filled, settings, build_request(1000))
    wait_for_chunks(filled, large, 3)
    small = submit(filled, settings, SMALL | {"force": True})
    assert wait_for_sweep(filled, small, 15).state == "succeeded"
    assert filled.sweeps.get(large).state == "running"  # type: ignore[union-attr]
    assert filled.sweeps.delete(large)


def test_an_adaptive_search_tries_batch_after_batch(
    filled: Store, settings: Settings, worker: ServiceProcess
) -> None:
    search = {"method": "adaptive", "n": 150, "seed": 3}
    body = build_request(3, search=search)
    ids = [submit(filled, settings, body) for _ in range(2)]
    first, second = (wait_for_sweep(filled, sweep_id) for sweep_id in ids)
    assert (first.state, first.n_combinations) == ("succeeded", 150), first.error
    assert first.result_sha256 == second.result_sha256
    points = [point for chunk in open_columns(filled, ids[0]).read([]) for point in chunk.points]
    assert len(set(points)) == 150


def test_a_finished_sweep_is_found_again_and_an_estimate_stores_nothing(
    filled: Store, settings: Settings, worker: ServiceProcess
) -> None:
    request = parse_sweep_request(SMALL)
    n_before = len(filled.sweeps.list().items)
    estimate = estimate_sweep(filled, settings, request)
    assert (estimate["n_points"], estimate["n_bars"]) == (120, 3270)
    assert estimate["n_combinations"] + estimate["n_excluded"] == 120
    assert estimate["seconds"] > 0
    assert len(filled.sweeps.list().items) == n_before
    first = submit_sweep(filled, settings, request, idempotency_key="once")
    again = submit_sweep(filled, settings, request, idempotency_key="once")
    assert again.record.sweep_id == first.record.sweep_id
    record = wait_for_sweep(filled, first.record.sweep_id)
    assert record.state == "succeeded", record.error
    assert record.n_excluded == estimate["n_excluded"]
    found = submit_sweep(filled, settings, request)
    assert found.cached
    assert found.record.result_sha256 == record.result_sha256
    with pytest.raises(InputError) as refused:
        submit_sweep(filled, settings, parse_sweep_request(SMALL | {"dataset": "NONE"}))
    assert refused.value.errors[0].field == "dataset"
    with pytest.raises(InputError) as refused:
        submit_sweep(filled, settings, parse_sweep_request(SMALL | {"start": "2050-01-01"}))
    assert refused.value.errors[0].field == "start"


def test_every_line_of_a_sweep_carries_its_id(
    filled: Store, settings: Settings, worker: ServiceProcess
) -> None:
    sweep_id = submit(filled, settings, SMALL | {"force": True})
    wait_for_sweep(filled, sweep_id)
    wait_until(
        lambda: any(
            line["message"] == "sweep_ended" and line["run_id"] == sweep_id for line in worker.lines
        ),
        10,
        "the end",
    )
    said = {line["message"] for line in worker.lines if line.get("run_id") == sweep_id}
    assert {"chunk_ended", "sweep_ended"} <= said


def test_the_same_sweep_in_this_process_without_a_broker_has_the_same_hash(
    filled: Store, settings: Settings, worker: ServiceProcess
) -> None:
    inline = Settings(database_url=settings.database_url, executor="inline")
    record = filled.sweeps.get(submit(filled, inline, SMALL | {"force": True}))
    assert record is not None
    assert record.state == "succeeded", record.error
    queued = wait_for_sweep(filled, submit(filled, settings, SMALL | {"force": True}))
    assert queued.result_sha256 == record.result_sha256


def test_a_pass_of_maintenance_sends_what_a_broker_lost(
    filled: Store, settings: Settings, broker: Valkey, tmp_path: Path
) -> None:
    # A broker of its own: the worker of the other tests must not answer.
    with run_valkey() as other:
        alone = Settings(database_url=settings.database_url, broker_url=other.url)
        sweep_id = submit(filled, alone, SMALL | {"force": True})
        assert count_messages(alone, SWEEP_QUEUE) == 1
        other.client.flushall()
        wait_until(
            lambda: run_maintenance_pass(filled, alone) and count_messages(alone, SWEEP_QUEUE),
            10,
            "it is sent again",
        )
        assert filled.sweeps.delete(sweep_id)
