"""The manifest of a Job: a pure function of one frozen specification.

What a pod may do is the profile ``restricted`` in full, as an API server accepts a Job that breaks
it, warns, and never starts a pod. Three kinds of work are one Job each, named by its id, so that
creating it twice is creating it once.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import make_url

from tasks.executors.port import WorkKind
from tasks.job_exits import EXIT_BAD_INPUT, EXIT_FAILED, EXIT_TERMINATED, EXIT_UNREACHABLE
from tasks.settings import PREFIX, Settings

PREFIX_LABEL = "stock-backtest"
LABEL_KIND, LABEL_ID = f"{PREFIX_LABEL}/kind", f"{PREFIX_LABEL}/id"
LABEL_RUN = f"{PREFIX_LABEL}/run-id"
LABEL_INSTANCE = f"{PREFIX_LABEL}/instance"
LABEL_FINGERPRINT = f"{PREFIX_LABEL}/fingerprint"
ANNOTATION_RESTARTS = f"{PREFIX_LABEL}/restarts"
ANNOTATION_IMAGE = f"{PREFIX_LABEL}/image"

TTL_SECONDS = 86_400
GRACE_SECONDS = 30
# A pod that ends without a verdict is started again: 10 s later, then 20, 40, ...
_RETRIES = 6
_USER = 10001
_CONTAINER = "job"
# A run of a few thousand bars with its charts, and what each bar adds: its columns, the result's,
# and a copy of both while they are packed.
_BASE_MB, _BYTES_PER_BAR = 320, 400
_STEP_MB = 64
# Datasets stay loaded up to so many bars together, or one alone; see `tasks.sweep_compute`.
_HELD_BARS = 700_000
# /tmp: links to kernels and the fonts of charts; and what the analysis of a sweep puts into files,
# which is most for a random search: values, points, and both again in order.
_SCRATCH_MB, _SCRATCH_BYTES_PER_POSITION = 128, 48
# Chunks that one pod should find to do: starting it costs as much as three or four of them.
_CHUNKS_PER_POD = 8

_LABEL_LENGTH = 63
_TAG = re.compile(
    r"^[^\s@]+?(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?$"
)
# A version of three parts, or a Git SHA, alone or in a longer tag: 1.2 moves with each 1.2.x.
_FIXED_TAG = re.compile(r"\d+\.\d+\.\d+|(?:^|[-_.])[0-9a-f]{7,64}(?:$|[-_.])")


@dataclass(frozen=True, slots=True)
class JobSpec:
    """Everything that tells one Job from another.

    Parameters
    ----------
    kind : {"run", "sweep", "query"}
        What is to be done.
    work_id : str
        Its UUID.
    fingerprint : str
        Of its inputs, as stored; empty for questions.
    instance : str
        Names the database, so that platforms that share a namespace leave each other alone.
    completions : int
        Pods that a sweep's work is shared out to, 1 for anything else.
    memory_mb : int
        What the data needs. [MiB]
    scratch_mb : int
        What it may write to /tmp. [MiB]
    deadline_seconds : int
        From the creation of the Job to its end, waiting included.
    restarts : int
        Jobs of the same work before this one that ended without a result.
    """

    kind: WorkKind
    work_id: str
    fingerprint: str
    namespace: str
    instance: str
    image: str
    secret: str
    config_map: str
    service_account: str
    memory_mb: int
    deadline_seconds: int
    scratch_mb: int = _SCRATCH_MB
    completions: int = 1
    restarts: int = 0

    @property
    def name(self) -> str:
        """The Job's name."""
        return build_job_name(self.kind, self.work_id)


def build_job_name(kind: WorkKind, work_id: str) -> str:
    """Return the name of the Job that does this work, 57 characters at most."""
    return f"stock-backtest-{kind}-{work_id}"


def build_spec(
    settings: Settings,
    namespace: str,
    kind: WorkKind,
    work_id: str,
    *,
    fingerprint: str,
    n_bars: int,
    n_positions: int = 0,
    completions: int = 1,
    restarts: int = 0,
) -> JobSpec:
    """Return the specification of a Job for stored work.

    Parameters
    ----------
    n_bars : int
        Held in memory at a time.
    n_positions : int
        Of the sweep that it is about.
    """
    return JobSpec(
        kind=kind,
        work_id=work_id,
        fingerprint=fingerprint,
        namespace=namespace,
        instance=compute_instance(settings.database_url),
        image=settings.kubernetes_image,
        secret=settings.kubernetes_secret,
        config_map=settings.kubernetes_config_map,
        service_account=settings.kubernetes_service_account,
        memory_mb=compute_memory(n_bars),
        scratch_mb=compute_scratch(n_positions),
        deadline_seconds=settings.kubernetes_deadline_seconds,
        completions=completions,
        restarts=restarts,
    )


def compute_memory(n_bars: int) -> int:
    """Return what a pod asks for. [bars] * [bytes / bar] / [bytes / MiB] = [MiB]."""
    wanted = _BASE_MB + n_bars * _BYTES_PER_BAR / 2**20
    return math.ceil(wanted / _STEP_MB) * _STEP_MB


def count_held_bars(lengths: Sequence[int]) -> int:
    """Return the bars that a sweep over datasets of these lengths holds at a time."""
    return max(max(lengths, default=0), min(sum(lengths), _HELD_BARS))


def compute_scratch(n_positions: int) -> int:
    """Return what /tmp has to hold. [positions] * [bytes / position] / [bytes / MiB] = [MiB]."""
    return _SCRATCH_MB + math.ceil(n_positions * _SCRATCH_BYTES_PER_POSITION / 2**20)


