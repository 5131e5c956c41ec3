"""What becomes of a chunk, the end of a sweep or a question whose process is told to stop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from storage.database import create_database
from storage.schema import upgrade_schema
from storage.store import Store
from tasks import sweep_execute, sweep_finish
from tasks.execute import BarsCache
from tasks.settings import Settings
from tasks.sweep_execute import EvaluatorCache, execute_chunk
from tasks.sweep_finish import execute_finish, execute_query
from tests.support.sweep_samples import finish_all, get_sweep, start_sweep, submit_sweep

# So long a lease that nothing could be explained by its end.
SETTINGS = Settings(executor="inline", lease_seconds=3600.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    engine = create_database(f"sqlite:///{tmp_path}/test.db")
    upgrade_schema(engine)
    yield Store(engine)
    engine.dispose()


def _stop(*args: Any, **kwargs: Any) -> NoReturn:
    raise SystemExit(0)


@pytest.mark.parametrize("is_told", [True, False])
def test_only_a_process_that_is_told_to_stop_hands_the_end_of_a_sweep_back(
    store: Store, monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    sweep_id = start_sweep(store)
    finish_all(store, sweep_id)
    monkeypatch.setattr(sweep_finish, "_summarise", _stop)
    monkeypatch.setattr(sweep_finish, "is_stopping", lambda: is_told)
    with pytest.raises(SystemExit):
        execute_finish(store, SETTINGS, sweep_id, EvaluatorCache(BarsCache()), "worker-1")
    assert get_sweep(store, sweep_id).state == "running"
    assert (store.sweeps.claim_finish(sweep_id, 60.0, 3) is not None) == is_told


def test_a_stop_right_after_a_claim_hands_back_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep_id = submit_sweep(store).sweep_id
    cache = EvaluatorCache(BarsCache())
    for module in (sweep_execute, sweep_finish):
        monkeypatch.setattr(module, "count", _stop)
        monkeypatch.setattr(module, "is_stopping", lambda: True)
    with pytest.raises(SystemExit):
        execute_chunk(store, SETTINGS, sweep_id, 0, "worker-1", cache, 1)
    assert store.sweeps.claim_chunk(sweep_id, 0, "worker-2", 60.0) is not None
    finished = start_sweep(store)
    finish_all(store, finished)
    with pytest.raises(SystemExit):
        execute_finish(store, SETTINGS, finished, cache, "worker-1")
    assert store.sweeps.claim_finish(finished, 60.0, 3) is not None


@pytest.mark.parametrize("is_told", [True, False])
def test_only_a_process_that_is_told_to_stop_hands_a_question_back(
    store: Store, monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    asked = store.sweeps.ask(start_sweep(store), "ranking", {"metric": "sharpe"})
    assert asked is not None
    monkeypatch.setattr(sweep_finish.SweepSpec, "from_json", _stop)
    monkeypatch.setattr(sweep_finish, "is_stopping", lambda: is_told)
    with pytest.raises(SystemExit):
        execute_query(store, SETTINGS, asked.query_id, BarsCache(), "worker-1")
    assert (store.sweeps.claim_query(asked.query_id, 60.0, 3) is not None) == is_told
