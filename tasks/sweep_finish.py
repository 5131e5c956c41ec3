"""What a worker does once a sweep's chunks are done, and when somebody asks about its numbers.

Both read the stored columns chunk by chunk, and both hold a lease: whoever lost it cannot write.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from adapters.sweep_columns import ColumnChunk, Failures, SweepColumns
from backtest.errors import InputError
from rules.optimizer import describe_unmet
from rules.sweep_spec import SweepSpec
from storage.errors import StorageUnavailable
from tasks.logs import bind_sweep, get_logger
from tasks.measures import ATTEMPTS, DUPLICATES, SWEEP_SECONDS, count, observe
from tasks.patience import is_stopping, persist
from tasks.settings import Settings
from tasks.sweep_answers import answer_question
from tasks.sweep_execute import EvaluatorCache, LeaseKeeper, LeaseLost, LeaseTimeout
from tasks.sweep_reader import StoredColumns

if TYPE_CHECKING:
    from adapters.sweep_summary import SweepSummary
    from storage.records import Heartbeat
    from storage.store import Store
    from tasks.execute import BarsCache

log = get_logger(__name__)


class _CheckedColumns:
    """Columns that stop being read once the lease is lost."""

    def __init__(self, columns: SweepColumns, check: Callable[[], None]) -> None:
        self._columns, self._check = columns, check

    @property
    def n_positions(self) -> int:
        return self._columns.n_positions

    def read(self, names: Sequence[str]) -> Iterator[ColumnChunk]:
        for chunk in self._columns.read(names):
            self._check()
            yield chunk


def execute_finish(
    store: Store, settings: Settings, sweep_id: str, cache: EvaluatorCache, worker: str = ""
) -> str:
    """Execute one delivery of a sweep's finaliser.

    Parameters
    ----------
    worker : str
        By which its parent reports that this process was lost; empty where nobody does.

    Returns
    -------
    str
        ``succeeded``, ``failed``, ``lost`` or ``duplicate`` (there was nothing to do).

    Raises
    ------
    StorageUnavailable
        If the database went away; maintenance sends for the finaliser again.
    """
    with bind_sweep(sweep_id):
        claim, is_failed = store.sweeps.finish_or_end(
            sweep_id, settings.lease_seconds, settings.max_attempts, worker
        )
        if is_failed:
            log.warning("sweep_ended", state="failed", outcome="failed", reason="see its error")
            return "failed"
        if claim is None:
            count(store, DUPLICATES, "finish")
            log.info("finish_not_claimed", reason="done, failed, not due or being done")
            return "duplicate"
        started = time.perf_counter()

        def beat() -> Heartbeat:
            return store.sweeps.heartbeat_finish(sweep_id, claim.attempt, settings.lease_seconds)

        def save(keeper: LeaseKeeper) -> str:
            log.info("finish_claimed", attempt=claim.attempt)
            count(store, ATTEMPTS, "finish", "yes" if claim.attempt > 1 else "no")
            cache.forget(sweep_id)
            summary = _summarise(store, sweep_id, claim.spec, keeper)
            saved = persist(
                lambda: store.sweeps.finish_sweep(
                    sweep_id, claim.attempt, summary.result_sha256, summary.documents
                ),
                settings,
            )
            return "succeeded" if saved else "lost"

        def fail(error: dict[str, Any]) -> bool:
            return store.sweeps.fail_finish(sweep_id, claim.attempt, error)

        def give_back() -> bool:
            return store.sweeps.return_finish(sweep_id, claim.attempt)

        outcome = "lost"
        try:
            outcome = _guard(beat, settings, save, fail, give_back)
        finally:
            seconds = time.perf_counter() - started
            observe(store, SWEEP_SECONDS, seconds, outcome)
        changed = {} if outcome == "lost" else {"state": outcome}
        log.info("sweep_ended", outcome=outcome, seconds=round(seconds, 4), **changed)
        return outcome


def execute_query(
    store: Store, settings: Settings, query_id: str, bars: BarsCache, worker: str = ""
) -> str:
    """Execute one delivery of a question; see `execute_finish`."""
    query = store.sweeps.claim_query(
        query_id, settings.lease_seconds, settings.max_attempts, worker
    )
    if query is None:
        return "duplicate"
    with bind_sweep(query.sweep_id, query=query.kind):
        started = time.perf_counter()

        def beat() -> str:
            kept = store.sweeps.heartbeat_query(query_id, query.attempt, settings.lease_seconds)
            return "ok" if kept else "lost"

        def save(keeper: LeaseKeeper) -> str:
            record = store.sweeps.get(query.sweep_id)
            if record is None:
                return "lost"
            spec = SweepSpec.from_json(record.spec)
            columns = StoredColumns(store, query.sweep_id, spec)
            checked = _CheckedColumns(columns, keeper.check)
            result = answer_question(
                checked,
                spec,
                query.kind,
                query.args,
                load=partial(bars.load, store),
                check=keeper.check,
                failures=Failures(*store.sweeps.find_failures(query.sweep_id)),
            )
            saved = store.sweeps.answer_query(query_id, query.attempt, result)
            return "done" if saved else "lost"

        def fail(error: dict[str, Any]) -> bool:
            return store.sweeps.fail_query(query_id, query.attempt, error)

        def give_back() -> bool:
            return store.sweeps.return_query(query_id, query.attempt)

        outcome = _guard(beat, settings, save, fail, give_back)
        seconds = round(time.perf_counter() - started, 4)
        log.info("query_ended", outcome=outcome, seconds=seconds)
        return outcome


def _guard(
    beat: Callable[[], str],
    settings: Settings,
    save: Callable[[LeaseKeeper], str],
    fail: Callable[[dict[str, Any]], bool],
    give_back: Callable[[], bool],
) -> str:
    """Do work under a lease; turn what goes wrong into an error that is stored."""
    from billiard.exceptions import SoftTimeLimitExceeded

    errors: list[dict[str, Any]] = []
    try:
        with LeaseKeeper(beat, settings) as keeper:
            return save(keeper)
    except LeaseLost:
        return "lost"
    except SystemExit:
        if is_stopping() and give_back():
            log.info("sweep_task_given_back", reason="this worker stops")
        raise
    except StorageUnavailable:
        raise
    except (LeaseTimeout, SoftTimeLimitExceeded):
        code = "timeout"
        message = (
            f"it took longer than {settings.max_run_seconds} s; raise "
            "STOCK_BACKTEST_MAX_RUN_SECONDS, then retry"
        )
    except InputError as error:
        code, message = "invalid_input", str(error)
        errors = [
            {"field": item.field, "value": item.value, "message": item.message}
            for item in error.errors
        ]
    except MemoryError:
        code, message = "out_of_memory", "it needs more memory than the worker has"
    except Exception as error:
        log.exception("sweep_task_crashed")
        code = "internal"
        message = (
            f"unexpected {type(error).__name__}: {error}; the worker's log has the traceback under "
            "this sweep_id"
        )
    log.warning("sweep_task_failed", code=code, error=message)
    return "failed" if fail({"code": code, "message": message, "errors": errors}) else "lost"


def _summarise(
    store: Store, sweep_id: str, document: dict[str, Any], keeper: LeaseKeeper
) -> SweepSummary:
    from adapters.sweep_summary import build_sweep_summary

    spec = SweepSpec.from_json(document)
    columns = _CheckedColumns(StoredColumns(store, sweep_id, spec), keeper.check)
    summary = build_sweep_summary(columns, spec)
    if not summary.n_combinations:  # too many points to find that out before
        raise describe_unmet(spec.build_space(), spec.search.method)
    return summary