def compute_completions(n_chunks: int, parallelism: int) -> int:
    """Return how many pods share a sweep: no more than have enough to do, or than are allowed."""
    return min(parallelism, max(1, math.ceil(n_chunks / _CHUNKS_PER_POD)))


def compute_instance(database_url: str) -> str:
    """Return a short name for a database, the same from every process that uses it."""
    url = make_url(database_url)
    named = f"{url.get_backend_name()}://{url.host or ''}:{url.port or ''}/{url.database or ''}"
    return hashlib.sha256(named.encode()).hexdigest()[:16]


def check_image(image: str) -> str | None:
    """Return what is wrong with an image's name, or None: its tag must never move."""
    if not image:
        return "is not set; name the image of this release, by version or Git SHA"
    found = _TAG.fullmatch(image)
    if found is None:
        return "is no name of an image; write registry/name:1.2.3"
    tag = found["tag"]
    if found["digest"]:
        return None
    if tag is None:
        return "has no tag, which means latest; name a version or a Git SHA"
    if not _FIXED_TAG.search(tag):
        return f"has the tag {tag}, which may move; name a version or a Git SHA"
    return None


def build_labels(spec: JobSpec) -> dict[str, str]:
    """Return what Jobs are found by. A label holds 63 characters, so a fingerprint is cut."""
    labels = {
        "app.kubernetes.io/name": "stock-backtest",
        "app.kubernetes.io/component": "job",
        "app.kubernetes.io/managed-by": "stock-backtest",
        LABEL_INSTANCE: spec.instance,
        LABEL_KIND: spec.kind,
        LABEL_ID: spec.work_id,
    }
    if spec.kind == "run":
        labels[LABEL_RUN] = spec.work_id
    if spec.fingerprint:
        labels[LABEL_FINGERPRINT] = spec.fingerprint[:_LABEL_LENGTH]
    return labels


def build_selector(instance: str) -> str:
    """Return the selector of all Jobs of one platform."""
    return f"app.kubernetes.io/managed-by=stock-backtest,{LABEL_INSTANCE}={instance}"


def build_manifest(spec: JobSpec) -> dict[str, Any]:
    """Return the Job as the API takes it."""
    labels = build_labels(spec)
    annotations = {
        f"{PREFIX_LABEL}/{spec.kind}-id": spec.work_id,
        f"{PREFIX_LABEL}/kind": spec.kind,
        f"{PREFIX_LABEL}/fingerprint": spec.fingerprint,
        ANNOTATION_RESTARTS: str(spec.restarts),
        ANNOTATION_IMAGE: spec.image,
    }
    job: dict[str, Any] = {
        "completions": spec.completions,
        "parallelism": spec.completions,
        "completionMode": "Indexed" if spec.kind == "sweep" else "NonIndexed",
        "backoffLimit": max(_RETRIES, 2 * spec.completions),
        "activeDeadlineSeconds": spec.deadline_seconds,
        "ttlSecondsAfterFinished": TTL_SECONDS,
        "podFailurePolicy": _build_failure_policy(),
        "template": {
            "metadata": {"labels": labels, "annotations": annotations},
            "spec": _build_pod(spec),
        },
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": spec.name,
            "namespace": spec.namespace,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": job,
    }


def _build_failure_policy() -> dict[str, Any]:
    """Return what becomes of a Job whose pod fails; the first rule that fits counts."""
    return {
        "rules": [
            # A machine that is drained or taken away is no fault of the work.
            {
                "action": "Ignore",
                "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
            },
            # Nor is a database that is away, nor a pod that was told to stop: both lose nothing,
            # and however often it happens, the next pod may do the work.
            _build_exit_rule("Ignore", EXIT_UNREACHABLE, EXIT_TERMINATED),
            # The run has its error already; another pod would find the same.
            _build_exit_rule("FailJob", EXIT_BAD_INPUT, EXIT_FAILED),
        ]
    }


def _build_exit_rule(action: str, *codes: int) -> dict[str, Any]:
    found = {"containerName": _CONTAINER, "operator": "In", "values": sorted(codes)}
    return {"action": action, "onExitCodes": found}


def _build_pod(spec: JobSpec) -> dict[str, Any]:
    return {
        "restartPolicy": "Never",
        "serviceAccountName": spec.service_account,
        "automountServiceAccountToken": False,
        # Variables of Services would carry our prefix and be taken for settings.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_build_container(spec)],
        "volumes": [{"name": "tmp", "emptyDir": _build_scratch(spec)}],
    }


def _build_scratch(spec: JobSpec) -> dict[str, Any]:
    limit = {"sizeLimit": f"{spec.scratch_mb}Mi"}
    # Memory is the quickest, and counts as the pod's own: what is large lies on the disk.
    return {"medium": "Memory", **limit} if spec.scratch_mb <= _SCRATCH_MB else limit


def _build_container(spec: JobSpec) -> dict[str, Any]:
    option = [] if spec.kind == "run" else [f"--{spec.kind}"]
    key = {"name": spec.secret, "key": "database-url"}
    return {
        "name": _CONTAINER,
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["job", *option, spec.work_id],
        "envFrom": [{"configMapRef": {"name": spec.config_map, "optional": True}}],
        "env": [
            {"name": f"{PREFIX}DATABASE_URL", "valueFrom": {"secretKeyRef": key}},
            {"name": f"{PREFIX}EXECUTOR", "value": "kubernetes"},
            {"name": f"{PREFIX}LOG_FORMAT", "value": "json"},
        ],
        "resources": {
            "requests": {"cpu": "500m", "memory": f"{spec.memory_mb}Mi"},
            "limits": {"cpu": "1", "memory": f"{2 * spec.memory_mb}Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108  # in the pod
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
