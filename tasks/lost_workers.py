"""What a worker's parent does when one of its processes ends in the middle of a task.

It knows what nobody else can: how the process ended. It holds no connection to the database, as
processes are forked from it, so it sends a message that any process executes: the lease ends at
once instead of running out, and work that kills its process every time ends with that exit in its
error. Should the message be lost, the lease runs out all the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import WorkerLostError
from celery.app.task import Task
from celery.worker.request import Request
from kombu.exceptions import OperationalError

from tasks.celery_app import create_celery_app
from tasks.execute import finish_charts
from tasks.logs import bind_run, get_logger
from tasks.measures import REPAIRS, count
from tasks.messages import (
    CHUNK_TASK,
    FINISH_TASK,
    LOST_TASK,
    QUERY_TASK,
    RUN_TASK,
)
from tasks.settings import Settings, redact_text
from tasks.submit import dispatch_run
from tasks.sweep_queue import dispatch_query, dispatch_sweep

if TYPE_CHECKING:
    from celery import Celery

    from storage.store import Store

log = get_logger(__name__)

_EXIT = re.compile(r"signal \d+ \(\w+\)|signal \d+|exitcode -?\d+")
# What a person may not know of a signal that the system sends on its own account.
_EXPLAINED = {
    "signal 9 (SIGKILL)": "signal 9 (SIGKILL: ended from outside, as the system does when memory "
    "runs out)",
}


class LossReporter:
    """Sends what the parent saw, from its event loop and from no thread.

    A thread could hold one of Kombu's locks while the loop forks the process that replaces the
    lost one, which would wait for that lock for ever. A silent broker holds the loop for its
    timeout; there is nothing else that the loop could do with it.
    """

    def __init__(self, settings: Settings) -> None:
        # An application of its own: the one of the pool's processes must not cross a fork.
        self._app: Celery = create_celery_app(settings)

    def report(self, task: str, args: list[Any], worker: str, how: str) -> None:
        """Send the report of one loss; what cannot be sent is logged and left to the lease."""
        with bind_run(str(args[0])):
            log.warning("process_lost", task=task, worker=worker, how=how)
            try:
                self._app.send_task(LOST_TASK, args=[task, args, worker, how])
            except (OperationalError, OSError) as error:
                log.warning("loss_not_reported", error=redact_text(str(error)))


def build_task_class(reporter: LossReporter) -> type[Task]:
    """Return the base of all tasks of a worker: one that reports lost processes."""

    class ReportingRequest(Request):  # type: ignore[misc]  # Celery publishes no types
        """A message in the parent's hands; Celery's documented place for this."""

        def on_failure(
            self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
        ) -> None:
            super().on_failure(exc_info, send_failed_event, return_ok)
            error = exc_info.exception
            if isinstance(error, ExceptionWithTraceback):
                error = error.exc
            if isinstance(error, WorkerLostError | SystemExit) and self.name != LOST_TASK:
                self._report(describe_exit(error))

        def on_timeout(self, soft: bool, timeout: float) -> None:
            super().on_timeout(soft, timeout)
            if not soft:  # it did not heed the soft limit, and is being killed
                self._report(f"killed after its time limit of {timeout:g} s")

        def _report(self, how: str) -> None:
            reporter.report(self.name, list(self.args), f"{self.hostname}/{self.worker_pid}", how)

    class ReportingTask(Task):  # type: ignore[misc]  # as above
        """See `ReportingRequest`."""

        Request = ReportingRequest

    return ReportingTask


def describe_exit(error: BaseException) -> str:
    """Return how a process ended, as a person may read it.

    Parameters
    ----------
    error : WorkerLostError or SystemExit
        ``Worker exited prematurely: signal 9 (SIGKILL) Job: 5.``
    """
    if isinstance(error, SystemExit):
        return f"exit code {error.code if error.code is not None else 0}"
    found = _EXIT.search(str(error))
    if found is None:
        return str(error)[:100]
    text = found.group().replace("exitcode", "exit code")
    return _EXPLAINED.get(text, text)


def execute_report(
    store: Store, settings: Settings, task: str, args: list[Any], worker: str, how: str
) -> str:
    """Execute one report: free what the lost process held, and send for it again.

    Returns
    -------
    str
        ``queued``, ``failed`` or ``nothing``.

    Raises
    ------
    StorageUnavailable
        If the database went away; the leases run out instead.
    """
    subject = str(args[0])
    sweep = {"sweep_id": subject} if task in (CHUNK_TASK, FINISH_TASK) else {}
    with bind_run(subject, **sweep):
        outcome: str | None = None
        if task == RUN_TASK:
            outcome = store.runs.report_lost(subject, worker, how, settings.max_attempts)
            if outcome == "queued":
                dispatch_run(store, settings, subject)
            elif outcome is None:
                # It may have died over the charts. Should they kill this process too, that is not
                # reported again.
                finish_charts(store, subject)
        elif task == CHUNK_TASK:
            outcome = store.sweeps.report_lost_chunk(
                subject, int(args[1]), worker, how, settings.max_attempts
            )
            dispatch_sweep(store, settings, subject)
        elif task == FINISH_TASK:
            store.sweeps.report_lost_finaliser(subject, worker, how)
            dispatch_sweep(store, settings, subject)
        elif task == QUERY_TASK:
            store.sweeps.report_lost_query(subject, worker, how)
            dispatch_query(store, settings, subject)
        changed: dict[str, Any] = {}
        if outcome in ("queued", "failed") and task == RUN_TASK:
            changed = {"state": outcome}
        elif outcome in ("queued", "failed") and task == CHUNK_TASK:
            changed = {"chunk_state": outcome, "chunk": int(args[1])}
        if changed:
            kind = "run" if task == RUN_TASK else "chunk"
            count(store, REPAIRS, f"{kind}_{'requeued' if outcome == 'queued' else 'given_up'}")
        log.info("loss_reported", task=task, how=how, outcome=outcome, **changed)
        return outcome or "nothing"
