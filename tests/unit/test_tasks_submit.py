"""Accepting and executing runs in one process, without a broker (``executor=inline``)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backtest.errors import InputError
from rules.spec import RunRequest, parse_run_request
from storage.database import create_database
from storage.errors import IdempotencyConflict
from storage.schema import upgrade_schema
from storage.store import Store
from tasks.execute import BarsCache, execute_run
from tasks.settings import Settings
from tasks.submit import submit_run
from tests.support.datasets import add_aapl, add_bars, build_walk

# Nobody listens there.
DEAD_BROKER = "redis://127.0.0.1:1/0"


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Store]:
    engine = create_database(f"sqlite:///{tmp_path}/test.db")
    upgrade_schema(engine)
    yield Store(engine)
    engine.dispose()


@pytest.fixture
def filled(empty: Store) -> Store:
    add_aapl(empty)
    return empty


@pytest.fixture
def inline() -> Settings:
    return Settings(executor="inline")


def request_of(**changes: Any) -> RunRequest:
    return parse_run_request({"dataset": "AAPL", "rule": "rsi"} | changes)


def test_a_request_is_pinned_to_the_content_of_its_dataset(filled: Store, inline: Settings) -> None:
    dataset = filled.datasets.get("AAPL")
    assert dataset is not None
    record = submit_run(filled, inline, request_of()).record
    assert record.spec["dataset"] == {
        "symbol": "AAPL",
        "sha256": dataset.sha256,
        "n_bars": 3270,
        "start": "2000-03-01",
        "end": "2013-03-01",
        "adjusted": True,
    }
    by_hash = submit_run(filled, inline, request_of(dataset=dataset.sha256))
    assert by_hash.cached
    assert by_hash.record.run_id == record.run_id


def test_a_finished_run_is_found_again_unless_forced_or_different(
    filled: Store, inline: Settings
) -> None:
    first = submit_run(filled, inline, request_of())
    assert (first.created, first.cached) == (True, False)
    same = submit_run(filled, inline, request_of(params={"window": 14}, tags=["again"]))
    assert (same.created, same.cached) == (False, True)
    for change in (
        {"force": True},
        {"params": {"window": 15}},
        {"start": "2005-01-01"},
        {"adjust": False},
        {"trading": {"fee_rate": 0.002}},
    ):
        assert submit_run(filled, inline, request_of(**change)).created, change


def test_without_adjusted_closes_asking_for_them_is_the_same_run(
    empty: Store, inline: Settings
) -> None:
    add_bars(empty, "WALK", build_walk(500))
    first = submit_run(empty, inline, request_of(dataset="WALK"))
    assert submit_run(empty, inline, request_of(dataset="WALK", adjust=False)).cached
    assert first.record.spec["dataset"]["adjusted"] is False


def test_an_unknown_dataset_is_refused_with_the_known_ones(
    filled: Store, empty: Store, inline: Settings
) -> None:
    with pytest.raises(InputError) as caught:
        submit_run(filled, inline, request_of(dataset="APPL"))
    [error] = caught.value.errors
    assert error.field == "dataset"
    assert "AAPL" in error.message
    assert filled.runs.counts()["queued"] == 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"start": "2014-01-01"}, "start"),
        ({"end": "1999-01-01"}, "end"),
        ({"start": "2005-02-01", "end": "2005-01-01"}, "start"),
    ],
)
def test_a_range_without_bars_is_refused_before_anything_is_stored(
    filled: Store, inline: Settings, changes: dict[str, str], field: str
) -> None:
    with pytest.raises(InputError) as caught:
        submit_run(filled, inline, request_of(**changes))
    assert caught.value.errors[0].field == field
    assert sum(filled.runs.counts().values()) == 0


def test_an_idempotency_key_answers_with_the_same_run_and_refuses_another_request(
    filled: Store,
) -> None:
    settings = Settings(broker_url=DEAD_BROKER)
    first = submit_run(filled, settings, request_of(), idempotency_key="k")
    again = submit_run(filled, settings, request_of(), idempotency_key="k")
    assert (again.created, again.record.run_id) == (False, first.record.run_id)
    with pytest.raises(IdempotencyConflict):
        submit_run(filled, settings, request_of(note="another"), idempotency_key="k")


def test_a_key_given_to_a_cached_answer_keeps_standing_for_it(
    filled: Store, inline: Settings
) -> None:
    done = submit_run(filled, inline, request_of())
    keyed = submit_run(filled, inline, request_of(), idempotency_key="k")
    assert keyed.cached
    assert keyed.record.run_id == done.record.run_id
    with pytest.raises(IdempotencyConflict):
        submit_run(filled, inline, request_of(force=True), idempotency_key="k")


def test_a_broker_that_is_down_leaves_the_run_queued_and_unsent(filled: Store) -> None:
    record = submit_run(filled, Settings(broker_url=DEAD_BROKER), request_of()).record
    found = filled.runs.get(record.run_id)
    assert found is not None
    assert found.state == "queued"
    assert filled.runs.list_unsent(0.0, 10) == (record.run_id,)


def test_a_run_out_of_time_fails_and_says_which_setting_helps(filled: Store) -> None:
    settings = Settings(executor="inline", max_run_seconds=0)
    record = submit_run(filled, settings, request_of()).record
    found = filled.runs.get(record.run_id)
    assert found is not None
    assert found.state == "failed"
    assert found.error is not None
    assert found.error["code"] == "timeout"
    assert "STOCK_BACKTEST_MAX_RUN_SECONDS" in found.error["message"]


def test_charts_that_a_dead_worker_owed_are_drawn_when_the_message_comes_again(
    filled: Store, inline: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("tasks.execute._draw_charts", lambda *arguments: None)
        run_id = submit_run(filled, inline, request_of()).record.run_id
    before = filled.runs.get(run_id)
    assert before is not None
    assert (before.state, before.has_charts) == ("succeeded", False)
    assert execute_run(filled, inline, run_id, "other", BarsCache()) == "duplicate"
    charts = filled.runs.load_charts(run_id)
    assert charts is not None
    assert len(charts) == 4


def test_an_error_inside_the_rule_ends_the_run_and_goes_on_to_the_log(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*arguments: Any) -> None:
        raise ZeroDivisionError("the rule divides by zero")

    monkeypatch.setattr("tasks.execute.compute_run", explode)
    queued = submit_run(filled, Settings(broker_url=DEAD_BROKER), request_of()).record
    with pytest.raises(ZeroDivisionError):
        execute_run(filled, Settings(), queued.run_id, "worker", BarsCache())
    found = filled.runs.get(queued.run_id)
    assert found is not None
    assert (found.state, found.attempt) == ("failed", 1)
    assert found.error is not None
    assert "divides by zero" in found.error["message"]


def test_the_bars_of_recent_datasets_stay_in_memory_up_to_a_limit(empty: Store) -> None:
    one = add_bars(empty, "ONE", build_walk(1000, seed=1)).sha256
    two = add_bars(empty, "TWO", build_walk(1000, seed=2)).sha256
    cache = BarsCache(max_bytes=1500 * 56)
    bars, _ = cache.load(empty, one)
    assert cache.load(empty, one)[0] is bars
    cache.load(empty, two)
    assert cache.n_bytes == 1000 * 56
    assert cache.load(empty, one)[0] is not bars
    tiny = BarsCache(max_bytes=10)
    assert tiny.load(empty, one)[0].n_bars == 1000
    assert tiny.n_bytes == 0


def test_submitting_needs_no_engine() -> None:
    code = (
        "import sys, tasks.submit\n"
        "heavy = {'numba', 'pandas', 'matplotlib', 'pyarrow', 'backtest.engine'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
