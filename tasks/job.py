"""One run, one share of a sweep or one question, done by this process: what a Job's pod executes.

``python -m tasks.job RUN_ID`` is ``stock-backtest job RUN_ID``. Only what the work needs is
imported, as a pod is new for each. Exit codes are in `tasks.job_exits`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from backtest.errors import InputError
from tasks.job_exits import (
    EXIT_BAD_INPUT,
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_LOST,
    EXIT_TERMINATED,
    EXIT_UNREACHABLE,
)
from tasks.kernel_cache import prepare_numba
from tasks.settings import (
    HARD_LIMIT_GRACE_SECONDS,
    Settings,
    load_settings,
    print_redacted,
    redact_text,
)

if TYPE_CHECKING:
    from storage.store import Store
    from tasks.executors.port import WorkKind

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Who finds its work held by somebody else looks again at this pace: a pod that was killed holds its
# lease for some seconds, and the pod in its place is quicker than that.
_LOOK_SECONDS = 0.5
# Chunks that a pod chooses from.
_OFFERED = 64


def run_job(settings: Settings, kind: WorkKind, work_id: str) -> int:
    """Do the work of one Job; return the exit code of its pod.

    Raises
    ------
    InputError
        If the id or the settings cannot be used.
    SchemaError
        If the database is empty or outdated; the message names the command to run.
    StorageUnavailable
        If the database stayed away for `database_patience_seconds`.
    """
    from tasks.logs import configure_logging, get_logger

    work_id = work_id.lower()
    if _UUID.fullmatch(work_id) is None:
        raise InputError.of(f"{kind}_id", work_id, "is no UUID; copy the id that was submitted")
    if not settings.database_url:
        raise InputError.of(
            "STOCK_BACKTEST_DATABASE_URL", None, "is not set; a Job gets it from a secret"
        )
    configure_logging(settings, "job")
    _hand_back_on_sigterm()
    prepare_numba()
    from storage.database import create_database
    from storage.schema import check_schema
    from storage.store import Store
    from tasks.patience import persist

    database = create_database(settings.database_url)
    persist(lambda: check_schema(database), settings)
    store = Store(database)
    execute = {"run": _execute_run, "sweep": _execute_sweep, "query": _execute_query}[kind]
    try:
        code = execute(store, settings, work_id)
    finally:
        _flush(store)
    get_logger(__name__).info("job_ended", kind=kind, exit_code=code)
    return code


def _execute_run(store: Store, settings: Settings, run_id: str) -> int:
    from tasks.execute import BarsCache, execute_run
    from tasks.logs import bind_run, get_logger

    worker, cache = _name_worker(), BarsCache()
    deadline = time.monotonic() + settings.max_run_seconds + settings.lease_seconds
    while True:
        try:
            with _hard_limit(settings):
                outcome = execute_run(store, settings, run_id, worker, cache)
        except Exception as error:
            record = store.runs.get(run_id)
            if record is None or record.state != "failed":
                raise
            with bind_run(run_id):
                get_logger(__name__).error("run_crashed", exc_info=error)
            return EXIT_FAILED
        record = store.runs.get(run_id)
        if record is None:
            raise InputError.of("run_id", run_id, "there is no such run; it may have been deleted")
        if record.state == "failed":
            code = (record.error or {}).get("code")
            return EXIT_BAD_INPUT if code == "invalid_input" else EXIT_FAILED
        if record.state in ("succeeded", "cancelled"):
            return EXIT_DONE
        if outcome == "lost" or time.monotonic() > deadline:
            return EXIT_LOST
        time.sleep(_LOOK_SECONDS)


def _execute_sweep(store: Store, settings: Settings, sweep_id: str) -> int:
    """Compute chunks until none is left; whoever finds that finishes the sweep."""
    from tasks.execute import BarsCache
    from tasks.sweep_execute import EvaluatorCache, execute_chunk
    from tasks.sweep_finish import execute_finish

    worker, cache = _name_worker(), EvaluatorCache(BarsCache())
    processes = settings.worker_processes or settings.kubernetes_parallelism
    # Pods that look at the same instant choose different chunks.
    place = int(os.environ.get("JOB_COMPLETION_INDEX") or 0)
    while True:
        offered = store.sweeps.list_queued_chunks(sweep_id, _OFFERED)
        first = place % len(offered) if offered else 0
        outcome = "duplicate"
        for idx in (*offered[first:], *offered[:first]):
            with _hard_limit(settings):
                outcome = execute_chunk(store, settings, sweep_id, idx, worker, cache, processes)
            if outcome != "duplicate":
                break
        if outcome != "duplicate":
            continue
        standing = store.sweeps.find_sweep_standings([sweep_id]).get(sweep_id)
        if standing is None:
            raise InputError.of("sweep_id", sweep_id, "there is no such sweep")
        if standing.state == "failed":
            return EXIT_FAILED
        if standing.is_settled:  # succeeded, cancelled, or paused: a new Job comes when it goes on
            return EXIT_DONE
        if offered or store.sweeps.count_running_chunks(sweep_id):
            time.sleep(_LOOK_SECONDS / 5)
            continue
        with _hard_limit(settings):
            outcome = execute_finish(store, settings, sweep_id, cache)
        if outcome == "duplicate":
            time.sleep(_LOOK_SECONDS)  # somebody else finishes it, or did


def _execute_query(store: Store, settings: Settings, query_id: str) -> int:
    from tasks.execute import BarsCache
    from tasks.sweep_finish import execute_query

    cache = BarsCache()
    deadline = time.monotonic() + settings.max_run_seconds + settings.lease_seconds
    while True:
        with _hard_limit(settings):
            execute_query(store, settings, query_id, cache)
        standing = store.sweeps.find_query_standings([query_id]).get(query_id)
        if standing is None:
            raise InputError.of("query_id", query_id, "there is no such question")
        if standing.is_settled:
            return EXIT_DONE if standing.state == "done" else EXIT_FAILED
        if time.monotonic() > deadline:
            return EXIT_LOST
        time.sleep(_LOOK_SECONDS)


@contextlib.contextmanager
def _hard_limit(settings: Settings) -> Iterator[None]:
    """Let the system end this process if its work takes far longer than it may.

    Compiled code that hangs lets neither a thread nor a handler of Python run.
    """
    signal.alarm(settings.max_run_seconds + HARD_LIMIT_GRACE_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


def _name_worker() -> str:
    return f"job@{socket.gethostname()}/{os.getpid()}"


def _hand_back_on_sigterm() -> None:
    """Turn SIGTERM into the `SystemExit` on which work is handed back."""
    from tasks.patience import tell_to_stop

    def stop(number: int, frame: Any) -> NoReturn:
        tell_to_stop()
        raise SystemExit(EXIT_TERMINATED)

    signal.signal(signal.SIGTERM, stop)


def _flush(store: Store) -> None:
    from storage.errors import SchemaError, StorageUnavailable

    with contextlib.suppress(StorageUnavailable, SchemaError):  # nothing is decided by counters
        store.counters.flush()


def main(argv: list[str] | None = None) -> int:
    """Run the command line of this module; see the module."""
    sys.excepthook = print_redacted
    parser = argparse.ArgumentParser(prog="tasks.job", description=(__doc__ or "").split("\n")[0])
    chosen = parser.add_mutually_exclusive_group()
    for kind in ("sweep", "query"):
        chosen.add_argument(f"--{kind}", action="store_const", dest="kind", const=kind)
    parser.add_argument("id", help="of a run, or of what the option says")
    arguments = parser.parse_args(argv)
    from storage.errors import SchemaError, StorageUnavailable

    try:
        return run_job(load_settings(), arguments.kind or "run", arguments.id)
    except InputError as error:
        code, text = EXIT_BAD_INPUT, str(error)
    except (StorageUnavailable, SchemaError) as error:
        code, text = EXIT_UNREACHABLE, str(error)
    sys.stderr.write(f"error: {redact_text(text)}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
