"""The executor of web processes in a cluster; see the package."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
import time
import uuid
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

from backtest.errors import FieldError, InputError
from storage.errors import SchemaError, StorageUnavailable
from tasks.executors.kubernetes.answers import ClusterDenied, ClusterError, ClusterUnavailable
from tasks.executors.kubernetes.cluster import (
    IMPATIENT,
    PATIENT,
    Cluster,
    check_access,
    has_access,
)
from tasks.executors.kubernetes.jobs import (
    JobSpec,
    build_job_name,
    build_manifest,
    build_selector,
    build_spec,
    check_image,
    compute_completions,
    compute_instance,
    count_held_bars,
)
from tasks.executors.kubernetes.lean_client import check_client
from tasks.executors.kubernetes.reconcile import Reconciler, ReconcileReport, bind_work
from tasks.executors.port import RESEND_SECONDS, ExecutorHealth, ExecutorUnavailable, WorkKind
from tasks.logs import get_logger
from tasks.settings import PREFIX, Settings

if TYPE_CHECKING:
    from storage.store import Store
    from storage.sweep_records import SweepRecord

log = get_logger(__name__)

_LEASE = "executor"
# A turn outlasts three passes by so much: a slow pass is no reason to have two of them.
_TURN_SPARE_SECONDS = 4.0
# An answer of the API server vouches for it for this long, so that a burst asks once.
_VOUCHED_SECONDS = 0.5
# A server that was away is asked again after the first, a rule that was missing after the second.
_AWAY_SECONDS, _DENIED_SECONDS = 1.0, 10.0
_OLD_SECONDS = 60.0
_MAX_PAUSE_SECONDS = 15.0
_REMEMBERED = 4096
# Positions per second and bar of one process until a rule was swept here; see `tasks.sweeps`.
_ASSUMED_RATE = 100_000.0


def check_settings(settings: Settings) -> None:
    """Refuse settings with which no Job could be created.

    Raises
    ------
    InputError
        Naming the setting and the remedy.
    """
    wrong = check_image(settings.kubernetes_image)
    if wrong is not None:
        field = FieldError(f"{PREFIX}KUBERNETES_IMAGE", settings.kubernetes_image or None, wrong)
        raise InputError([field])
    check_access(os.environ)
    check_client()
    cluster = Cluster(settings)
    try:
        cluster.check_configured()
    except ClusterError as error:
        raise InputError.of(f"{PREFIX}EXECUTOR", "kubernetes", str(error)) from error


class KubernetesExecutor:
    """See `Executor`. Nothing is connected, and no client loaded, before it is needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.cluster = Cluster(settings)
        self._has_access = has_access(os.environ)
        self._lock = threading.Lock()
        self._trouble: ClusterError | None = None
        self._refuse_until = 0.0
        # Work that requests saw ended: its Job may go. What was seen to is remembered, as pages of
        # old runs are read again and again.
        self._ended: OrderedDict[tuple[WorkKind, str], bool] = OrderedDict()
        # Of Jobs that were deleted and whose name was not free at once.
        self._restarts: dict[str, int] = {}
        self._leaving: dict[str, float] = {}  # see `Reconciler`
        self._wake = threading.Event()
        self._is_started = False

    # -- handing over ---------------------------------------------------------------------------

    def check_ready(self) -> None:
        """Return if the API server answers, and took what it was sent last."""
        now = time.monotonic()
        trouble = self._trouble
        if trouble is not None and now < self._refuse_until:
            raise ExecutorUnavailable(str(trouble)) from trouble
        if trouble is None and now - self.cluster.last_answer < _VOUCHED_SECONDS:
            return
        try:
            self._probe()
        except ClusterError as error:
            raise ExecutorUnavailable(str(error)) from error

    def _probe(self) -> None:
        try:
            self.cluster.probe()
        except ClusterError as error:
            self._note_trouble(error)
            raise
        # That it lists says nothing of a right to create: such trouble ends when one succeeds, or
        # is old.
        is_old = time.monotonic() > self._refuse_until + _OLD_SECONDS
        if isinstance(self._trouble, ClusterUnavailable) or is_old:
            self._trouble = None

    def send_run(self, store: Store, run_id: str) -> bool:
        """Create a run's Job."""
        if not self._try_create(store, "run", run_id):
            return False
        store.runs.mark_sent(run_id)
        return True

    def send_sweep(self, store: Store, sweep_id: str) -> bool:
        """Create a sweep's Job, if it has none."""
        return self._try_create(store, "sweep", sweep_id)

    def send_query(self, store: Store, query_id: str) -> bool:
        """Create a question's Job, unless that was done just now."""
        if not store.sweeps.take_query_message(query_id, RESEND_SECONDS):
            return True
        return self._try_create(store, "query", query_id)

    def _try_create(self, store: Store, kind: WorkKind, work_id: str) -> bool:
        if not self._has_access:
            return False  # a process that only maintains: web processes find what is queued
        with bind_work(kind, work_id):
            try:
                self.create(store, kind, work_id, patience=IMPATIENT)
            except ClusterError as error:
                self._note_trouble(error)
                log.warning("job_not_created", error=str(error))
                if kind == "run":
                    store.runs.note_waiting(work_id, error.brief)
                elif kind == "sweep":
                    store.sweeps.note_sweep_waiting(work_id, error.brief)
                return False
        return True

    def create(
        self,
        store: Store,
        kind: WorkKind,
        work_id: str,
        restarts: int = 0,
        *,
        patience: float = PATIENT,
    ) -> bool:
        """Create the Job of stored work; False if there is one of its name, or no such work.

        Raises
        ------
        ClusterError, StorageUnavailable
        """
        spec = self._find_spec(store, kind, work_id, restarts)
        if spec is None:
            return False
        creation = self.cluster.create(build_manifest(spec), patience=patience)
        self._trouble = None
        if not creation.created:
            return False
        log.info("job_created", job=spec.name, completions=spec.completions, restarts=restarts)
        for text in creation.warnings:
            log.warning("job_warning", job=spec.name, warning=text)
        if creation.warnings:
            text = f"Kubernetes warns: {creation.warnings[0]}"
            if kind == "run":
                store.runs.note_waiting(work_id, text)
            elif kind == "sweep":
                store.sweeps.note_sweep_waiting(work_id, text)
        return True

    def _find_spec(
        self, store: Store, kind: WorkKind, work_id: str, restarts: int
    ) -> JobSpec | None:
        """Look up how large stored work is; None if there is no such work."""
        build = partial(build_spec, self._settings, self.cluster.namespace, kind, work_id)
        if kind == "run":
            run = store.runs.get(work_id)
            if run is None:
                return None
            n_bars = int(run.spec["dataset"]["n_bars"])
            return build(fingerprint=run.fingerprint, n_bars=n_bars, restarts=restarts)
        query = store.sweeps.get_query(work_id) if kind == "query" else None
        sweep = store.sweeps.get(query.sweep_id if query else work_id)
        if sweep is None:
            return None
        is_query = query is not None
        return build(
            fingerprint="" if is_query else sweep.fingerprint,
            n_bars=count_held_bars([int(item["n_bars"]) for item in sweep.spec["datasets"]]),
            n_positions=sweep.n_positions,
            completions=1 if is_query else self._count_pods(store, sweep),
            restarts=restarts,
        )

    def _count_pods(self, store: Store, sweep: SweepRecord) -> int:
        from tasks.sweep_queue import plan_chunks

        if sweep.method == "adaptive":  # its batches follow from each other
            return 1
        known = store.sweeps.find_rate(sweep.rule)
        rate = _ASSUMED_RATE if known is None else known[0] * known[1] / sweep.n_bars
        parallelism = self._settings.kubernetes_parallelism
        n_chunks = len(plan_chunks(0, sweep.n_positions, rate, parallelism).stops)
        return compute_completions(n_chunks, parallelism)

    # -- putting right --------------------------------------------------------------------------

    def find_lost_runs(self, store: Store) -> tuple[str, ...]:
        """Return nothing: reconciliation finds queued runs without a Job."""
        return ()

    def repair_sweeps(self, store: Store) -> None:
        """Do nothing, as above."""

    def clear(self, kind: WorkKind, work_id: str) -> None:
        """Delete the failed Job of earlier work, so that a new one can have its name."""
        try:
            self.cluster.delete(build_job_name(kind, work_id), patience=IMPATIENT)
        except ClusterError as error:
            self._note_trouble(error)
            raise ExecutorUnavailable(str(error)) from error

    def forget(self, kind: WorkKind, work_id: str) -> None:
        """Let the background delete the Job of work that has ended."""
        key = (kind, work_id)
        if not self._is_started or key in self._ended:
            return
        with self._lock:
            self._ended[key] = False
            while len(self._ended) > _REMEMBERED:
                self._ended.popitem(last=False)
        self._wake.set()

    def reconcile(self, store: Store) -> ReconcileReport:
        """Make one pass; see `Reconciler`."""
        return self._build_reconciler(store).run_pass()

    def delete_ended(self, store: Store) -> None:
        """Delete the Jobs of what requests saw ended, unless something of it follows yet."""
        with self._lock:
            waiting = [key for key, is_done in self._ended.items() if not is_done]
        reconciler = self._build_reconciler(store)
        for kind, work_id in waiting:
            standing = reconciler.find_standings(kind, [work_id]).get(work_id)
            is_seen_to = standing is None or standing.is_settled  # else the loop sees it later
            # A failed one stays for a day.
            if is_seen_to and (standing is None or standing.state != "failed"):
                try:
                    self._delete_job(kind, work_id)
                except ClusterDenied:
                    return  # the pass says so; it has other things to do as well
            with self._lock:
                # What is paused may go on, and end again.
                if is_seen_to and (standing is None or standing.state != "paused"):
                    self._ended[kind, work_id] = True
                else:
                    self._ended.pop((kind, work_id), None)

    def _delete_job(self, kind: WorkKind, work_id: str) -> None:
        name = build_job_name(kind, work_id)
        with bind_work(kind, work_id):
            if self.cluster.delete(name, patience=IMPATIENT):
                log.info("job_deleted", job=name)

    def build_selector(self) -> str:
        """Return what selects the Jobs of this platform."""
        return build_selector(compute_instance(self._settings.database_url))

    def _build_reconciler(self, store: Store) -> Reconciler:
        def send(kind: WorkKind, work_id: str, restarts: int) -> bool:
            restarts = max(restarts, self._restarts.pop(work_id, 0))
            created = self.create(store, kind, work_id, restarts)
            if not created and restarts:
                self._restarts[work_id] = restarts
            if kind == "run":
                store.runs.mark_sent(work_id)
            return created

        return Reconciler(self.cluster, store, self._settings, send, self._leaving)

    # -- the background of a web process --------------------------------------------------------

    def start(self) -> None:
        """Reconcile, and maintain what workers would, from threads of this process."""
        from tasks.maintenance import start_maintenance

        with self._lock:
            if self._is_started:
                return
            self._is_started = True
        start_maintenance(self._settings)
        threading.Thread(target=self._work_forever, name="executor", daemon=True).start()

    def _work_forever(self) -> None:
        from storage.database import create_database
        from storage.store import Store

        store = Store(create_database(self._settings.database_url))
        holder = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        interval = self._settings.kubernetes_interval_seconds
        turn_seconds = 3 * interval + _TURN_SPARE_SECONDS
        self._introduce()
        pause, next_pass, said = interval, 0.0, ""
        while True:
            self._wake.wait(max(0.05, min(pause, next_pass - time.monotonic())))
            self._wake.clear()
            try:
                self.delete_ended(store)
                if time.monotonic() >= next_pass:
                    next_pass = time.monotonic() + interval
                    if store.leases.acquire(_LEASE, holder, turn_seconds):
                        self._note_pass(self.reconcile(store))
            except (ClusterError, StorageUnavailable, SchemaError) as error:
                if isinstance(error, ClusterError):
                    self._note_trouble(error)
                if str(error) != said:
                    log.warning("executor_waits", reason=str(error))
                said = str(error)
                pause = min(2 * pause, _MAX_PAUSE_SECONDS)
                wait = pause * random.uniform(0.5, 1.0)  # noqa: S311  # jitter
                next_pass = time.monotonic() + wait
                time.sleep(min(wait, interval))
                continue
            except Exception:
                # A mistake of ours in one pass is no reason to make no other.
                log.exception("executor_crashed")
                next_pass = time.monotonic() + _MAX_PAUSE_SECONDS
                continue
            if said:
                log.info("executor_resumes")
            pause, said = interval, ""

    def _introduce(self) -> None:
        """Say in the log who we are to the API server, or what keeps it from telling."""
        try:
            user = self.cluster.ask_identity()
            namespace = self.cluster.namespace
        except ClusterError as error:
            log.error("kubernetes_refuses", reason=str(error))
            return
        log.info("kubernetes_identity", user=user, namespace=namespace)

    # -- what others may know -------------------------------------------------------------------

    def check_health(self, *, count_workers: bool) -> ExecutorHealth:
        """Say whether Jobs can be created; pods that are there to serve pages stay in service."""
        if count_workers:
            with contextlib.suppress(ClusterError):  # noted
                self._probe()
        trouble = self._trouble
        if trouble is None:
            return ExecutorHealth("unused")
        reason = f"Kubernetes takes no Jobs: {trouble}; what was accepted waits"
        return ExecutorHealth("unused", reasons=(reason,))

    def describe_log(self, kind: WorkKind, work_id: str) -> str:
        """Name the command that shows a Job's log."""
        return f"`kubectl logs job/{build_job_name(kind, work_id)}` shows it"

    def _note_pass(self, report: ReconcileReport) -> None:
        """Know what a pass was denied; new work is refused only where no Job can be created."""
        trouble = report.trouble
        if isinstance(trouble, ClusterDenied) and report.refused and not report.created:
            self._note_trouble(trouble)
        elif trouble is None or not report.created:
            self._trouble = trouble

    def _note_trouble(self, error: ClusterError) -> None:
        seconds = _AWAY_SECONDS if isinstance(error, ClusterUnavailable) else _DENIED_SECONDS
        if self._trouble is None and isinstance(error, ClusterDenied):
            log.error("kubernetes_refuses", reason=str(error))
        self._trouble = error
        self._refuse_until = time.monotonic() + seconds
