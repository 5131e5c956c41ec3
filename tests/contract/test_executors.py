"""What everything above an executor may rely on, whichever is in use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from storage.records import TERMINAL_STATES
from storage.sweep_records import ENDED_SWEEP_STATES
from tasks.executors import Executor, check_executor, get_executor
from tasks.submit import dispatch_run
from tasks.sweep_queue import dispatch_sweep
from tests.support import kube_platform
from tests.support.kube_platform import run_kube_platform
from tests.support.mariadb import MariaDbServer
from tests.support.processes import wait_until
from tests.support.valkey import run_valkey
from tests.support.web import Web, build_web, submit
from tests.support.worker import run_worker

pytestmark = pytest.mark.timeout(300)
SWEEP = {"dataset": "WALK", "rule": "rsi", "space": {"window": "2:40"}}
NOBODY = "123e4567-e89b-42d3-a456-426614174000"


class Bench:
    """An application over one executor, and what has to turn for its work to be done."""

    def __init__(self, web: Web, turn: Callable[[], object] = lambda: None) -> None:
        self.web, self._turn = web, turn
        self.executor: Executor = get_executor(web.settings)

    def wait(self, is_done: Callable[[], bool]) -> None:
        def look() -> bool:
            self._turn()
            return is_done()

        wait_until(look, 150, "the work is done")


@pytest.fixture(scope="module", params=["inline", "celery", "kubernetes"])
def bench(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    mariadb_server: MariaDbServer,
) -> Iterator[Bench]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    url = mariadb_server.create_database()
    with ExitStack() as stack:
        if request.param == "inline":
            yield Bench(build_web(folder, url=url, executor="inline"))
        elif request.param == "celery":
            broker = stack.enter_context(run_valkey())
            web = build_web(folder, url=url, broker_url=broker.url)
            stack.enter_context(run_worker(web.settings, folder))
            yield Bench(web)
        else:
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            patch.setattr(kube_platform, "REAL_CLUSTER", None)
            platform = stack.enter_context(run_kube_platform(folder, patch, url=url))
            bench = Bench(platform.web, lambda: platform.executor.reconcile(platform.store))
            yield bench
            bench.executor.cluster.close()  # type: ignore[attr-defined]


def test_it_takes_new_work_and_is_well(bench: Bench) -> None:
    check_executor(bench.web.settings)
    bench.executor.check_ready()
    health = bench.executor.check_health(count_workers=True)
    assert health.broker in ("ok", "unused")
    assert health.workers in (None, 1)
    assert not health.reasons


def test_a_run_that_is_handed_over_again_and_again_is_computed_once(bench: Bench) -> None:
    store, settings = bench.web.store, bench.web.settings
    run_id = submit(bench.web)
    for _ in range(3):
        assert dispatch_run(store, settings, run_id)
    bench.wait(lambda: store.runs.get(run_id).state in TERMINAL_STATES)  # type: ignore[union-attr]
    record = store.runs.get(run_id)
    assert record is not None
    assert (record.state, record.attempt) == ("succeeded", 1)
    assert bench.executor.find_lost_runs(store) == ()


def test_a_sweep_is_computed_whole_and_its_numbers_can_be_asked_for(bench: Bench) -> None:
    store, settings, client = bench.web.store, bench.web.settings, bench.web.client
    sweep_id = client.post("/api/v1/sweeps", json=SWEEP).json["sweep_id"]
    dispatch_sweep(store, settings, sweep_id)
    bench.wait(lambda: store.sweeps.get(sweep_id).state in ENDED_SWEEP_STATES)  # type: ignore[union-attr]
    record = store.sweeps.get(sweep_id)
    assert record is not None
    assert record.state == "succeeded", record.error
    assert record.result_sha256 == _digest_of(bench)
    path = f"/api/v1/sweeps/{sweep_id}/marginals?metric=calmar"
    bench.wait(lambda: client.get(path).status_code == 200)


_DIGESTS: dict[str, str] = {}


def _digest_of(bench: Bench) -> str:
    """The digest of `SWEEP` as the executor that came first gave it."""
    [item, *_] = bench.web.client.get("/api/v1/sweeps").json["sweeps"]
    return _DIGESTS.setdefault("sweep", item["result_sha256"])


def test_unknown_work_is_forgotten_and_cleared_without_a_word(bench: Bench) -> None:
    for kind in ("run", "sweep", "query"):
        bench.executor.forget(kind, NOBODY)
        bench.executor.clear(kind, NOBODY)
        assert bench.executor.describe_log(kind, NOBODY)


def test_repairing_with_nothing_to_repair_changes_nothing(bench: Bench) -> None:
    before: dict[str, Any] = bench.web.store.runs.counts()
    bench.executor.repair_sweeps(bench.web.store)
    assert bench.web.store.runs.counts() == before
