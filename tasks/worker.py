"""The worker: a Celery worker whose processes have the kernels loaded before the first message."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import orjson
from celery import Celery, signals
from celery.apps import worker as apps_worker
from celery.worker import state

from storage.database import create_database
from storage.errors import SchemaError, StorageUnavailable
from storage.schema import check_schema
from storage.store import Store
from tasks.celery_app import create_celery_app
from tasks.execute import BarsCache, execute_run
from tasks.kernel_cache import prepare_numba
from tasks.liveness import watch_worker
from tasks.logs import configure_logging, get_logger
from tasks.lost_workers import LossReporter, build_task_class, execute_report
from tasks.maintenance import start_maintenance
from tasks.messages import CHUNK_TASK, FINISH_TASK, LOST_TASK, QUERY_TASK, QUEUES, RUN_TASK
from tasks.notify import check_urls
from tasks.process_guard import die_with_parent
from tasks.process_memory import limit_heap_growth
from tasks.settings import Settings
from tasks.submit import dispatch_run
from tasks.sweep_execute import EvaluatorCache, execute_chunk
from tasks.sweep_finish import execute_finish, execute_query
from tasks.sweep_queue import dispatch_query, dispatch_sweep

if TYPE_CHECKING:
    from celery.app.task import Task

log = get_logger(__name__)


class WorkerProcess:
    """What one pool process holds between runs: its database connections and its bars.

    Built in the parent, filled in the child: connections must never cross a fork.

    Parameters
    ----------
    processes : int
        How many of these share a sweep.
    """

    def __init__(self, settings: Settings, processes: int) -> None:
        self.settings, self.processes = settings, processes
        self.cache = BarsCache()
        self.sweeps = EvaluatorCache(self.cache)
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """The store of this process, connected on first use."""
        if self._store is None:
            self._store = Store(create_database(self.settings.database_url))
        return self._store

    def execute(self, run_id: str, worker: str) -> str:
        """Execute one message; see `tasks.execute.execute_run`."""
        try:
            return execute_run(self.store, self.settings, run_id, worker, self.cache)
        except SystemExit:
            dispatch_run(self.store, self.settings, run_id)  # what was handed back
            raise

    def execute_chunk(self, sweep_id: str, idx: int, worker: str) -> str:
        """Execute one message of a sweep, and send those that follow from it."""
        try:
            outcome = execute_chunk(
                self.store, self.settings, sweep_id, idx, worker, self.sweeps, self.processes
            )
        except SystemExit:
            dispatch_sweep(self.store, self.settings, sweep_id)  # what was handed back
            raise
        if outcome != "duplicate":
            dispatch_sweep(self.store, self.settings, sweep_id)
        return outcome

    def finish_sweep(self, sweep_id: str, worker: str) -> str:
        """Execute one message to a sweep's finaliser."""
        try:
            return execute_finish(self.store, self.settings, sweep_id, self.sweeps, worker)
        except SystemExit:
            dispatch_sweep(self.store, self.settings, sweep_id)  # what was handed back
            raise

    def answer_query(self, query_id: str, worker: str) -> str:
        """Execute one message that asks about a sweep's numbers."""
        try:
            return execute_query(self.store, self.settings, query_id, self.cache, worker)
        except SystemExit:
            dispatch_query(self.store, self.settings, query_id)  # what was handed back
            raise

    def report_lost(self, task: str, args: list[Any], worker: str, how: str) -> str:
        """Execute one message about a process that ended; see `tasks.lost_workers`."""
        return execute_report(self.store, self.settings, task, args, worker, how)


def build_worker_app(settings: Settings, processes: int = 1) -> Celery:
    """Return the Celery application with its tasks and the start-up of its processes."""
    app = create_celery_app(settings)
    process = WorkerProcess(settings, settings.worker_processes or processes)

    def name_worker(task: Task) -> str:
        return f"{task.request.hostname}/{os.getpid()}"

    def run(task: Task, run_id: str) -> str:
        return process.execute(run_id, name_worker(task))

    def compute_chunk(task: Task, sweep_id: str, idx: int) -> str:
        return process.execute_chunk(sweep_id, idx, name_worker(task))

    def finish(task: Task, sweep_id: str) -> str:
        return process.finish_sweep(sweep_id, name_worker(task))

    def answer(task: Task, query_id: str) -> str:
        return process.answer_query(query_id, name_worker(task))

    def report_lost(task: Task, lost: str, args: list[Any], worker: str, how: str) -> str:
        return process.report_lost(lost, args, worker, how)

    tasks = {
        RUN_TASK: run,
        CHUNK_TASK: compute_chunk,
        FINISH_TASK: finish,
        QUERY_TASK: answer,
        LOST_TASK: report_lost,
    }

    def end_process(**_: Any) -> None:
        with contextlib.suppress(StorageUnavailable, SchemaError):
            process.store.counters.flush()

    # Celery keeps weak references to receivers unless told otherwise.
    signals.worker_process_shutdown.connect(end_process, weak=False)
    base = build_task_class(LossReporter(settings))
    for name, function in tasks.items():
        app.task(function, name=name, bind=True, base=base)
    return app


