"""What an API server may answer, and what becomes of runs then; no pod starts here."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from storage.models import metadata, runs
from tasks.executors.kubernetes import KubernetesExecutor
from tasks.executors.kubernetes.cluster import (
    Cluster,
    ClusterDenied,
    ClusterRefused,
    ClusterUnavailable,
)
from tasks.executors.kubernetes.jobs import build_job_name, build_manifest, build_spec
from tasks.executors.kubernetes.verdicts import read_job
from tests.support import kube_platform
from tests.support.kube_api import ALL_VERBS, NAMESPACE, WEB_USER, KubeApi
from tests.support.kube_platform import KubePlatform, run_kube_platform
from tests.support.model_base import write
from tests.support.web import RUN, submit

SWEEP = {"dataset": "WALK", "rule": "rsi", "space": {"window": "2:60"}}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubePlatform]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kube_platform, "REAL_CLUSTER", None)
        with run_kube_platform(tmp_path_factory.mktemp("kube"), patch) as platform:
            platform.player.concurrency = 0
            yield platform


@pytest.fixture
def platform(shared: KubePlatform) -> Iterator[KubePlatform]:
    """No runs, no Jobs, every right, a fresh executor; the application uses the same one."""
    api = shared.api
    assert api is not None
    for table in ("runs", "sweeps"):
        write(shared.store, delete(metadata.tables[table]))
    api.store.jobs.clear()
    api.store.pods.clear()
    api.store.start_pods, api.store.linger_seconds = False, 0.0
    api.faults.clear()
    api.requests.clear()
    api.rights = {WEB_USER: set(ALL_VERBS)}
    api.page_limit, api.n_expired = 500, 0
    executor = KubernetesExecutor(shared.web.settings)
    fresh = replace(shared, executor=executor)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("tasks.submit", "tasks.sweeps", "tasks.sweep_queue", "webapp.api.runs"):
            patch.setattr(f"{module}.get_executor", lambda settings: executor)
        yield fresh
    executor.cluster.close()


def get_api(platform: KubePlatform) -> KubeApi:
    assert platform.api is not None
    return platform.api


def build_job(platform: KubePlatform, run_id: str) -> dict:  # type: ignore[type-arg]
    settings = platform.web.settings
    spec = build_spec(settings, NAMESPACE, "run", run_id, fingerprint="f" * 64, n_bars=300)
    return build_manifest(spec)


RUN_ID = "123e4567-e89b-42d3-a456-426614174000"


def test_we_are_who_the_token_says_and_may_do_four_things(platform: KubePlatform) -> None:
    cluster = platform.executor.cluster
    assert cluster.ask_identity() == WEB_USER
    job = build_job(platform, RUN_ID)
    name = job["metadata"]["name"]
    assert cluster.create(job).created
    assert not cluster.create(job).created  # 409: it is there
    assert [item["metadata"]["name"] for item in cluster.list_jobs("")] == [name]
    found = cluster.get(name)
    assert found is not None
    assert not cluster.delete(name, "another-uid")
    assert cluster.delete(name, found["metadata"]["uid"])
    assert not cluster.delete(name)
    assert cluster.get(name) is None


@pytest.mark.parametrize("verb", ["create", "get", "list", "delete"])
def test_a_missing_right_is_named_and_a_denial_that_passes_is_not(
    platform: KubePlatform, verb: str
) -> None:
    api, cluster = get_api(platform), platform.executor.cluster
    job = build_job(platform, RUN_ID)
    acts = {
        "create": lambda: cluster.create(job),
        "get": lambda: cluster.get("x"),
        "list": lambda: cluster.list_jobs(""),
        "delete": lambda: cluster.delete("x"),
    }
    assert cluster.ask_identity() == WEB_USER  # else it would be denied for another reason
    api.fail_next(verb, 403, "Forbidden")
    acts[verb]()
    api.rights[WEB_USER].discard(verb)
    with pytest.raises(ClusterDenied) as denied:
        acts[verb]()
    assert f"{WEB_USER} may not {verb} Jobs in namespace {NAMESPACE}" in str(denied.value)
    assert f"resources [jobs], verbs [{verb}]" in str(denied.value)


def test_who_shows_no_token_or_a_wrong_one_is_told_so(
    platform: KubePlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = get_api(platform)
    monkeypatch.setenv("KUBECONFIG", str(api.write_kubeconfig(tmp_path / "wrong", "nobody")))
    stranger = Cluster(platform.web.settings)
    with pytest.raises(ClusterDenied, match=r"does not know the token .*401"):
        stranger.list_jobs("")
    stranger.close()
    monkeypatch.setenv("KUBECONFIG", str(api.write_kubeconfig(tmp_path / "none", "")))
    with pytest.raises(ClusterDenied, match="no token"):
        Cluster(platform.web.settings).list_jobs("")


def test_a_namespace_that_is_not_there_is_named(platform: KubePlatform) -> None:
    api = get_api(platform)
    job = build_job(platform, RUN_ID)
    settings = replace(platform.web.settings, kubernetes_namespace="nowhere")
    api.users["web-token"] = "admin"
    astray = Cluster(settings)
    try:
        with pytest.raises(ClusterRefused, match="no namespace nowhere"):
            astray.create(job)
    finally:
        astray.close()
        api.users["web-token"] = WEB_USER


def test_an_unknown_field_and_an_endless_name_are_refused(platform: KubePlatform) -> None:
    cluster = platform.executor.cluster
    job = build_job(platform, RUN_ID)
    job["spec"]["activeDeadlineSecond"] = 5
    with pytest.raises(ClusterRefused, match="unknown field"):
        cluster.create(job)
    job = build_job(platform, RUN_ID)
    job["metadata"]["name"] += "x" * 20
    with pytest.raises(ClusterRefused, match=r"422.*63 characters"):
        cluster.create(job)


def test_what_is_overloaded_or_broken_is_asked_again(platform: KubePlatform) -> None:
    api, cluster = get_api(platform), platform.executor.cluster
    api.fail_next("list", 429, "TooManyRequests", times=2, Retry_After="0")
    api.fail_next("list", 500, "InternalError")
    assert cluster.list_jobs("") == []
    assert [verb for verb, _ in api.requests] == 4 * ["list"]
    api.fail_next("list", 503, "ServiceUnavailable", times=99)
    with pytest.raises(ClusterUnavailable, match="answers 503"):
        cluster.list_jobs("", patience=0.3)


def test_a_long_list_is_read_whole_even_if_a_page_comes_too_late(platform: KubePlatform) -> None:
    api, cluster = get_api(platform), platform.executor.cluster
    for number in range(7):
        cluster.create(build_job(platform, f"{number}23e4567-e89b-42d3-a456-426614174000"))
    api.page_limit, api.n_expired = 3, 1
    assert len({item["metadata"]["name"] for item in cluster.list_jobs("")}) == 7
    assert cluster.list_jobs("stock-backtest/instance=another") == []


def test_a_job_that_breaks_the_rules_for_pods_is_a_warning_on_its_run(
    platform: KubePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build_lax(spec: object) -> dict:  # type: ignore[type-arg]
        job = build_manifest(spec)  # type: ignore[arg-type]
        del job["spec"]["template"]["spec"]["containers"][0]["securityContext"]["capabilities"]
        return job

    monkeypatch.setattr("tasks.executors.kubernetes.executor.build_manifest", build_lax)
    run_id = submit(platform.web)
    record = platform.store.runs.get(run_id)
    assert record is not None
    assert record.stage.startswith("Kubernetes warns: would violate PodSecurity")


def test_deleting_takes_the_pods_along(platform: KubePlatform) -> None:
    api, cluster = get_api(platform), platform.executor.cluster
    job = build_job(platform, RUN_ID)
    cluster.create(job)
    api.store.start_pods = True
    api.store.control()
    assert len(api.store.pods) == 1
    cluster.delete(job["metadata"]["name"])
    assert api.store.pods == {}
    assert api.store.orphans == []


# -- what becomes of runs ------------------------------------------------------------------------


def test_without_an_api_server_only_new_work_is_refused(platform: KubePlatform) -> None:
    api, client = get_api(platform), platform.web.client
    run_id = submit(platform.web)
    sweep_id = client.post("/api/v1/sweeps", json=SWEEP).json["sweep_id"]
    write(platform.store, update(runs).values(state="succeeded"))
    platform.executor.cluster.last_answer = -9.0
    api.stop()
    try:
        refused = client.post("/api/v1/runs", json={**RUN, "params": {"window": 9}})
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
        assert refused.content_type == "application/problem+json"
        assert "nothing was stored" in refused.json["detail"]
        assert client.post("/api/v1/sweeps", json={**SWEEP, "note": "x"}).status_code == 503
        assert client.post("/api/v1/runs", json=RUN).json["run_id"] == run_id  # it is done
        for path in (f"/api/v1/runs/{run_id}", "/api/v1/runs", "/health/ready", "/"):
            assert client.get(path).status_code == 200, path
        assert client.post(f"/api/v1/sweeps/{sweep_id}/cancel").status_code == 200
        health = client.get("/health").json
        assert health["status"] == "degraded"
        assert "Kubernetes takes no Jobs" in " ".join(health["reasons"])
    finally:
        api.start()
    assert sum(platform.store.runs.counts().values()) == 1
    platform.executor._refuse_until = 0.0
    assert client.post("/api/v1/runs", json={**RUN, "params": {"window": 9}}).status_code == 202


def test_a_run_whose_job_could_not_be_created_waits_and_says_why(platform: KubePlatform) -> None:
    api, client = get_api(platform), platform.web.client
    api.rights[WEB_USER].discard("create")
    run_id = submit(platform.web)
    record = platform.store.runs.get(run_id)
    assert record is not None
    assert record.state == "queued"
    assert record.stage == "waits: Kubernetes lets us create no Jobs; see the web log"
    refused = client.post("/api/v1/runs", json={**RUN, "params": {"window": 9}})
    assert refused.status_code == 503
    assert "verbs [create]" in refused.json["detail"]
    api.rights[WEB_USER].add("create")
    assert platform.executor.reconcile(platform.store).created == [run_id]
    assert list(api.store.jobs) == [build_job_name("run", run_id)]


def test_a_run_that_is_stored_twice_as_fast_as_its_old_job_goes_is_not_lost(
    platform: KubePlatform,
) -> None:
    api = get_api(platform)
    api.store.linger_seconds = 3600.0
    run_id = submit(platform.web)
    name = build_job_name("run", run_id)
    first = api.store.jobs[name]["metadata"]["uid"]
    platform.executor.cluster.delete(name)  # 409 from here on, until it is gone
    assert platform.executor.send_run(platform.store, run_id)
    platform.executor.reconcile(platform.store)
    api.store.advance(4000)
    api.store.control()
    assert platform.executor.reconcile(platform.store).created == [run_id]
    assert api.store.jobs[name]["metadata"]["uid"] != first


def test_a_job_that_failed_fails_its_run_and_stays_for_a_day(platform: KubePlatform) -> None:
    api = get_api(platform)
    run_id = submit(platform.web)
    name = build_job_name("run", run_id)
    api.store.advance(3700)  # nothing could be scheduled
    api.store.control()
    assert platform.executor.reconcile(platform.store).failed == [run_id]
    record = platform.store.runs.get(run_id)
    assert record is not None
    assert record.state == "failed"
    assert record.error is not None
    assert record.error["code"] == "job_failed"
    assert "DeadlineExceeded" in record.error["message"]
    assert f"kubectl logs job/{name}" in record.error["message"]
    platform.executor.reconcile(platform.store)
    assert name in api.store.jobs
    api.store.advance(86_399)
    api.store.control()
    assert name in api.store.jobs
    api.store.advance(2)
    api.store.control()
    assert name not in api.store.jobs


def test_a_run_that_waits_for_a_machine_says_for_how_long(platform: KubePlatform) -> None:
    api = get_api(platform)
    run_id = submit(platform.web)
    [job] = api.store.jobs.values()
    job["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    platform.executor.reconcile(platform.store)
    answer = platform.web.client.get(f"/api/v1/runs/{run_id}").json
    assert answer["state"] == "queued"
    assert answer["stage"].startswith("no pod has started for ")


def finish_job(api: KubeApi, kind: str = "Complete") -> None:
    with api.store.lock:
        for job in api.store.jobs.values():
            api.store._finish(job, kind, "Told", "by the test")


def test_a_job_that_succeeds_without_a_result_is_tried_again_and_then_given_up(
    platform: KubePlatform,
) -> None:
    api = get_api(platform)
    run_id = submit(platform.web)
    for number in (1, 2):
        finish_job(api)
        assert len(platform.executor.reconcile(platform.store).restarted) == 1
        [job] = api.store.jobs.values()
        seen = read_job(job)
        assert seen is not None
        assert seen.restarts == number
    finish_job(api)
    assert platform.executor.reconcile(platform.store).failed == [run_id]


def test_a_job_whose_run_was_deleted_goes_and_a_strangers_stays(platform: KubePlatform) -> None:
    api, client = get_api(platform), platform.web.client
    run_id = submit(platform.web)
    stranger = build_job(platform, RUN_ID)
    stranger["metadata"]["labels"] = {"app": "another"}
    neighbour = build_job(platform, "9" + RUN_ID[1:])
    neighbour["metadata"]["labels"]["stock-backtest/instance"] = "another"
    for job in (stranger, neighbour):
        platform.executor.cluster.create(job)
    assert client.delete(f"/api/v1/runs/{run_id}").status_code == 204
    report = platform.executor.reconcile(platform.store)
    assert report.deleted == [build_job_name("run", run_id)]
    assert set(api.store.jobs) == {job["metadata"]["name"] for job in (stranger, neighbour)}


def test_a_retry_clears_the_old_job_first_and_is_refused_without_an_api_server(
    platform: KubePlatform,
) -> None:
    api, client = get_api(platform), platform.web.client
    sweep_id = client.post("/api/v1/sweeps", json=SWEEP).json["sweep_id"]
    name = build_job_name("sweep", sweep_id)
    assert api.store.jobs[name]["spec"]["completionMode"] == "Indexed"
    finish_job(api, "Failed")
    assert platform.executor.reconcile(platform.store).failed == [sweep_id]
    old = api.store.jobs[name]["metadata"]["uid"]
    api.rights[WEB_USER].discard("delete")
    assert client.post(f"/api/v1/sweeps/{sweep_id}/retry").status_code == 503
    assert client.get(f"/api/v1/sweeps/{sweep_id}").json["state"] == "failed"
    api.rights[WEB_USER].add("delete")
    assert client.post(f"/api/v1/sweeps/{sweep_id}/retry").status_code == 200
    assert api.store.jobs[name]["metadata"]["uid"] != old
    assert platform.executor.reconcile(platform.store).failed == []
    assert client.post(f"/api/v1/sweeps/{sweep_id}/pause").status_code == 200
    assert platform.executor.reconcile(platform.store).deleted == [name]
    assert client.post(f"/api/v1/sweeps/{sweep_id}/resume").status_code == 200
    assert name in api.store.jobs


def test_two_reconcilers_at_once_do_everything_once(platform: KubePlatform) -> None:
    api = get_api(platform)
    run_ids = [submit(platform.web, params={"window": 5 + number}) for number in range(6)]
    kept, lost, done = run_ids[:2], run_ids[2:4], run_ids[4:]
    for run_id in lost:
        del api.store.jobs[build_job_name("run", run_id)]
    for run_id in done:
        write(platform.store, update(runs).where(runs.c.run_id == run_id).values(state="succeeded"))
    with api.store.lock:
        for run_id in done:
            job = api.store.jobs[build_job_name("run", run_id)]
            api.store._finish(job, "Complete", "Told", "by the test")
    others = [KubernetesExecutor(platform.web.settings) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(lambda other: other.reconcile(platform.store), others))
    for other in others:
        other.cluster.close()
    created = sorted(run_id for report in reports for run_id in report.created)
    deleted = sorted(name for report in reports for name in report.deleted)
    assert created == sorted(lost)
    assert deleted == sorted(build_job_name("run", run_id) for run_id in done)
    assert set(api.store.jobs) == {build_job_name("run", run_id) for run_id in (*kept, *lost)}


@pytest.mark.parametrize("point", ["stored", "created", "noted"])
def test_a_web_process_that_dies_while_it_takes_a_run_loses_none(
    platform: KubePlatform, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    class Killed(BaseException):
        """What no handler catches, as nothing runs after SIGKILL."""

    def die(*args: object, **kwargs: object) -> None:
        raise Killed

    api, executor = get_api(platform), platform.executor
    if point == "stored":
        monkeypatch.setattr(executor.cluster, "create", die)
    elif point == "created":
        real = executor.cluster.create

        def create_and_die(*args: object, **kwargs: object) -> None:
            real(*args, **kwargs)  # type: ignore[arg-type]
            raise Killed

        monkeypatch.setattr(executor.cluster, "create", create_and_die)
    else:
        monkeypatch.setattr(platform.store.runs, "mark_sent", die)
        monkeypatch.setattr("storage.run_leases.RunLeases.mark_sent", die)
    with pytest.raises(Killed):
        platform.web.client.post("/api/v1/runs", json=RUN)
    monkeypatch.undo()
    [run_id] = platform.store.runs.list_queued(10)
    survivor = KubernetesExecutor(platform.web.settings)
    survivor.reconcile(platform.store)
    survivor.cluster.close()
    assert list(api.store.jobs) == [build_job_name("run", run_id)]
