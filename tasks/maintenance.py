"""Putting right what machines lose: work of dead workers, and messages that never arrived.

Every process of every worker carries it, and a process of its own may: one of them at a time, by a
lease in the database that passes to another within seconds. The lease spares work and guards
nothing: any number of passes may run at the same time, as leases expire by the database's clock in
one statement, and a message sent twice finds its run claimed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from storage.database import create_database
from storage.errors import SchemaError, StorageUnavailable
from storage.store import Store
from tasks.executors import get_executor
from tasks.logs import bind_run, bind_sweep, get_logger
from tasks.measures import REPAIRS, count
from tasks.notify import Notifier
from tasks.settings import Settings
from tasks.submit import dispatch_run

if TYPE_CHECKING:
    from storage.sweep_control import LostChunks

log = get_logger(__name__)

# Younger rows are still in the hands of whoever submits them.
_UNSENT_AFTER_SECONDS = 2.0
# Charts follow their result within a second or so; after the latter they are given up.
_CHARTS_AFTER_SECONDS, _CHARTS_UNTIL_SECONDS = 30.0, 600.0
_BATCH = 1000
_LEASE = "maintenance"
# A turn outlasts three passes by so much: a slow pass is no reason to have two of them.
_TURN_SPARE_SECONDS = 4.0
# A database that takes so long for one row was away.
_SLOW_SECONDS = 1.0
_SILENT = "its worker stopped reporting"
_LOST_ON_EVERY = "its worker was lost on every attempt"
# Rows of deleted sweeps are removed for so long in each pass.
_PURGE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class MaintenanceReport:
    """What one pass did.

    Parameters
    ----------
    requeued, failed : tuple of str
        Runs whose worker was lost: started again, or given up after too many attempts.
    sent : tuple of str
        Runs whose message was sent (again).
    n_purged : int
        Finished runs and sweeps older than the retention that were deleted.
    chunks_requeued, chunks_failed : tuple of (str, int)
        Chunks of sweeps whose worker was lost.
    """

    requeued: tuple[str, ...]
    failed: tuple[str, ...]
    sent: tuple[str, ...]
    n_purged: int
    chunks_requeued: tuple[tuple[str, int], ...] = ()
    chunks_failed: tuple[tuple[str, int], ...] = ()


def run_maintenance_pass(
    store: Store, settings: Settings, judged_at: datetime | None = None
) -> MaintenanceReport:
    """Expire leases, send what is queued without a message, purge what is past its retention.

    Parameters
    ----------
    judged_at : datetime, optional
        Leases that ended before it are over: a time of the database's clock, by default now. With
        the time of a look at everything, what stands still after that look costs nobody a lease.

    Raises
    ------
    StorageUnavailable
        If the database cannot be reached; the next pass does the rest.
    """
    requeued, failed = store.runs.expire_leases(settings.max_attempts, judged_at)
    for run_id in requeued:
        with bind_run(run_id):
            log.warning("run_requeued", state="queued", reason=_SILENT)
    for run_id in failed:
        with bind_run(run_id):
            log.error("run_given_up", state="failed", reason=_LOST_ON_EVERY)
    sent: list[str] = []
    waiting = [
        *requeued,
        *store.runs.list_unsent(_UNSENT_AFTER_SECONDS, _BATCH),
        *get_executor(settings).find_lost_runs(store),
        *store.runs.list_chartless(_CHARTS_AFTER_SECONDS, _CHARTS_UNTIL_SECONDS, _BATCH),
    ]
    for run_id in dict.fromkeys(waiting):
        with bind_run(run_id):
            if not dispatch_run(store, settings, run_id):
                break  # the broker is down: the rest would wait for its timeout one by one
            log.info("run_sent_again")
        sent.append(run_id)
    chunks = _maintain_sweeps(store, settings, judged_at)
    report = MaintenanceReport(
        requeued, failed, tuple(sent), _purge(store, settings), chunks.requeued, chunks.failed
    )
    _count_repairs(store, report)
    return report


def _count_repairs(store: Store, report: MaintenanceReport) -> None:
    for action, n in (
        ("run_requeued", len(report.requeued)),
        ("run_given_up", len(report.failed)),
        ("run_sent_again", len(report.sent)),
        ("chunk_requeued", len(report.chunks_requeued)),
        ("chunk_given_up", len(report.chunks_failed)),
        ("purged", report.n_purged),
    ):
        count(store, REPAIRS, action, n=n)


def _maintain_sweeps(store: Store, settings: Settings, judged_at: datetime | None) -> LostChunks:
    """Free chunks of dead workers; send what is due for every sweep that goes on."""
    lost = store.sweeps.expire_chunks(settings.max_attempts, judged_at)
    for sweep_id, idx in lost.requeued:
        with bind_sweep(sweep_id, chunk=idx):
            log.warning("chunk_requeued", chunk_state="queued", reason=_SILENT)
    for sweep_id, idx in lost.failed:
        with bind_sweep(sweep_id, chunk=idx):
            log.error("chunk_given_up", chunk_state="failed", reason=_LOST_ON_EVERY)
    get_executor(settings).repair_sweeps(store)
    return lost


def maintain_forever(store: Store, settings: Settings, stop: threading.Event) -> None:
    """Make a pass every `maintenance_interval_seconds` while it is our turn, until `stop`."""
    turn = Turn(store, settings)
    notifier = Notifier(store, settings)
    available = True
    while not stop.wait(turn.pause):
        try:
            if turn.take():
                run_maintenance_pass(store, settings, turn.looked_at)
                notifier.look()
                turn.look()
        except (StorageUnavailable, SchemaError) as error:
            if available:
                log.warning("maintenance_waits", error=str(error))
            available = False
            turn.wait_for_workers()
            continue
        if not available:
            log.info("maintenance_resumes")
        available = True
    turn.give_up()


class Turn:
    """Whose turn it is, and whether workers could report long enough to be judged.

    While the database was away no worker could renew its lease. Nor could one while the whole
    machine stood still: then more time has gone by since the last look, by the database's clock,
    than was meant to. Either way each worker is given the time of a lease before its silence counts
    against it. A database whose clock was put forward looks the same.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._holder = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex[:8]}"
        self._is_mine = False
        self._judge_after = 0.0
        self.looked_at: datetime | None = None

    @property
    def pause(self) -> float:
        """Seconds until the next look; who only waits for a turn looks less often."""
        return self._settings.maintenance_interval_seconds * (1.0 if self._is_mine else 1.5)

    def take(self) -> bool:
        """Return whether to make a pass now."""
        started = time.monotonic()
        seconds = 3 * self._settings.maintenance_interval_seconds + _TURN_SPARE_SECONDS
        stood_still = self.look() > self.pause + self._settings.lease_seconds / 2
        self._is_mine = self._store.leases.acquire(_LEASE, self._holder, seconds)
        if stood_still or time.monotonic() - started > _SLOW_SECONDS:
            self.wait_for_workers()
        return self._is_mine and time.monotonic() >= self._judge_after

    def look(self) -> float:
        """Look at the database's clock; return the seconds since the look before."""
        before, self.looked_at = self.looked_at, self._store.leases.read_clock()
        return 0.0 if before is None else (self.looked_at - before).total_seconds()

    def wait_for_workers(self) -> None:
        """Begin the time that workers have to report."""
        self._is_mine = False
        self._judge_after = time.monotonic() + self._settings.lease_seconds

    def give_up(self) -> None:
        """Let others have the turn at once."""
        if self._is_mine:
            with contextlib.suppress(StorageUnavailable, SchemaError):  # then it runs out
                self._store.leases.release(_LEASE, self._holder)


def start_maintenance(settings: Settings) -> None:
    """Maintain from a thread of this process for as long as it lives.

    With connections of its own, made after any fork.
    """
    store = Store(create_database(settings.database_url))
    threading.Thread(
        target=maintain_forever,
        args=(store, settings, threading.Event()),
        name="maintenance",
        daemon=True,
    ).start()


def _purge(store: Store, settings: Settings) -> int:
    store.sweeps.purge_deleted(_PURGE_SECONDS)
    if settings.audit_days > 0:
        store.audit.purge(settings.audit_days)
    if settings.retention_days <= 0:
        return 0
    old = store.runs.list_finished_before(settings.retention_days, _BATCH)
    n_runs = sum(store.runs.delete(run_id) for run_id in old)
    old = store.sweeps.list_finished_before(settings.retention_days, _BATCH)
    n_sweeps = sum(store.sweeps.delete(sweep_id) for sweep_id in old)
    if n_runs or n_sweeps:
        log.info(
            "runs_purged",
            n_runs=n_runs,
            n_sweeps=n_sweeps,
            retention_days=settings.retention_days,
        )
    return n_runs + n_sweeps
