"""Runs and sweeps as Jobs, with pods that really compute; `make test-k8s` asks a real cluster.

On a machine of its own a pod takes two seconds: the figures below are kept small here, and are what
the product is held to where KUBECONFIG names a cluster.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from storage.models import runs
from storage.store import Store
from tasks.executors.kubernetes.jobs import build_job_name
from tasks.settings import Settings
from tests.support.kube_api import WEB_USER
from tests.support.kube_platform import REAL_CLUSTER, KubePlatform, run_kube_platform
from tests.support.mariadb import MariaDbServer
from tests.support.model_base import write
from tests.support.processes import wait_until
from tests.support.web import RUN, submit
from tests.support.worker import ServiceProcess

pytestmark = pytest.mark.timeout(600)
N_RUNS = 50 if REAL_CLUSTER else 4  # their windows are 3 and more; those of other tests are above
SWEEP: dict[str, Any] = {
    "dataset": "WALK",
    "rule": "rsi",
    "space": {"window": "2:40", "oversold": "15:40:1"},
}


@pytest.fixture(scope="module")
def platform(
    tmp_path_factory: pytest.TempPathFactory, mariadb_server: MariaDbServer
) -> Iterator[KubePlatform]:
    with pytest.MonkeyPatch.context() as patch:
        url = mariadb_server.create_database()
        folder = tmp_path_factory.mktemp("kube")
        with run_kube_platform(folder, patch, url=url, kubernetes_parallelism=2) as found:
            yield found


def test_we_ask_as_somebody(platform: KubePlatform) -> None:
    user = platform.executor.cluster.ask_identity()
    assert user != "system:anonymous"
    assert REAL_CLUSTER or user == WEB_USER


def test_many_runs_and_a_sweep_give_what_one_process_gives_and_leave_no_job(
    platform: KubePlatform, tmp_path: Path
) -> None:
    store, client = platform.store, platform.web.client
    sweep_id = client.post("/api/v1/sweeps", json=SWEEP).json["sweep_id"]
    run_ids = [submit(platform.web, params={"window": 3 + n}) for n in range(N_RUNS)]
    platform.settle(run_ids, 20.0 * N_RUNS + 60)
    assert {store.runs.get(run_id).state for run_id in run_ids} == {"succeeded"}  # type: ignore[union-attr]
    assert all(store.runs.get(run_id).has_charts for run_id in run_ids)  # type: ignore[union-attr]
    record = store.sweeps.get(sweep_id)
    assert record is not None
    assert record.state == "succeeded", record.error
    assert platform.list_jobs() == {}
    assert record.result_sha256 == compute_alone(platform, SWEEP)


def compute_alone(platform: KubePlatform, request: dict[str, Any]) -> str:
    """The digest of the same sweep, computed in this process and stored beside it."""
    from rules.sweep_request import parse_sweep_request
    from tasks.sweeps import submit_sweep

    inline = replace(platform.web.settings, executor="inline")
    asked = parse_sweep_request({**request, "force": True})
    sweep_id = submit_sweep(platform.store, inline, asked).record.sweep_id
    record = platform.store.sweeps.get(sweep_id)
    assert record is not None
    assert record.result_sha256 is not None
    return record.result_sha256


def test_a_question_about_a_sweep_is_answered_by_a_job(platform: KubePlatform) -> None:
    inline = compute_alone(platform, {**SWEEP, "note": "asked about"})
    [item, *_] = platform.web.client.get("/api/v1/sweeps").json["sweeps"]
    assert inline
    path = f"/api/v1/sweeps/{item['sweep_id']}/heatmap?x=window&y=oversold&metric=calmar"

    def is_answered() -> bool:
        platform.executor.reconcile(platform.store)
        return bool(platform.web.client.get(path).status_code == 200)

    wait_until(is_answered, 60, "the question is answered")
    platform.settle([])


def test_a_run_that_fails_leaves_its_job_for_a_day(platform: KubePlatform) -> None:
    platform.player.concurrency, n_pods = 0, platform.player.concurrency
    run_id = submit(platform.web, params={"window": 77})
    # As of a release that could still read it: the pod finds what it cannot compute.
    record = platform.store.runs.get(run_id)
    assert record is not None
    spec = {**record.spec, "params": {"window": -1}}
    write(platform.store, update(runs).where(runs.c.run_id == run_id).values(spec=spec))
    platform.player.concurrency = n_pods
    platform.settle([run_id])
    failed = platform.store.runs.get(run_id)
    assert failed is not None
    assert failed.state == "failed"
    assert failed.error is not None
    job = platform.list_jobs()[build_job_name("run", run_id)]
    assert job["spec"]["ttlSecondsAfterFinished"] == 86_400
    [condition] = [c for c in job["status"]["conditions"] if c["type"] == "Failed"]
    assert condition["reason"] == "PodFailurePolicy"
    platform.executor.cluster.delete(job["metadata"]["name"])


def test_a_pod_that_is_killed_is_replaced_and_computes_the_run_once(
    platform: KubePlatform,
) -> None:
    run_id = submit(platform.web, params={"window": 88})
    wait_until(
        lambda: platform.store.runs.get(run_id).state == "running",  # type: ignore[union-attr]
        60,
        "the pod has it",
    )
    assert platform.player.kill_one()
    platform.settle([run_id], 120)
    record = platform.store.runs.get(run_id)
    assert record is not None
    assert record.state == "succeeded"


def test_a_web_process_that_is_killed_leaves_no_orphan_and_loses_no_run(
    platform: KubePlatform, tmp_path: Path
) -> None:
    settings = replace(platform.web.settings, bind=f"127.0.0.1:{find_port()}", log_format="json")
    with run_web(settings, tmp_path) as first:
        run_ids = [post_run(settings, 90 + number) for number in range(2)]
        first.process.send_signal(signal.SIGKILL)
    assert any(platform.store.runs.get(run_id) for run_id in run_ids)
    with run_web(settings, tmp_path) as second:
        run_ids.append(post_run(settings, 95))
        wait_until(
            lambda: platform.list_jobs() == {} and all_ended(platform.store, run_ids),
            180,
            "runs end and Jobs go by the loop alone",
        )
        lines = (tmp_path / "web.log").read_text()
        assert '"message":"kubernetes_identity"' in lines.replace(" ", "")
        assert REAL_CLUSTER or WEB_USER in lines
        assert read_rss_mib(second) <= 130
    states = {platform.store.runs.get(run_id).state for run_id in run_ids}  # type: ignore[union-attr]
    assert states == {"succeeded"}


def find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def all_ended(store: Store, run_ids: list[str]) -> bool:
    standings = store.runs.find_standings(run_ids)
    return all(item.state not in ("queued", "running") for item in standings.values())


def run_web(settings: Settings, folder: Path) -> Any:
    from contextlib import contextmanager

    @contextmanager
    def running() -> Iterator[ServiceProcess]:
        web = ServiceProcess(settings, folder / "web.log", "web")
        try:
            wait_until(lambda: is_up(settings), 60, "the page is served")
            yield web
        finally:
            web.kill()

    return running()


def is_up(settings: Settings) -> bool:
    try:
        return httpx.get(f"http://{settings.bind}/health/live").status_code == 200
    except httpx.TransportError:
        return False


def post_run(settings: Settings, window: int) -> str:
    body = {**RUN, "params": {"window": window}}
    answer = httpx.post(f"http://{settings.bind}/api/v1/runs", json=body, timeout=30)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["run_id"])


def read_rss_mib(web: ServiceProcess) -> float:
    pages = [int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in web.children]
    return max(pages) * 4096 / 2**20
