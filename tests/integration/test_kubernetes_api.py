"""What an API server may answer, and what is made of it; no pod starts here."""

from __future__ import annotations

import datetime
import importlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from tasks.executors.kubernetes.answers import ClusterDenied, ClusterRefused, ClusterUnavailable
from tasks.executors.kubernetes.cluster import Cluster
from tasks.executors.kubernetes.jobs import build_manifest
from tasks.executors.kubernetes.lean_client import load_client
from tests.support.kube_api import NAMESPACE, WEB_USER
from tests.support.kube_platform import KubePlatform, build_job, get_api
from tests.support.tls import make_authority, tls_in_front
from tests.support.web import submit

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


def test_in_a_pod_the_token_of_its_account_is_shown_over_tls_and_read_anew(
    platform: KubePlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that finds its token and does not send it is denied everything, as anybody is."""
    api, authority = get_api(platform), make_authority(tmp_path / "tls")
    load_client()
    inside = importlib.import_module("kubernetes.config.incluster_config")
    (tmp_path / "token").write_text("web-token")
    (tmp_path / "namespace").write_text(f"{NAMESPACE}\n")
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setattr("tasks.executors.kubernetes.cluster._TOKEN_DIR", tmp_path)
    monkeypatch.setattr(inside, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(inside, "SERVICE_CERT_FILENAME", str(authority.ca))
    with tls_in_front(urlsplit(api.url).port or 0, authority) as port:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(port))
        pod = Cluster(platform.web.settings)
        assert pod.ask_identity() == WEB_USER
        assert (pod.namespace, pod.list_jobs("")) == (NAMESPACE, [])
        # The kubelet writes a new one every hour; the old one is good for a while.
        monkeypatch.setattr(api, "users", {"next-token": WEB_USER})
        (tmp_path / "token").write_text("next-token")
        with pytest.raises(ClusterDenied, match="does not know the token"):
            pod.ask_identity()
        monkeypatch.setattr(inside, "datetime", _later(minutes=2))
        assert pod.ask_identity() == WEB_USER
        pod.close()


def _later(**passed: int) -> SimpleNamespace:
    """The module `datetime`, with a clock that goes so much ahead."""

    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Clock:
            return super().now(tz) + datetime.timedelta(**passed)

    return SimpleNamespace(datetime=Clock, timedelta=datetime.timedelta)


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
    # What only a list may say, of something else.
    api.fail_next("get", 410, "Gone", times=99)
    with pytest.raises(ClusterUnavailable, match="answers 410"):
        cluster.get("x", patience=0.3)


def test_a_long_list_is_read_whole_even_if_a_page_comes_too_late(platform: KubePlatform) -> None:
    api, cluster = get_api(platform), platform.executor.cluster
    for number in range(7):
        cluster.create(build_job(platform, f"{number}23e4567-e89b-42d3-a456-426614174000"))
    api.page_limit, api.n_expired = 3, 2
    assert len({item["metadata"]["name"] for item in cluster.list_jobs("")}) == 7
    assert api.n_expired == 0
    assert cluster.list_jobs("stock-backtest/instance=another") == []
    api.n_expired = 99
    with pytest.raises(ClusterUnavailable, match="changes faster"):
        cluster.list_jobs("")


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
