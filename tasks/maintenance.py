"""Putting right what machines lose: runs of dead workers, and messages that never arrived.

Any number of these may run at the same time: leases expire by the database's clock in one
statement, and a message sent twice finds its run claimed.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis

from storage.errors import SchemaError, StorageUnavailable
from tasks.celery_app import RUN_QUEUE
from tasks.logs import bind_run, get_logger
from tasks.settings import Settings
from tasks.submit import dispatch_run

if TYPE_CHECKING:
    from storage.store import Store

log = get_logger(__name__)

# Younger rows are still in the hands of whoever submits them.
_UNSENT_AFTER_SECONDS = 2.0
# Between the broker handing over a message and the worker's claim a run is queued but in no queue.
_LOST_AFTER_SECONDS = 10.0
_BATCH = 1000


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
        Finished runs older than the retention that were deleted.
    """

    requeued: tuple[str, ...]
    failed: tuple[str, ...]
    sent: tuple[str, ...]
    n_purged: int


def run_maintenance_pass(store: Store, settings: Settings) -> MaintenanceReport:
    """Expire leases, send what is queued without a message, purge what is past its retention.

    Raises
    ------
    StorageUnavailable
        If the database cannot be reached; the next pass does the rest.
    """
    requeued, failed = store.runs.expire_leases(settings.max_attempts)
    for run_id in requeued:
        with bind_run(run_id):
            log.warning("run_requeued", reason="its worker stopped reporting")
    for run_id in failed:
        with bind_run(run_id):
            log.error("run_given_up", reason="its worker was lost on every attempt")
    sent: list[str] = []
    waiting = [
        *requeued,
        *store.runs.list_unsent(_UNSENT_AFTER_SECONDS, _BATCH),
        *_find_lost(store, settings),
    ]
    for run_id in dict.fromkeys(waiting):
        with bind_run(run_id):
            if not dispatch_run(store, settings, run_id):
                break  # the broker is down: the rest would wait for its timeout one by one
            log.info("run_sent_again")
        sent.append(run_id)
    return MaintenanceReport(requeued, failed, tuple(sent), _purge(store, settings))


def maintain_forever(store: Store, settings: Settings, stop: threading.Event) -> None:
    """Make a pass every `maintenance_interval_seconds` until `stop` is set."""
    available = True
    while not stop.wait(settings.maintenance_interval_seconds):
        try:
            run_maintenance_pass(store, settings)
        except (StorageUnavailable, SchemaError) as error:
            if available:
                log.warning("maintenance_waits", error=str(error))
            available = False
            continue
        if not available:
            log.info("maintenance_resumes")
        available = True


def count_messages(settings: Settings) -> int | None:
    """Return how many messages the broker holds, waiting or handed out; None if it is silent."""
    timeout = settings.broker_timeout_seconds
    client = redis.Redis.from_url(
        settings.broker_url, socket_timeout=timeout, socket_connect_timeout=timeout
    )
    try:
        with client, client.pipeline(transaction=True) as pipeline:
            pipeline.llen(RUN_QUEUE)
            pipeline.hlen("unacked")
            waiting, handed_out = pipeline.execute()
    except redis.RedisError:
        return None
    return int(waiting) + int(handed_out)


def _purge(store: Store, settings: Settings) -> int:
    if settings.retention_days <= 0:
        return 0
    old = store.runs.list_finished_before(settings.retention_days, _BATCH)
    n_purged = sum(store.runs.delete(run_id) for run_id in old)
    if n_purged:
        log.info("runs_purged", n_runs=n_purged, retention_days=settings.retention_days)
    return n_purged


def _find_lost(store: Store, settings: Settings) -> list[str]:
    # A broker that lost its data says nothing; it only has fewer messages than there are runs.
    if settings.executor != "celery":
        return []
    counts = store.runs.counts()
    if counts["queued"] == 0:
        return []
    n_messages = count_messages(settings)
    # A running run has its message still, as that is acknowledged late.
    if n_messages is None or n_messages >= counts["queued"] + counts["running"]:
        return []
    return list(store.runs.list_undelivered(_LOST_AFTER_SECONDS, _BATCH))
