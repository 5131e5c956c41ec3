"""Work is sent to Celery workers, as messages that carry ids.

Of a sweep a few messages at a time are in the broker, whatever its size: whoever finishes a chunk
sends the next ones, so that nobody waits for a planner; maintenance does the same for every sweep
in case that nobody did. The database decides which chunk is sent by whom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu.exceptions import KombuError, OperationalError
from redis.exceptions import RedisError

from tasks.executors.port import BATCH, RESEND_SECONDS, ExecutorHealth, WorkKind
from tasks.logs import bind_sweep, get_logger
from tasks.measures import REPAIRS, count
from tasks.messages import (
    RUN_QUEUE,
    SWEEP_QUEUE,
    count_workers,
    send_chunk,
    send_finish,
    send_query,
    send_run,
)
from tasks.queue_depth import count_broker
from tasks.settings import Settings, redact_text

if TYPE_CHECKING:
    from storage.store import Store

log = get_logger(__name__)

# Between the broker handing over a message and the worker's claim a run is queued but in no queue.
_LOST_AFTER_SECONDS = 10.0
# Idle workers answer the first ping; busy ones may need the second, longer one.
_PING_SECONDS = (0.5, 1.0)


class CeleryExecutor:
    """See `Executor`. A broker that is down is no error of the sender: maintenance tries again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def check_ready(self) -> None:
        """Return: what the broker does not take now is stored, and sent when it is back."""

    def send_run(self, store: Store, run_id: str) -> bool:
        """Send a run's message."""
        try:
            send_run(self._settings, run_id)
        except (OperationalError, OSError) as error:
            log.warning("run_not_sent", error=redact_text(str(error)))
            return False
        store.runs.mark_sent(run_id)
        return True

    def send_sweep(self, store: Store, sweep_id: str) -> bool:
        """Send the messages of chunks that are due, or the finaliser's."""
        due = store.sweeps.take_messages(sweep_id)
        sent = 0
        try:
            for idx in due.chunks:
                send_chunk(self._settings, sweep_id, idx)
                sent += 1
            if due.is_complete and store.sweeps.take_finish_message(sweep_id, RESEND_SECONDS):
                send_finish(self._settings, sweep_id)
        except (OperationalError, OSError) as error:
            with bind_sweep(sweep_id):
                log.warning("chunks_not_sent", error=redact_text(str(error)))
            store.sweeps.unmark_sent(sweep_id, due.chunks[sent:])
            return False
        return True

    def send_query(self, store: Store, query_id: str) -> bool:
        """Send a question, unless that was done just now."""
        if not store.sweeps.take_query_message(query_id, RESEND_SECONDS):
            return True
        try:
            send_query(self._settings, query_id)
        except (OperationalError, OSError) as error:
            log.warning("query_not_sent", error=redact_text(str(error)))
            return False
        return True

    def find_lost_runs(self, store: Store) -> tuple[str, ...]:
        """Return runs whose messages the broker lost.

        A broker that lost its data says nothing; it only has fewer messages than there are runs.
        """
        n_overdue = store.runs.count_undelivered(_LOST_AFTER_SECONDS)
        if n_overdue == 0:
            return ()
        # What is handed out does not count. A message that a worker took is claimed within
        # milliseconds, and one that a dead worker took stays handed out for a minute, or, if its
        # clock was ahead, for hours.
        found = count_broker(self._settings, RUN_QUEUE)
        if found is None or found[0] >= n_overdue:
            return ()
        return store.runs.list_undelivered(_LOST_AFTER_SECONDS, BATCH)

    def repair_sweeps(self, store: Store) -> None:
        """Send what is due for every sweep that goes on, and for every question.

        A sweep whose last worker died after its last chunk is finalised by the same way.
        """
        self._release_lost_chunks(store)
        for sweep_id in store.sweeps.list_active(BATCH):
            if not self.send_sweep(store, sweep_id):
                return  # the broker is down
        for query_id in store.sweeps.list_due_queries(RESEND_SECONDS, BATCH):
            if not self.send_query(store, query_id):
                return

    def _release_lost_chunks(self, store: Store) -> None:
        # Compared with the queue alone: what a worker has taken is claimed within milliseconds, so
        # a chunk that waits for seconds has its message in the queue, or nowhere.
        n_waiting = store.sweeps.count_overdue(RESEND_SECONDS)
        if n_waiting == 0:
            return
        found = count_broker(self._settings, SWEEP_QUEUE)
        if found is None or found[0] >= n_waiting:
            return
        n_released = store.sweeps.release_overdue(RESEND_SECONDS)
        count(store, REPAIRS, "chunk_released", n=n_released)
        log.warning("chunks_lost_by_broker", n_chunks=n_released, n_messages=found[0])

    def forget(self, kind: WorkKind, work_id: str) -> None:
        """Do nothing: a message that comes too late finds its work done."""

    def clear(self, kind: WorkKind, work_id: str) -> None:
        """Do nothing, as above."""

    def start(self) -> None:
        """Do nothing: workers carry maintenance."""

    def check_health(self, *, count_workers: bool) -> ExecutorHealth:
        """Ask the broker, and through it the workers."""
        try:
            workers = _ask_workers(self._settings, _PING_SECONDS if count_workers else ())
        except (KombuError, RedisError, OSError):
            return ExecutorHealth("unreachable")
        return ExecutorHealth("ok", workers if count_workers else None)

    def describe_log(self, kind: WorkKind, work_id: str) -> str:
        """Name the workers' log."""
        return f"the worker's log has it under this {kind}_id"


_ask_workers = count_workers