def run_worker(
    settings: Settings, *, concurrency: int, name: str = "worker", queues: str = ",".join(QUEUES)
) -> int:
    """Run a worker until it is told to stop; return the process's exit code.

    Parameters
    ----------
    concurrency : int
        Processes that execute runs, each one at a time.
    name : str
        Node name in front of the host name, unique per broker and host.
    queues : str
        Comma-separated queues to take messages from.

    Raises
    ------
    SchemaError
        If the database is empty or outdated; the message names the command to run.
    StorageUnavailable
        If the database cannot be reached.
    """
    configure_logging(settings, "worker")
    check_urls(settings.notify_urls)
    prepare_numba()
    limit_heap_growth()
    started = time.perf_counter()
    warm_kernels()
    log.info("kernels_ready", seconds=round(time.perf_counter() - started, 2))
    # After the kernels: on a first start, when these take longest, `up` migrates meanwhile.
    database = create_database(settings.database_url)
    check_schema(database)
    database.dispose()
    app = build_worker_app(settings, concurrency)
    _connect_signals(settings)
    worker = app.Worker(
        hostname=f"{name}@{socket.gethostname()}",
        pool_cls="prefork",
        concurrency=concurrency,
        queues=queues,
        loglevel=settings.log_level,
        # Both talk to every other worker at start and serve nothing that we use.
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    _stop_softly(settings, worker)
    watch_worker(settings, name, concurrency, lambda: len(state.active_requests))
    worker.start()
    return int(worker.exitcode or 0)


def _connect_signals(settings: Settings) -> None:
    def keep_our_logging(**_: Any) -> None:
        """Tell Celery by being connected that logging is configured already."""

    def start_process(**_: Any) -> None:
        die_with_parent()
        configure_logging(settings, "worker")
        start_maintenance(settings)

    if settings.log_format == "json":
        apps_worker.safe_say = _say
    # Celery keeps weak references to receivers unless told otherwise.
    signals.setup_logging.connect(keep_our_logging, weak=False)
    signals.worker_process_init.connect(start_process, weak=False)


def _stop_softly(settings: Settings, worker: Any) -> None:
    """Let tasks go on for a while after SIGTERM, then have their processes hand them back.

    Celery itself would wait for tasks as long as they take, and whoever sent the signal does not.
    """

    def hand_back() -> None:
        pool = worker.pool and getattr(worker.pool, "_pool", None)
        for process in list(pool._pool) if pool else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)

    def begin(**_: Any) -> None:
        timer = threading.Timer(settings.shutdown_seconds, hand_back)
        timer.daemon = True
        timer.start()

    signals.worker_shutting_down.connect(begin, weak=False)


def _say(message: str, f: object = None) -> None:
    """Write what Celery says inside signal handlers as an object like every other line.

    Not through logging: a handler may interrupt the very line that holds its lock.
    """
    line = {"message": message, "level": "info", "service": "worker"}
    os.write(sys.stderr.fileno(), orjson.dumps(line) + b"\n")


def warm_kernels() -> None:
    """Load, or compile once per machine, every kernel that a run or a sweep needs.

    Computes each registered rule on a few made-up bars, in the parent: forked processes, also those
    that replace a killed one, start warm and share the memory.
    """
    compute_made_up()


def compute_made_up(names: tuple[str, ...] = (), *, sweeps: bool = True) -> tuple[str, ...]:
    """Compute rules on made-up bars for the sake of what is compiled.

    Parameters
    ----------
    names : tuple of str
        By default all rules.
    sweeps : bool
        Whether two combinations of each are computed, too.

    Returns
    -------
    tuple of str
        Rules that could not be computed. The log says why; their own runs will fail, others go on.
    """
    import numpy as np

    from backtest.bars import build_bars
    from rules.base_rule import list_rules
    from rules.spec import parse_run_request
    from tasks.compute import build_local_run_spec, compute_run
    from tasks.sweep_compute import warm_sweep_kernels

    n_bars = 300
    # [days] * [hours / day] * [seconds / hour] * [ns / second] = [ns]
    timestamps = np.arange(n_bars, dtype=np.int64) * 24 * 3600 * 1_000_000_000
    close = 100.0 + 10.0 * np.sin(np.arange(n_bars) / 5.0)
    bars, warnings = build_bars(timestamps, close, close + 1.0, close - 1.0, close)
    failed: list[str] = []
    for rule in list_rules():
        name = rule.metadata.name
        if names and name not in names:
            continue
        try:
            request = parse_run_request({"dataset": "WARM", "rule": name})
            compute_run(build_local_run_spec(request, "WARM", bars), bars, warnings)
        except Exception:  # of a rule that somebody added
            log.exception("rule_not_warmed", rule=name)
            failed.append(name)
    if sweeps:
        failed += warm_sweep_kernels(names)
    return tuple(dict.fromkeys(failed))
