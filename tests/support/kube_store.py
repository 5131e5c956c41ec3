"""The objects of the stand-in for an API server, and the controllers that work on them."""

from __future__ import annotations

import copy
import threading
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.kube_schema import find_violations

FINISHED = ("Succeeded", "Failed")
_INDEX = "batch.kubernetes.io/job-completion-index"
# What a controller says as soon as it has decided; `Complete` or `Failed` follow the last pod.
_DECISIONS = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}


class KubeStore:
    """Jobs and pods of one namespace, and a clock that a test may push on.

    Parameters
    ----------
    start_pods : bool
        Whether there is room for pods: without it Jobs wait.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.lock = threading.RLock()
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, dict[str, Any]] = {}
        self.start_pods = True
        self.orphans: list[str] = []
        # How long a deleted Job keeps its name.
        self.linger_seconds = 0.0
        self.retry_seconds = 0.2  # a real controller waits 10 s, then twice as long each time
        self._version = 0
        self._skew = timedelta(0)

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self._skew

    def advance(self, seconds: float) -> None:
        self._skew += timedelta(seconds=seconds)

    def stamp(self, document: dict[str, Any]) -> None:
        self._version += 1
        document["metadata"]["resourceVersion"] = str(self._version)

    def add_job(self, job: dict[str, Any]) -> dict[str, Any]:
        metadata = job["metadata"]
        metadata |= {
            "uid": str(uuid.uuid4()),
            "creationTimestamp": format_time(self.now),
            "namespace": self.namespace,
            "generation": 1,
        }
        job["status"] = {"startTime": format_time(self.now)}
        self.stamp(job)
        self.jobs[metadata["name"]] = job
        return job

    def delete_job(self, name: str, policy: str) -> dict[str, Any]:
        job = self.jobs[name]
        mine = [pod for pod in self.pods.values() if is_owned(pod, job)]
        if policy == "Orphan":
            self.orphans += [pod["metadata"]["name"] for pod in mine]
        else:
            for pod in mine:
                del self.pods[pod["metadata"]["name"]]
        if self.linger_seconds:
            job["metadata"]["deletionTimestamp"] = format_time(
                self.now + timedelta(seconds=self.linger_seconds)
            )
            self.stamp(job)
        else:
            del self.jobs[name]
        return job

    def control(self) -> None:
        """One turn of the controllers of Jobs, of their TTL, and of what is being deleted."""
        with self.lock:
            for name, job in list(self.jobs.items()):
                gone = job["metadata"].get("deletionTimestamp")
                if gone:
                    if parse_time(gone) <= self.now:
                        del self.jobs[name]
                    continue
                finished = find_finish(job)
                if finished is None:
                    self._work(job)
                elif "ttlSecondsAfterFinished" in job["spec"]:
                    since = (self.now - parse_time(finished["lastTransitionTime"])).total_seconds()
                    if since >= job["spec"]["ttlSecondsAfterFinished"]:
                        self.delete_job(name, "Background")

    def _work(self, job: dict[str, Any]) -> None:
        spec, status = job["spec"], job["status"]
        mine = [pod for pod in self.pods.values() if is_owned(pod, job)]
        for pod in mine:
            if pod["status"]["phase"] == "Failed" and not pod.get("counted"):
                pod["counted"] = True
                self._count_failure(job, pod)
                if find_finish(job):
                    return
        age = (self.now - parse_time(status["startTime"])).total_seconds()
        if age > spec.get("activeDeadlineSeconds", float("inf")):
            self._finish(
                job, "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
            )
            return
        done = {read_index(pod) for pod in mine if pod["status"]["phase"] == "Succeeded"}
        open_pods = [pod for pod in mine if pod["status"]["phase"] not in FINISHED]
        status["succeeded"] = len(done)
        status["active"] = len(open_pods)
        status["ready"] = sum(pod["status"]["phase"] == "Running" for pod in open_pods)
        if spec.get("completionMode") == "Indexed":
            status["completedIndexes"] = ",".join(map(str, sorted(done)))
        if len(done) >= spec.get("completions", 1):
            self._finish(
                job, "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
            )
            return
        waits = parse_time(status.get("retryAfter", status["startTime"])) > self.now
        if self.start_pods and not waits and not find_violations(spec["template"]["spec"]):
            busy = done | {read_index(pod) for pod in open_pods}
            room = spec.get("parallelism", 1) - len(open_pods)
            wanted = [idx for idx in range(spec.get("completions", 1)) if idx not in busy]
            for idx in wanted[:room]:
                self._start(job, idx)
        self.stamp(job)

    def _start(self, job: dict[str, Any], idx: int) -> None:
        spec, metadata = job["spec"]["template"], job["metadata"]
        name = f"{metadata['name']}-{idx}-{uuid.uuid4().hex[:5]}"
        labels = {**spec.get("metadata", {}).get("labels", {})}
        labels["batch.kubernetes.io/job-name"] = metadata["name"]
        pod = copy.deepcopy(spec["spec"])
        if job["spec"].get("completionMode") == "Indexed":
            labels[_INDEX] = str(idx)
            place = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{_INDEX}']"}}
            for container in pod["containers"]:
                variables = container.setdefault("env", [])
                variables.append({"name": "JOB_COMPLETION_INDEX", "valueFrom": place})
        self.pods[name] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": self.namespace,
                "labels": labels,
                "uid": str(uuid.uuid4()),
                "ownerReferences": [{"kind": "Job", "uid": metadata["uid"]}],
            },
            "spec": pod,
            "status": {"phase": "Pending"},
        }
        self.stamp(self.pods[name])

    def _count_failure(self, job: dict[str, Any], pod: dict[str, Any]) -> None:
        spec, status = job["spec"], job["status"]
        # A failure that does not count is waited after like any other.
        status["retryAfter"] = format_time(self.now + timedelta(seconds=self.retry_seconds))
        for number, rule in enumerate((spec.get("podFailurePolicy") or {}).get("rules", ())):
            action = _match_rule(rule, pod)
            if action == "Ignore":
                return
            if action == "FailJob":
                code = read_exit_code(pod)
                self._finish(
                    job,
                    "Failed",
                    "PodFailurePolicy",
                    f"Container job for pod {self.namespace}/{pod['metadata']['name']} failed with "
                    f"exit code {code} matching FailJob rule at index {number}",
                )
                return
        status["failed"] = status.get("failed", 0) + 1
        if status["failed"] > spec.get("backoffLimit", 6):
            self._finish(
                job, "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
            )

    def _finish(self, job: dict[str, Any], kind: str, reason: str, message: str) -> None:
        for name, pod in list(self.pods.items()):
            if is_owned(pod, job) and pod["status"]["phase"] not in FINISHED:
                del self.pods[name]  # its process is told to end
        job["status"] |= {"active": 0, "ready": 0}
        job["status"].setdefault("conditions", []).extend(
            {
                "type": name,
                "status": "True",
                "reason": reason,
                "message": message,
                "lastTransitionTime": format_time(self.now),
            }
            for name in (_DECISIONS[kind], kind)
        )
        self.stamp(job)


def _match_rule(rule: dict[str, Any], pod: dict[str, Any]) -> str | None:
    conditions = {item["type"] for item in pod["status"].get("conditions", ())}
    for wanted in rule.get("onPodConditions", ()):
        if wanted["type"] in conditions:
            return str(rule["action"])
    codes = rule.get("onExitCodes")
    if codes and codes["operator"] == "In" and read_exit_code(pod) in codes["values"]:
        return str(rule["action"])
    return None


def read_exit_code(pod: dict[str, Any]) -> int:
    [status] = pod["status"].get("containerStatuses") or [{"state": {"terminated": {}}}]
    return int(status["state"]["terminated"].get("exitCode", 137))


def read_index(pod: dict[str, Any]) -> int:
    return int(pod["metadata"]["labels"].get(_INDEX, 0))


def is_owned(pod: dict[str, Any], job: dict[str, Any]) -> bool:
    [owner] = pod["metadata"]["ownerReferences"]
    return bool(owner["uid"] == job["metadata"]["uid"])


def find_finish(job: dict[str, Any]) -> dict[str, Any] | None:
    for condition in job["status"].get("conditions", ()):
        if condition["type"] in ("Complete", "Failed"):
            return dict(condition)
    return None


def format_time(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
