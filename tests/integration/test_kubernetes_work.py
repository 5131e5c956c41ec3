"""What becomes of work whose Job waits, fails, vanishes or is refused; no pod starts here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import update

from storage.models import runs
from tasks.executors.kubernetes import KubernetesExecutor
from tasks.executors.kubernetes.jobs import ANNOTATION_RESTARTS, build_job_name
from tasks.executors.kubernetes.verdicts import read_job
from tasks.job_exits import EXIT_TERMINATED, EXIT_UNREACHABLE
from tests.support.kube_api import WEB_USER, KubeApi
from tests.support.kube_platform import KubePlatform, build_job, get_api
from tests.support.model_base import write
from tests.support.web import RUN, submit

RUN_ID = "123e4567-e89b-42d3-a456-426614174000"
SWEEP = {"dataset": "WALK", "rule": "rsi", "space": {"window": "2:60"}}


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
    api.store.advance(platform.web.settings.kubernetes_deadline_seconds + 1)
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
    assert answer["stage"].startswith("no pod at work for ")


def test_a_run_waits_for_days_in_a_full_cluster_and_fails_of_nothing(
    platform: KubePlatform,
) -> None:
    api = get_api(platform)
    run_id = submit(platform.web)
    for _ in range(3):
        api.store.advance(86_400)
        api.store.control()
        platform.executor.reconcile(platform.store)
    record = platform.store.runs.get(run_id)
    assert record is not None
    assert record.state == "queued"


def test_after_an_upgrade_jobs_that_wait_are_made_anew_with_its_image(
    platform: KubePlatform,
) -> None:
    api = get_api(platform)
    run_id = submit(platform.web)
    name = build_job_name("run", run_id)
    old = api.store.jobs[name]
    old["metadata"]["annotations"][ANNOTATION_RESTARTS] = "1"
    old["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    image = "registry.example/stock-backtest:1.2.4"
    upgraded = KubernetesExecutor(replace(platform.web.settings, kubernetes_image=image))
    assert upgraded.reconcile(platform.store).restarted == [name]
    upgraded.cluster.close()
    seen = read_job(api.store.jobs[name])
    assert seen is not None
    assert (seen.image, seen.restarts) == (image, 1)
    assert seen.uid != old["metadata"]["uid"]


def test_a_pod_whose_machine_is_gone_keeps_no_run_waiting(
    platform: KubePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told to go, nobody is there to say that it went, and no other takes its place."""
    api = get_api(platform)
    run_id = submit(platform.web)
    name = build_job_name("run", run_id)
    with api.store.lock:
        api.store.jobs[name]["status"] = {"active": 0, "terminating": 1, "conditions": []}
        monkeypatch.setattr(api.store, "control", lambda: None)
    assert platform.executor.reconcile(platform.store).restarted == []
    for uid in platform.executor._leaving:
        platform.executor._leaving[uid] -= 100.0
    assert platform.executor.reconcile(platform.store).restarted == [name]
    seen = read_job(api.store.jobs[name])
    assert seen is not None
    assert (seen.is_leaving, seen.restarts) == (False, 0)
    platform.executor.reconcile(platform.store)
    assert platform.executor._leaving == {}


def test_a_database_that_is_away_for_a_long_time_fails_no_run(platform: KubePlatform) -> None:
    """Pods say so by their exit code; one that says nothing of the kind is a failure."""
    api = get_api(platform)
    run_id = submit(platform.web)
    for code in (*[EXIT_UNREACHABLE] * 20, *[EXIT_TERMINATED] * 20):
        end_pod(api, code)
    assert platform.executor.reconcile(platform.store).failed == []
    for _ in range(7):
        end_pod(api, 1)
    assert platform.executor.reconcile(platform.store).failed == [run_id]
    record = platform.store.runs.get(run_id)
    assert record is not None
    assert record.error is not None
    assert "BackoffLimitExceeded" in record.error["message"]


def end_pod(api: KubeApi, code: int) -> None:
    """Let the one pod that is there, or comes next, end."""
    with api.store.lock:
        api.store.start_pods, api.store.retry_seconds = True, 0.0
        api.store.control()
        [pod] = [pod for pod in api.store.pods.values() if pod["status"]["phase"] == "Pending"]
        ended = {"state": {"terminated": {"exitCode": code}}}
        pod["status"] = {"phase": "Failed", "containerStatuses": [ended]}
        api.store.start_pods = False
        api.store.control()


def test_what_is_refused_for_one_run_keeps_no_other_from_its_job(platform: KubePlatform) -> None:
    api = get_api(platform)
    run_ids = [submit(platform.web, params={"window": 5 + number}) for number in range(3)]
    api.store.jobs.clear()
    api.fail_next("create", 422, "Invalid")
    report = platform.executor.reconcile(platform.store)
    assert (report.refused, report.created) == (run_ids[:1], run_ids[1:])
    record = platform.store.runs.get(run_ids[0])
    assert record is not None
    assert record.stage == "waits: Kubernetes refuses its Job; see the web log"
    platform.executor._note_pass(report)
    platform.executor.check_ready()  # other work is taken on
    assert platform.executor.reconcile(platform.store).created == run_ids[:1]


def test_without_the_right_to_delete_new_runs_still_get_their_jobs(platform: KubePlatform) -> None:
    api = get_api(platform)
    done, lost = (submit(platform.web, params={"window": 5 + number}) for number in range(2))
    finish_job(api)
    ended = update(runs).where(runs.c.run_id == done).values(state="succeeded", has_charts=True)
    write(platform.store, ended)
    del api.store.jobs[build_job_name("run", lost)]
    api.rights[WEB_USER].discard("delete")
    platform.executor._is_started = True
    platform.executor.forget("run", done)
    platform.executor.delete_ended(platform.store)
    report = platform.executor.reconcile(platform.store)
    assert (report.created, report.deleted) == ([lost], [])
    assert "verbs [delete]" in str(report.trouble)
    platform.executor._note_pass(report)
    platform.executor.check_ready()
    api.rights[WEB_USER].add("delete")
    platform.executor.delete_ended(platform.store)
    assert list(api.store.jobs) == [build_job_name("run", lost)]


def test_without_room_for_more_jobs_one_is_tried_and_the_rest_waits(platform: KubePlatform) -> None:
    api = get_api(platform)
    run_ids = [submit(platform.web, params={"window": 5 + number}) for number in range(9)]
    api.store.jobs.clear()
    api.requests.clear()
    api.fail_next("create", 403, "Forbidden", times=2)  # as a quota says it
    report = platform.executor.reconcile(platform.store)
    assert (report.refused, report.created) == (run_ids[:1], [])
    assert [verb for verb, _ in api.requests].count("create") == 2
    assert platform.executor.reconcile(platform.store).created == run_ids


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
