"""Comparing Jobs with what they are for, and putting right where they differ.

Any number of these may run at once, in as many web processes: Jobs are created by a name that only
one can have and deleted by the one `uid` that was seen, and the database is changed by
compare-and-set. Jobs are listed before the database is read, so that a Job whose work is not found
is of work that was deleted, and never of work that is about to be stored.

What is denied or refused for one Job stops nothing else; a server that is away ends the pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from storage.abandonment import Standing
from tasks.executors.kubernetes.answers import ClusterDenied, ClusterError, ClusterRefused
from tasks.executors.kubernetes.jobs import build_job_name, build_selector, compute_instance
from tasks.executors.kubernetes.verdicts import JobView, Verdict, judge, read_job
from tasks.executors.port import BATCH, RESEND_SECONDS, WorkKind
from tasks.logs import bind_run, bind_sweep, get_logger

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from storage.store import Store
    from tasks.executors.kubernetes.cluster import Cluster
    from tasks.settings import Settings

log = get_logger(__name__)

_KINDS: tuple[WorkKind, ...] = ("run", "sweep", "query")
_LOOKED_UP = 500  # ids in one query
# Jobs that one pass tries to create in vain: a server that takes none takes no thousand either.
_MOST_REFUSED = 20
# When charts that do not follow their result are sent for, and given up; as in maintenance.
_CHARTS_AFTER_SECONDS, _CHARTS_UNTIL_SECONDS = 30.0, 600.0


@dataclass(slots=True)
class ReconcileReport:
    """What one pass did, as names of Jobs or ids of work.

    Parameters
    ----------
    refused : list of str
        Work that has no Job because the API server did not take it.
    trouble : ClusterError or None
        What was denied or refused first.
    """

    created: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    restarted: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    trouble: ClusterError | None = None


class Reconciler:
    """See above.

    Parameters
    ----------
    send : callable
        Creates the Job of a kind of work and an id, with the number of its restarts; False if it
        is there already.
    leaving : dict of str to float
        Since when the pods of a Job, by its `uid`, were seen on their way out; kept from pass to
        pass. [seconds of time.monotonic]
    """

    def __init__(
        self,
        cluster: Cluster,
        store: Store,
        settings: Settings,
        send: Callable[[WorkKind, str, int], bool],
        leaving: dict[str, float],
    ) -> None:
        self._cluster, self._store, self._settings = cluster, store, settings
        self._send, self._leaving = send, leaving
        # What a pass was denied once and does not try again.
        self._denied: set[str] = set()

    def run_pass(self) -> ReconcileReport:
        """Look at every Job of ours, and at all work that should have one.

        Raises
        ------
        ClusterError, StorageUnavailable
            Where Jobs cannot even be listed, or the server went away; the next pass does the rest.
        """
        report = ReconcileReport()
        self._denied.clear()
        selector = build_selector(compute_instance(self._settings.database_url))
        found = self._cluster.list_jobs(selector)
        views = self._watch_leaving([view for item in found if (view := read_job(item))])
        for kind in _KINDS:
            mine = [view for view in views if view.kind == kind]
            standings = self.find_standings(kind, [view.work_id for view in mine])
            for view in mine:
                standing = standings.get(view.work_id)
                image = self._settings.kubernetes_image
                verdict = judge(view, standing, self._settings.max_attempts, image)
                if verdict.action == "keep" or verdict.action in self._denied:
                    continue
                with bind_work(view.kind, view.work_id):
                    try:
                        self._carry_out(view, verdict, report)
                    except ClusterDenied as error:
                        self._denied.add(verdict.action)
                        report.trouble = report.trouble or error
        # Last: what is refused for want of room may find it where something was deleted.
        for kind in _KINDS:
            self._create_missing(kind, {view.work_id for view in views}, report)
        return report

    def _watch_leaving(self, views: list[JobView]) -> list[JobView]:
        now = time.monotonic()
        since = {view.uid: self._leaving.get(view.uid, now) for view in views if view.is_leaving}
        self._leaving.clear()
        self._leaving.update(since)
        return [replace(v, leaving_seconds=now - since.get(v.uid, now)) for v in views]

    def find_standings(self, kind: WorkKind, ids: Sequence[str]) -> dict[str, Standing]:
        """Return how work of a kind stands, by id."""
        find = {
            "run": self._store.runs.find_standings,
            "sweep": self._store.sweeps.find_sweep_standings,
            "query": self._store.sweeps.find_query_standings,
        }[kind]
        found: dict[str, Standing] = {}
        for start in range(0, len(ids), _LOOKED_UP):
            found |= find(ids[start : start + _LOOKED_UP])
        return found

    def _carry_out(self, view: JobView, verdict: Verdict, report: ReconcileReport) -> None:
        if verdict.action == "say":
            self._say(view.kind, view.work_id, verdict.text, verdict.text)
        elif verdict.action == "delete":
            if self._cluster.delete(view.name, view.uid):
                report.deleted.append(view.name)
                log.info("job_deleted", job=view.name)
        elif verdict.action in ("restart", "renew"):
            # Of several who see it one deletes it, and that one counts.
            if self._cluster.delete(view.name, view.uid):
                restarts = view.restarts + (verdict.action == "restart")
                reason = verdict.text or "it ended without a result"
                log.warning("job_made_anew", job=view.name, restarts=restarts, reason=reason)
                report.restarted.append(view.name)
                self._create(view.kind, view.work_id, restarts, report)
        elif self._still_stands(view):
            self._fail(view, verdict.text, report)

    def _still_stands(self, view: JobView) -> bool:
        """Return whether it is this Job yet, and not one that a retry put in its place.

        A retry deletes the old Job before its work is queued again. The work was seen as open, so
        if the old Job is there after that, no retry came between.
        """
        document = self._cluster.get(view.name)
        return document is not None and document["metadata"]["uid"] == view.uid

    def _fail(self, view: JobView, text: str, report: ReconcileReport) -> None:
        hint = f"kubectl logs job/{view.name}"
        error: dict[str, Any] = {
            "code": "job_failed",
            "message": f"{text}; `{hint}` shows its log for a day",
            "errors": [],
            "remedy": f"read `{hint}` and `kubectl describe job/{view.name}`, then submit it again",
        }
        abandon = {
            "run": self._store.runs.abandon,
            "sweep": self._store.sweeps.abandon_sweep,
            "query": self._store.sweeps.abandon_query,
        }[view.kind]
        if abandon(view.work_id, error):
            report.failed.append(view.work_id)
            log.error("job_failed", state="failed", job=view.name, reason=text)

    def _say(self, kind: WorkKind, work_id: str, text: str, reason: str) -> None:
        """Say on work why it waits, and in the log, once, the whole reason."""
        note = {
            "run": self._store.runs.note_waiting,
            "sweep": self._store.sweeps.note_sweep_waiting,
        }.get(kind)  # a question says nothing; it is asked again
        if note is not None and note(work_id, text):
            log.warning("job_waits", job=build_job_name(kind, work_id), reason=reason)

    def _create_missing(self, kind: WorkKind, seen: set[str], report: ReconcileReport) -> None:
        wanted: dict[WorkKind, Callable[[], Iterable[str]]] = {
            "run": self._list_wanted_runs,
            "sweep": lambda: self._store.sweeps.list_active(BATCH),
            "query": lambda: self._store.sweeps.list_due_queries(RESEND_SECONDS, BATCH),
        }
        for work_id in wanted[kind]():
            if work_id in seen:
                continue
            if "create" in self._denied or len(report.refused) >= _MOST_REFUSED:
                return
            with bind_work(kind, work_id):
                if self._create(kind, work_id, 0, report):
                    report.created.append(work_id)

    def _create(self, kind: WorkKind, work_id: str, restarts: int, report: ReconcileReport) -> bool:
        try:
            return self._send(kind, work_id, restarts)
        except (ClusterDenied, ClusterRefused) as error:
            if report.trouble is None:
                report.trouble = error
            if isinstance(error, ClusterDenied):  # of no right or no room, as all others would be
                self._denied.add("create")
            report.refused.append(work_id)
            self._say(kind, work_id, error.brief, str(error))
            return False

    def _list_wanted_runs(self) -> tuple[str, ...]:
        chartless = self._store.runs.list_chartless(
            _CHARTS_AFTER_SECONDS, _CHARTS_UNTIL_SECONDS, BATCH
        )
        return (*self._store.runs.list_queued(BATCH), *chartless)


def bind_work(kind: WorkKind, work_id: str) -> AbstractContextManager[None]:
    """Name the work in every line of the log, a question by its own id."""
    if kind == "run":
        return bind_run(work_id)
    if kind == "sweep":
        return bind_sweep(work_id)
    return bind_run(work_id, query_id=work_id)
