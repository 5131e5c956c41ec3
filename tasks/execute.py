"""What a worker does with a message: claim the run, compute it, persist it, draw its charts.

Correctness rests on the database alone. A claim admits one attempt at a time and hands out a token;
whoever lost the lease (killed, paused, cut off) can no longer write. A message that arrives twice
finds the work claimed or done and does nothing.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from backtest.errors import InputError
from rules.spec import RunSpec
from storage.errors import StorageUnavailable
from tasks.compute import compute_run
from tasks.executors import get_executor
from tasks.logs import bind_run, get_logger
from tasks.measures import ATTEMPTS, DUPLICATES, RUN_SECONDS, count, observe
from tasks.patience import is_stopping, persist
from tasks.settings import Settings

if TYPE_CHECKING:
    from adapters.adapter import RunOutcome
    from backtest.bars import Bars, DataWarning
    from storage.records import Claim
    from storage.store import Store

log = get_logger(__name__)

# A cancelled run is noticed, and progress shown, at this pace; a run shorter than it never
# touches the database in between.
_HEARTBEAT_SECONDS = 1.0
_BYTES_PER_BAR = 7 * 8  # time stamp, OHLC, volume and factor, 8 bytes each


class RunStopped(Exception):
    """The run was cancelled, or its lease went to another worker."""


class RunTimeout(Exception):
    """The run has used up its time limit."""


class BarsCache:
    """The datasets a process used last, by content hash: runs tend to come in families.

    Parameters
    ----------
    max_bytes : int
        Memory that cached bars may take; a dataset larger than that is not kept.
    """

    def __init__(self, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._items: OrderedDict[str, tuple[Bars, tuple[DataWarning, ...]]] = OrderedDict()

    def load(self, store: Store, sha256: str) -> tuple[Bars, Sequence[DataWarning]]:
        """Return the bars and warnings of a dataset, from memory or from the database."""
        found = self._items.get(sha256)
        if found is not None:
            self._items.move_to_end(sha256)
            return found
        bars, warnings = store.datasets.load_bars(sha256)
        self._items[sha256] = (bars, tuple(warnings))
        while self.n_bytes > self._max_bytes:
            self._items.popitem(last=False)
        return bars, warnings

    @property
    def n_bytes(self) -> int:
        """Memory taken by the cached bars. [bars] * [bytes / bar] = [bytes]."""
        return sum(bars.n_bars * _BYTES_PER_BAR for bars, _ in self._items.values())


class Heartbeat:
    """Keeps a lease alive from a thread of its own, and learns of cancellation on the way.

    Parameters
    ----------
    settings : Settings
        `lease_seconds` decides the pace, `max_run_seconds` the end.
    """

    def __init__(self, store: Store, settings: Settings, claim: Claim) -> None:
        self._store, self._settings, self._claim = store, settings, claim
        self._stage, self._progress = "claimed", 0.0
        self._verdict = "ok"
        self._stop = threading.Event()
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()

    def enter_stage(self, stage: str, progress: float) -> None:
        """Record progress; stop the run if it was cancelled, lost or is out of time.

        Raises
        ------
        RunStopped, RunTimeout
        """
        self._stage, self._progress = stage, progress
        if self._verdict != "ok":
            raise RunStopped(self._verdict)
        if time.monotonic() - self._started > self._settings.max_run_seconds:
            raise RunTimeout

    def _beat(self) -> None:
        pause = min(_HEARTBEAT_SECONDS, self._settings.lease_seconds / 4)
        while not self._stop.wait(pause):
            try:
                self._verdict = self._store.runs.heartbeat(
                    self._claim.run_id,
                    self._claim.attempt,
                    self._settings.lease_seconds,
                    self._stage,
                    self._progress,
                )
            except StorageUnavailable as error:
                # The lease may run out; then the next attempt's token protects the result.
                log.warning("heartbeat_failed", run_id=self._claim.run_id, error=str(error))
                continue
            if self._verdict != "ok":
                return


def execute_run(
    store: Store, settings: Settings, run_id: str, worker: str, cache: BarsCache
) -> str:
    """Execute one delivery of a run.

    Returns
    -------
    str
        What became of it: ``succeeded``, ``failed``, ``cancelled``, ``lost`` (the lease went to
        another worker; nothing was written) or ``duplicate`` (nothing to do).

    Raises
    ------
    StorageUnavailable
        If the database went away; maintenance starts the run again when the lease is over.
    """
    with bind_run(run_id):
        claim, is_given_up = store.runs.claim_or_end(
            run_id, worker, settings.lease_seconds, settings.max_attempts
        )
        if is_given_up:
            log.error("run_given_up", state="failed", reason="its worker was lost on every attempt")
        if claim is None:
            count(store, DUPLICATES, "run")
            finish_charts(store, run_id)
            log.info("run_not_claimed", reason="done, cancelled, deleted or being executed")
            return "duplicate"
        started = time.perf_counter()
        outcome = "failed"  # of whatever is raised but a database that went away
        try:
            log.info("run_claimed", state="running", attempt=claim.attempt, worker=worker)
            count(store, ATTEMPTS, "run", "yes" if claim.attempt > 1 else "no")
            outcome = _execute_claim(store, settings, claim, cache)
        except SystemExit:
            outcome = "lost"
            if is_stopping() and store.runs.give_back(claim.run_id, claim.attempt):
                log.info("run_given_back", state="queued", reason="this worker stops")
            raise
        except StorageUnavailable:
            outcome = "lost"
            raise
        finally:
            seconds = time.perf_counter() - started
            observe(store, RUN_SECONDS, seconds, outcome)
        log.info("run_ended", outcome=outcome, seconds=round(seconds, 4))
        return outcome


def _execute_claim(store: Store, settings: Settings, claim: Claim, cache: BarsCache) -> str:
    from billiard.exceptions import SoftTimeLimitExceeded

    try:
        with Heartbeat(store, settings, claim) as heartbeat:
            heartbeat.enter_stage("loading", 0.0)
            spec = RunSpec.model_validate(claim.spec)
            bars, warnings = cache.load(store, spec.dataset.sha256)
            outcome = compute_run(spec, bars, warnings, heartbeat.enter_stage)
            heartbeat.enter_stage("saving", 0.9)
            saved = persist(
                lambda: store.runs.finish(
                    claim.run_id, claim.attempt, outcome.summary, outcome.trades, outcome.columns
                ),
                settings,
            )
    except RunStopped as stopped:
        return str(stopped)
    except StorageUnavailable:
        raise
    except (RunTimeout, SoftTimeLimitExceeded):
        return _fail(store, settings, claim, "timeout", _describe_timeout(settings))
    except InputError as error:
        fields = [
            {"field": item.field, "value": item.value, "message": item.message}
            for item in error.errors
        ]
        return _fail(store, settings, claim, "invalid_input", str(error), fields)
    except MemoryError:
        return _fail(
            store,
            settings,
            claim,
            "out_of_memory",
            "the run needs more memory than the worker has; choose a shorter date range",
        )
    except Exception as error:
        # Computing is deterministic: another attempt would end the same way. The run says so, and
        # the error goes on to Celery, the log and whoever watches them.
        _fail(
            store,
            settings,
            claim,
            "internal",
            f"unexpected {type(error).__name__}: {error}; for its traceback: "
            f"{get_executor(settings).describe_log('run', claim.run_id)}",
        )
        raise
    if not saved:
        return "lost"
    log.info("run_saved", state="succeeded")
    _draw_charts(store, claim.run_id, claim.attempt, outcome)
    return "succeeded"


def _fail(
    store: Store,
    settings: Settings,
    claim: Claim,
    code: str,
    message: str,
    errors: Sequence[dict[str, Any]] = (),
) -> str:
    error = {"code": code, "message": message, "errors": list(errors)}
    if not persist(lambda: store.runs.fail(claim.run_id, claim.attempt, error), settings):
        log.warning("run_lost", code=code, error=message)
        return "lost"
    log.warning("run_failed", state="failed", code=code, error=message)
    return "failed"


def _describe_timeout(settings: Settings) -> str:
    return (
        f"the run took longer than {settings.max_run_seconds} s; choose a shorter date range, or "
        f"raise STOCK_BACKTEST_MAX_RUN_SECONDS"
    )


def _draw_charts(store: Store, run_id: str, attempt: int, outcome: RunOutcome) -> None:
    from adapters.charts import render_charts

    started = time.perf_counter()
    charts = render_charts(outcome.summary, outcome.trades, outcome.columns, run_id)
    store.runs.save_charts(run_id, attempt, charts)
    log.info("charts_saved", seconds=round(time.perf_counter() - started, 4))


def finish_charts(store: Store, run_id: str) -> None:
    """Draw the charts of a run that has a result and no charts.

    Its worker may have died between the two; then the message comes again.
    """
    record = store.runs.get(run_id)
    if record is None or record.state != "succeeded" or record.has_charts:
        return
    summary = store.runs.load_summary(run_id)
    trades = store.runs.load_trades(run_id)
    columns = store.runs.load_columns(run_id, None)
    if summary is None or trades is None or columns is None:
        return  # deleted in between
    from adapters.adapter import RunOutcome

    _draw_charts(store, run_id, record.attempt, RunOutcome(summary, trades, columns))
