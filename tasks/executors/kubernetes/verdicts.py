"""What a Job and its work together call for: a pure function of how both stand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast

from storage.abandonment import Standing
from tasks.executors.kubernetes.jobs import (
    ANNOTATION_IMAGE,
    ANNOTATION_RESTARTS,
    LABEL_ID,
    LABEL_KIND,
)
from tasks.executors.port import WorkKind

Phase = Literal["waiting", "active", "complete", "failed", "deleting"]
# A Job's pod is there within seconds where there is room; before that nothing is said.
_SAID_AFTER_SECONDS = 10.0
# A pod that is told to go is gone after its grace period of 30 s, unless its machine is.
_GONE_AFTER_SECONDS = 90.0
_AGES = ((3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True)
class JobView:
    """What we read of a Job.

    Parameters
    ----------
    phase : str
        ``waiting`` until a pod was ready or ended, ``deleting`` from the deletion on.
    reason, message : str
        Of the condition that says why it failed, or waits.
    age_seconds : float
        Since its creation.
    restarts : int
        See `JobSpec`.
    image : str
        Of its pods, as it was asked for: a cluster may rewrite what is in the pod.
    is_leaving : bool
        All its pods are told to go and have not gone; no other takes their place before that.
    leaving_seconds : float
        For how long that was seen.
    """

    kind: WorkKind
    work_id: str
    name: str
    uid: str
    phase: Phase
    reason: str
    message: str
    age_seconds: float
    restarts: int
    image: str = ""
    is_leaving: bool = False
    leaving_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do: ``keep``, ``delete``, ``restart``, ``renew``, ``fail``, or ``say`` why it waits.

    Restarts are counted; what is renewed had no chance yet.
    """

    action: Literal["keep", "delete", "restart", "renew", "fail", "say"]
    text: str = ""


def read_job(document: dict[str, Any], now: datetime | None = None) -> JobView | None:
    """Return the view of a Job, or None if its labels name no work of ours."""
    metadata, status = document["metadata"], document.get("status") or {}
    labels = metadata.get("labels") or {}
    kind, work_id = labels.get(LABEL_KIND), labels.get(LABEL_ID)
    if kind not in ("run", "sweep", "query") or not work_id:
        return None
    phase, condition = _read_phase(metadata, status)
    created = datetime.fromisoformat(metadata["creationTimestamp"].replace("Z", "+00:00"))
    age = ((now or datetime.now(UTC)) - created).total_seconds()
    annotations = metadata.get("annotations") or {}
    restarts = annotations.get(ANNOTATION_RESTARTS, "0")
    return JobView(
        kind=cast(WorkKind, kind),
        work_id=work_id,
        name=metadata["name"],
        uid=metadata["uid"],
        phase=phase,
        reason=condition.get("reason") or "",
        message=" ".join((condition.get("message") or "").split()),
        age_seconds=max(0.0, age),
        restarts=int(restarts) if restarts.isdecimal() else 0,
        image=annotations.get(ANNOTATION_IMAGE, ""),
        is_leaving=phase == "active"
        and bool(status.get("terminating"))
        and not status.get("active"),
    )


def _read_phase(metadata: dict[str, Any], status: dict[str, Any]) -> tuple[Phase, dict[str, Any]]:
    conditions = {
        item["type"]: item
        for item in status.get("conditions") or ()
        if item.get("status") == "True"
    }
    if metadata.get("deletionTimestamp"):
        return "deleting", {}
    if "Failed" in conditions:
        return "failed", conditions["Failed"]
    if "Complete" in conditions:
        return "complete", conditions["Complete"]
    seen = any(status.get(name) for name in ("ready", "succeeded", "failed", "terminating"))
    other: dict[str, Any] = next(iter(conditions.values()), {})
    return ("active" if seen else "waiting"), other


def judge(view: JobView, standing: Standing | None, max_restarts: int, image: str = "") -> Verdict:
    """Return what a Job of ours calls for.

    Parameters
    ----------
    standing : Standing or None
        Of its work, read after the Job was; None if there is no such work (any more).
    max_restarts : int
        Jobs that may end without a result before the work is given up.
    image : str
        Of Jobs that are created now.
    """
    if view.phase == "deleting":
        return Verdict("keep")
    if standing is None or standing.state in ("cancelled", "paused"):
        return Verdict("delete")
    if standing.state in ("succeeded", "done"):
        ended = view.phase in ("complete", "failed")
        return Verdict("delete" if ended or standing.is_settled else "keep")
    if standing.state == "failed":
        return Verdict("keep")  # a day, by its TTL, for whoever reads its log
    if view.phase == "failed":
        return Verdict("fail", _describe_failure(view))
    if view.phase == "complete":
        if standing.state == "running" and view.kind != "sweep":
            return Verdict("keep")  # its lease has to end first
        if view.restarts + 1 >= max_restarts:
            return Verdict("fail", f"its Job ended {max_restarts} times without a result")
        return Verdict("restart")
    if standing.state == "queued" or view.kind == "sweep":
        return _judge_wait(view, standing, image)
    return Verdict("keep")


def _judge_wait(view: JobView, standing: Standing, image: str) -> Verdict:
    """Return what a Job calls for whose work nobody has, as far as we know."""
    if view.leaving_seconds >= _GONE_AFTER_SECONDS:
        return Verdict("renew", "its pods do not go: their machine may have gone")
    if view.phase != "waiting" or view.age_seconds < _SAID_AFTER_SECONDS:
        return Verdict("keep")
    # Pods of an earlier release may not be had any more, or refuse the database of this one.
    if image not in ("", view.image):
        return Verdict("renew", "it waits for pods of another image")
    return Verdict("say", _describe_wait(view)) if standing.state == "queued" else Verdict("keep")


def _describe_failure(view: JobView) -> str:
    said = ": ".join(part for part in (view.reason, view.message) if part)
    return f"its Kubernetes Job failed ({said or 'no reason given'})"


def _describe_wait(view: JobView) -> str:
    why = f" ({view.reason})" if view.reason else ""
    # None had a place, or each that had one ended before it did anything: we see no pods.
    return f"no pod at work for {format_age(view.age_seconds)}{why}; see the Job's events"


def format_age(seconds: float) -> str:
    """Return an age in steps that grow with it, so that what is said changes seldom."""
    for size, unit in _AGES:
        if seconds >= size:
            number = int(seconds // size)
            # 1, 2, 5, 10, 20, 50: as on a coin.
            step = max(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if s <= number)
            return f"{step} {unit}"
    return "0 s"
