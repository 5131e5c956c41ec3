"""Manifests as whole objects, and what a Job and its work together call for."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest

from storage.abandonment import Standing
from tasks.executors.kubernetes.jobs import (
    JobSpec,
    build_manifest,
    build_spec,
    check_image,
    compute_completions,
    compute_instance,
    compute_memory,
    count_held_bars,
)
from tasks.executors.kubernetes.verdicts import JobView, Verdict, format_age, judge, read_job
from tasks.settings import Settings
from tests.support.kube_schema import find_invalid, find_unknown, find_violations

RUN_ID = "123e4567-e89b-42d3-a456-426614174000"
FINGERPRINT = "ab" * 32
SPEC = JobSpec(
    kind="run",
    work_id=RUN_ID,
    fingerprint=FINGERPRINT,
    namespace="backtests",
    instance="0123456789abcdef",
    image="registry.example/stock-backtest:1.2.3",
    secret="stock-backtest-secrets",
    config_map="stock-backtest-config",
    service_account="stock-backtest-worker",
    memory_mb=384,
    deadline_seconds=3600,
)
LABELS = {
    "app.kubernetes.io/name": "stock-backtest",
    "app.kubernetes.io/component": "job",
    "app.kubernetes.io/managed-by": "stock-backtest",
    "stock-backtest/instance": "0123456789abcdef",
    "stock-backtest/kind": "run",
    "stock-backtest/id": RUN_ID,
    "stock-backtest/run-id": RUN_ID,
    "stock-backtest/fingerprint": FINGERPRINT[:63],
}
ANNOTATIONS = {
    "stock-backtest/run-id": RUN_ID,
    "stock-backtest/kind": "run",
    "stock-backtest/fingerprint": FINGERPRINT,
    "stock-backtest/restarts": "0",
    "stock-backtest/image": "registry.example/stock-backtest:1.2.3",
}
POD = {
    "restartPolicy": "Never",
    "serviceAccountName": "stock-backtest-worker",
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "terminationGracePeriodSeconds": 30,
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "containers": [
        {
            "name": "job",
            "image": "registry.example/stock-backtest:1.2.3",
            "imagePullPolicy": "IfNotPresent",
            "args": ["job", RUN_ID],
            "envFrom": [{"configMapRef": {"name": "stock-backtest-config", "optional": True}}],
            "env": [
                {
                    "name": "STOCK_BACKTEST_DATABASE_URL",
                    "valueFrom": {
                        "secretKeyRef": {"name": "stock-backtest-secrets", "key": "database-url"}
                    },
                },
                {"name": "STOCK_BACKTEST_EXECUTOR", "value": "kubernetes"},
                {"name": "STOCK_BACKTEST_LOG_FORMAT", "value": "json"},
            ],
            "resources": {
                "requests": {"cpu": "500m", "memory": "384Mi"},
                "limits": {"cpu": "1", "memory": "768Mi"},
            },
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "privileged": False,
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }
    ],
    "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "128Mi"}}],
}


def test_the_manifest_of_a_run_is_this() -> None:
    assert build_manifest(SPEC) == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"stock-backtest-run-{RUN_ID}",
            "namespace": "backtests",
            "labels": LABELS,
            "annotations": ANNOTATIONS,
        },
        "spec": {
            "completions": 1,
            "parallelism": 1,
            "completionMode": "NonIndexed",
            "backoffLimit": 6,
            "activeDeadlineSeconds": 3600,
            "ttlSecondsAfterFinished": 86_400,
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "Ignore",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    },
                    {
                        "action": "Ignore",
                        "onExitCodes": {
                            "containerName": "job",
                            "operator": "In",
                            "values": [3, 143],
                        },
                    },
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": "job",
                            "operator": "In",
                            "values": [2, 5],
                        },
                    },
                ]
            },
            "template": {
                "metadata": {"labels": LABELS, "annotations": ANNOTATIONS},
                "spec": POD,
            },
        },
    }


def test_a_sweep_is_one_indexed_job_whose_pods_share_it() -> None:
    settings = Settings(database_url="sqlite:////x/y.db", kubernetes_image="x:1.2.3")
    spec = build_spec(
        settings, "ns", "sweep", RUN_ID, fingerprint=FINGERPRINT, n_bars=1000, completions=12
    )
    job = build_manifest(spec)
    wanted = ("completions", "parallelism", "completionMode", "backoffLimit")
    assert [job["spec"][name] for name in wanted] == [12, 12, "Indexed", 24]
    assert job["spec"]["activeDeadlineSeconds"] == 7 * 24 * 3600
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["job", "--sweep", RUN_ID]
    assert "stock-backtest/run-id" not in job["metadata"]["labels"]


@pytest.mark.parametrize("kind", ["run", "sweep", "query"])
def test_an_api_server_has_nothing_against_a_manifest(kind: Any) -> None:
    settings = Settings(database_url="sqlite:////x/y.db", kubernetes_image="x:1.2.3")
    spec = build_spec(
        settings,
        "ns",
        kind,
        RUN_ID,
        fingerprint=FINGERPRINT,
        n_bars=10,
        n_positions=100_000_000,
        completions=9999,
    )
    job = build_manifest(spec)
    assert list(find_unknown(job)) == []
    assert list(find_invalid(job)) == []
    assert find_violations(job["spec"]["template"]["spec"]) == []


def test_memory_grows_with_the_bars_and_pods_with_the_chunks() -> None:
    assert compute_memory(0) == 320
    assert compute_memory(5_000_000) == 64 * math.ceil((320 + 5_000_000 * 400 / 2**20) / 64)
    assert [compute_completions(n, 4) for n in (0, 1, 8, 9, 32, 1000)] == [1, 1, 1, 2, 4, 4]
    # As many as stay loaded, or the longest alone.
    assert [count_held_bars(n) for n in ([], [9, 5], [600_000] * 9, [5_000_000, 1])] == [
        0,
        14,
        700_000,
        5_000_000,
    ]


def test_what_the_analysis_of_a_large_sweep_writes_has_room_on_the_disk() -> None:
    """A page of a file in memory that is full ends the process that touches it."""
    settings = Settings(database_url="sqlite:////x/y.db", kubernetes_image="x:1.2.3")
    large = build_spec(settings, "ns", "sweep", RUN_ID, fingerprint="", n_bars=9, n_positions=10**8)
    [volume] = build_manifest(large)["spec"]["template"]["spec"]["volumes"]
    assert set(volume["emptyDir"]) == {"sizeLimit"}
    # Random search: values and points, both again in order of points, and a byte for a level.
    assert int(volume["emptyDir"]["sizeLimit"].removesuffix("Mi")) * 2**20 >= 10**8 * (
        4 * 8 + 8 + 1
    )


def test_a_database_has_one_name_whoever_asks_with_whatever_password() -> None:
    first = compute_instance("mysql+pymysql://a:secret@db:3306/backtests")
    assert first == compute_instance("mysql+pymysql://b:other@db:3306/backtests")
    assert first != compute_instance("mysql+pymysql://a:secret@db:3306/others")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("registry.example/x:1.2.3", None),
        ("localhost:5000/x:v1.2.3-rc.1", None),
        ("x:3f2a91c", None),
        ("x:sha-deadbeef", None),
        ("x@sha256:" + "0" * 64, None),
        ("", "is not set"),
        ("x", "has no tag"),
        ("localhost:5000/x", "has no tag"),
        ("x:latest", "may move"),
        ("x:main", "may move"),
        ("x:1.2", "may move"),
        ("x y:1.2.3", "no name of an image"),
    ],
)
def test_only_an_image_whose_name_never_moves_is_taken(image: str, words: str | None) -> None:
    said = check_image(image)
    assert said is None if words is None else words in (said or "")


# -- verdicts ------------------------------------------------------------------------------------


def view(phase: Any = "active", **changes: Any) -> JobView:
    values = {
        "kind": "run",
        "work_id": RUN_ID,
        "name": "n",
        "uid": "u",
        "phase": phase,
        "reason": "",
        "message": "",
        "age_seconds": 1.0,
        "restarts": 0,
        **changes,
    }
    return JobView(**values)


def stands(state: str, *, is_settled: bool | None = None) -> Standing:
    settled = state not in ("queued", "running") if is_settled is None else is_settled
    return Standing(state, settled)


@pytest.mark.parametrize(
    ("seen", "standing", "action"),
    [
        (view("deleting"), None, "keep"),
        (view("active"), None, "delete"),
        (view("failed"), None, "delete"),
        (view("active"), stands("cancelled"), "delete"),
        (view("complete"), stands("succeeded"), "delete"),
        (view("active"), stands("succeeded", is_settled=False), "keep"),  # its charts follow
        (view("complete"), stands("succeeded", is_settled=False), "delete"),
        (view("active"), stands("succeeded"), "delete"),
        (view("failed"), stands("failed"), "keep"),
        (view("active"), stands("failed"), "keep"),
        (view("failed"), stands("queued"), "fail"),
        (view("failed"), stands("running"), "fail"),
        (view("complete"), stands("queued"), "restart"),
        (view("complete", restarts=2), stands("queued"), "fail"),
        (view("complete"), stands("running"), "keep"),  # its lease has to end first
        (view("complete", kind="sweep"), stands("running"), "restart"),
        (view("active", kind="sweep"), stands("paused"), "delete"),
        (view("complete", kind="query"), stands("done"), "delete"),
        (view("waiting"), stands("queued"), "keep"),
        (view("waiting", age_seconds=30.0), stands("queued"), "say"),
        (view("active", age_seconds=30.0), stands("queued"), "keep"),
    ],
)
def test_a_job_and_its_work_call_for(seen: JobView, standing: Any, action: str) -> None:
    assert judge(seen, standing, 3).action == action


@pytest.mark.parametrize(
    ("seen", "standing", "action"),
    [
        (view("waiting", age_seconds=30.0, image="x:1.2.2"), stands("queued"), "renew"),
        (view("waiting", age_seconds=30.0, image="x:1.2.3"), stands("queued"), "say"),
        (view("waiting", age_seconds=3.0, image="x:1.2.2"), stands("queued"), "keep"),
        (view("active", age_seconds=30.0, image="x:1.2.2"), stands("queued"), "keep"),
        (view("waiting", age_seconds=30.0, image="x:1.2.2"), stands("running"), "keep"),
        (
            view("waiting", age_seconds=30.0, image="x:1.2.2", kind="sweep"),
            stands("running"),
            "renew",
        ),
        (view("waiting", age_seconds=30.0, image="x:1.2.2"), stands("cancelled"), "delete"),
        (view("active", leaving_seconds=60.0), stands("queued"), "keep"),
        (view("active", leaving_seconds=100.0), stands("queued"), "renew"),
        (view("active", leaving_seconds=100.0), stands("running"), "keep"),  # a lease to end first
        (view("active", leaving_seconds=100.0, kind="sweep"), stands("running"), "renew"),
    ],
)
def test_what_waits_for_pods_that_have_no_chance_is_made_anew(
    seen: JobView, standing: Any, action: str
) -> None:
    assert judge(seen, standing, 3, "x:1.2.3").action == action


def test_a_failure_and_a_wait_say_what_kubernetes_says() -> None:
    failed = view("failed", reason="DeadlineExceeded", message="Job was active too long")
    assert judge(failed, stands("queued"), 3) == Verdict(
        "fail", "its Kubernetes Job failed (DeadlineExceeded: Job was active too long)"
    )
    waiting = judge(view("waiting", age_seconds=130.0), stands("queued"), 3)
    assert waiting.text == "no pod at work for 2 min; see the Job's events"
    assert [format_age(s) for s in (0, 12, 59, 61, 700, 4000)] == [
        "0 s",
        "10 s",
        "50 s",
        "1 min",
        "10 min",
        "1 h",
    ]


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ({}, "waiting"),
        ({"active": 1, "ready": 0}, "waiting"),
        ({"active": 1, "ready": 1}, "active"),
        ({"active": 0, "failed": 1}, "active"),  # between two pods
        ({"active": 0, "terminating": 1}, "active"),
        ({"active": 1, "terminating": 1}, "active"),
        ({"conditions": [{"type": "Failed", "status": "True", "reason": "R"}]}, "failed"),
        ({"conditions": [{"type": "Failed", "status": "False"}]}, "waiting"),
        ({"conditions": [{"type": "FailureTarget", "status": "True"}], "failed": 1}, "active"),
        ({"conditions": [{"type": "Complete", "status": "True"}]}, "complete"),
    ],
)
def test_a_job_is_read(status: dict[str, Any], phase: str) -> None:
    document = {**build_manifest(SPEC), "status": status}
    document["metadata"] |= {"uid": "u", "creationTimestamp": "2026-11-28T12:00:00Z"}
    seen = read_job(document, datetime(2026, 11, 28, 12, 1, tzinfo=UTC))
    assert seen is not None
    assert (seen.phase, seen.age_seconds, seen.work_id) == (phase, 60.0, RUN_ID)
    assert seen.is_leaving is (status == {"active": 0, "terminating": 1})
    document["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "stock-backtest"}
    assert read_job(document) is None
