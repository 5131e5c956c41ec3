"""What a worker does with a chunk of a sweep: claim it, compute it, store it.

As with runs, correctness rests on the database alone: see `tasks.execute` and
`storage.sweep_chunks`.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adapters.sweep_columns import HEADLINE_METRICS
from backtest.errors import InputError
from rules.sweep_spec import SweepSpec
from storage.errors import StorageUnavailable
from storage.sweep_records import ChunkPlan, ChunkResult
from tasks.execute import BarsCache
from tasks.logs import bind_sweep, get_logger
from tasks.measures import ATTEMPTS, CHUNK_SECONDS, DUPLICATES, count, observe
from tasks.patience import is_stopping, persist
from tasks.settings import Settings
from tasks.sweep_queue import plan_chunks

if TYPE_CHECKING:
    from storage.store import Store
    from storage.sweep_records import ChunkClaim
    from tasks.sweep_compute import SweepBlock, SweepEvaluator

log = get_logger(__name__)

_HEARTBEAT_SECONDS = 1.0
# The first chunk grows until it has computed for so long; its largest step tells the rate. All
# other processes wait for it.
_MEASURE_SECONDS = 0.04
_MEASURE_STEP_SECONDS = 0.03
_GROWTH = 4
# About a millisecond of work: bars x positions of the first step.
_FIRST_STEP = 2_000_000
_MIN_FIRST_POSITIONS, _MAX_FIRST_POSITIONS = 16, 512
# Sweeps whose tables a process keeps: more than one, as messages of several take turns.
_KEPT_SWEEPS = 2


class LeaseLost(Exception):
    """The work was cancelled, paused, or given to another worker."""


class LeaseTimeout(Exception):
    """The work has used up its time limit."""


class LeaseKeeper:
    """Keeps a lease alive from a thread of its own, and learns on the way that it is lost.

    Parameters
    ----------
    beat : callable
        Extends the lease; returns ``ok``, or why to stop.
    settings : Settings
        `lease_seconds` decides the pace, `max_run_seconds` the end.
    """

    def __init__(self, beat: Callable[[], str], settings: Settings) -> None:
        self._beat, self._settings = beat, settings
        self._verdict = "ok"
        self._stop = threading.Event()
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raise `LeaseLost` or `LeaseTimeout` if the work is to stop."""
        if self._verdict != "ok":
            raise LeaseLost(self._verdict)
        if time.monotonic() - self._started > self._settings.max_run_seconds:
            raise LeaseTimeout

    def _keep(self) -> None:
        pause = min(_HEARTBEAT_SECONDS, self._settings.lease_seconds / 4)
        while not self._stop.wait(pause):
            try:
                self._verdict = self._beat()
            except StorageUnavailable as error:
                # The lease may run out; then the next attempt's token protects the result.
                log.warning("heartbeat_failed", error=str(error))
                continue
            if self._verdict != "ok":
                return


@dataclass(slots=True)
class SweepState:
    """What a process keeps of a sweep between its chunks.

    Parameters
    ----------
    trials : tuple of arrays, or None
        Points and objectives of an adaptive search so far.
    """

    spec: SweepSpec
    evaluator: SweepEvaluator
    trials: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None


class EvaluatorCache:
    """The sweeps a process computed last: bars and tables are loaded once per sweep.

    Parameters
    ----------
    bars : BarsCache
        Of this process, shared with its runs.
    """

    def __init__(self, bars: BarsCache) -> None:
        self.bars = bars
        self._items: OrderedDict[str, SweepState] = OrderedDict()

    def load(self, store: Store, sweep_id: str, document: dict[str, Any]) -> SweepState:
        """Return the state of a sweep, from memory or built from its spec."""
        from tasks.sweep_compute import SweepEvaluator

        state = self._items.get(sweep_id)
        if state is None:
            spec = SweepSpec.from_json(document)
            evaluator = SweepEvaluator(spec, lambda sha256: self.bars.load(store, sha256))
            state = self._items[sweep_id] = SweepState(spec, evaluator)
        self._items.move_to_end(sweep_id)
        while len(self._items) > _KEPT_SWEEPS:
            self._items.popitem(last=False)
        return state

    def forget(self, sweep_id: str) -> None:
        """Free what is kept of a sweep that has ended."""
        self._items.pop(sweep_id, None)


def execute_chunk(
    store: Store,
    settings: Settings,
    sweep_id: str,
    idx: int,
    worker: str,
    cache: EvaluatorCache,
    processes: int,
) -> str:
    """Execute one delivery of a chunk.

    Parameters
    ----------
    processes : int
        How many processes share the sweep.

    Returns
    -------
    str
        What became of it: ``done``, ``failed``, ``lost`` (paused, cancelled, or the lease went to
        another worker) or ``duplicate`` (there was nothing to do).

    Raises
    ------
    StorageUnavailable
        If the database went away; the chunk's lease runs out and it is computed again.
    """
    with bind_sweep(sweep_id, chunk=idx):
        claim = store.sweeps.claim_chunk(sweep_id, idx, worker, settings.lease_seconds)
        if claim is None:
            count(store, DUPLICATES, "chunk")
            log.info("chunk_not_claimed", reason="done, paused, ended, deleted or being computed")
            return "duplicate"
        started = time.perf_counter()
        outcome = "lost"
        try:
            if claim.starts_sweep:
                log.info("sweep_started", state="running")
            log.info("chunk_claimed", chunk_state="running", attempt=claim.attempt, worker=worker)
            count(store, ATTEMPTS, "chunk", "yes" if claim.attempt > 1 else "no")
            outcome = _execute_claim(store, settings, claim, cache, processes)
        except SystemExit:
            if is_stopping() and store.sweeps.return_chunk(claim):
                log.info("chunk_given_back", chunk_state="queued", reason="this worker stops")
            raise
        finally:
            seconds = time.perf_counter() - started
            observe(store, CHUNK_SECONDS, seconds, outcome)
        changed = {} if outcome == "lost" else {"chunk_state": outcome}
        log.info(
            "chunk_ended",
            outcome=outcome,
            attempt=claim.attempt,
            seconds=round(seconds, 4),
            **changed,
        )
        return outcome


def _execute_claim(
    store: Store, settings: Settings, claim: ChunkClaim, cache: EvaluatorCache, processes: int
) -> str:
    from billiard.exceptions import SoftTimeLimitExceeded

    def beat() -> str:
        return store.sweeps.heartbeat_chunk(
            claim.sweep_id, claim.idx, claim.attempt, settings.lease_seconds
        )

    try:
        with LeaseKeeper(beat, settings) as keeper:
            state = cache.load(store, claim.sweep_id, claim.spec)
            result, plan = _compute(store, claim, state, keeper, processes)
            saved = persist(lambda: store.sweeps.finish_chunk(claim, result, plan), settings)
            if saved and plan is not None and plan.stops:
                log.info("chunks_planned", chunk_state="queued", n_chunks=len(plan.stops))
            return "done" if saved else "lost"
    except LeaseLost:
        return "lost"
    except StorageUnavailable:
        raise
    except (LeaseTimeout, SoftTimeLimitExceeded):
        message = (
            f"the chunk took longer than {settings.max_run_seconds} s; choose a shorter date "
            "range, or raise STOCK_BACKTEST_MAX_RUN_SECONDS"
        )
        return _fail(store, claim, "timeout", message)
    except InputError as error:
        fields = [
            {"field": item.field, "value": item.value, "message": item.message}
            for item in error.errors
        ]
        return _fail(store, claim, "invalid_input", str(error), fields)
    except MemoryError:
        message = "the chunk needs more memory than the worker has; choose a shorter date range"
        return _fail(store, claim, "out_of_memory", message)
    except Exception as error:
        log.exception("chunk_crashed")
        message = (
            f"unexpected {type(error).__name__}: {error}; the worker's log has the traceback under "
            "this sweep_id"
        )
        return _fail(store, claim, "internal", message)


def _fail(
    store: Store,
    claim: ChunkClaim,
    code: str,
    message: str,
    errors: Sequence[dict[str, Any]] = (),
) -> str:
    log.warning("chunk_failed", code=code, error=message)
    error = {"code": code, "message": message, "errors": list(errors)}
    return "failed" if store.sweeps.fail_chunk(claim, error) else "lost"


def _compute(
    store: Store, claim: ChunkClaim, state: SweepState, keeper: LeaseKeeper, processes: int
) -> tuple[ChunkResult, ChunkPlan | None]:
    if claim.method == "adaptive":
        return _compute_batch(store, claim, state, keeper)
    if claim.idx == 0:
        return _measure(claim, state, keeper, processes)
    started = time.perf_counter()
    block = state.evaluator.evaluate(claim.first, claim.stop, on_tile=keeper.check)
    return _build_result(claim.stop, [block], time.perf_counter() - started), None


def _measure(
    claim: ChunkClaim, state: SweepState, keeper: LeaseKeeper, processes: int
) -> tuple[ChunkResult, ChunkPlan]:
    """Compute ever larger steps until the rate is known; plan the rest by it."""
    state.evaluator.prepare()
    n_bars = max(dataset.n_bars for dataset in state.spec.datasets)
    size = min(max(_MIN_FIRST_POSITIONS, _FIRST_STEP // n_bars), _MAX_FIRST_POSITIONS)
    blocks: list[SweepBlock] = []
    position, spent, rate = claim.first, 0.0, 1.0
    while position < claim.stop and (spent < _MEASURE_SECONDS or len(blocks) < 2):
        stop = min(position + size, claim.stop)
        started = time.perf_counter()
        blocks.append(state.evaluator.evaluate(position, stop, on_tile=keeper.check))
        seconds = max(time.perf_counter() - started, 1e-6)
        spent += seconds
        rate = (stop - position) / seconds
        position = stop
        size = max(1, min(_GROWTH * size, int(rate * _MEASURE_STEP_SECONDS)))
    plan = plan_chunks(position, claim.n_positions, rate, processes)
    plan = ChunkPlan(plan.stops, plan.rate, tuple(state.evaluator.warnings))
    return _build_result(position, blocks, spent), plan


def _compute_batch(
    store: Store, claim: ChunkClaim, state: SweepState, keeper: LeaseKeeper
) -> tuple[ChunkResult, ChunkPlan]:
    """Compute one batch of an adaptive search; the next one follows from what it finds."""
    from rules.adaptive_search import ADAPTIVE_BATCH, AdaptiveSearch
    from tasks.sweep_compute import read_objective

    trials = state.trials
    if trials is None or len(trials[0]) != claim.first:
        trials = _load_trials(store, claim.sweep_id, state.spec)
    started = time.perf_counter()
    n_new = claim.stop - claim.first
    points = AdaptiveSearch(state.spec).ask(trials[0], trials[1], n_new)
    stop = claim.first + len(points)
    keeper.check()
    block = state.evaluator.evaluate(claim.first, stop, points, on_tile=keeper.check)
    seconds = time.perf_counter() - started
    found = read_objective(state.spec, block)
    state.trials = np.concatenate([trials[0], points]), np.concatenate([trials[1], found])
    last = stop >= claim.n_positions or not len(points)  # every point was tried
    stops = () if last else (min(stop + ADAPTIVE_BATCH, claim.n_positions),)
    plan = ChunkPlan(stops, n_new / max(seconds, 1e-6), tuple(state.evaluator.warnings))
    return _build_result(stop, [block], seconds, keep_points=True), plan


def _load_trials(
    store: Store, sweep_id: str, spec: SweepSpec
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    from tasks.sweep_compute import SweepBlock, read_objective

    points, objectives = [np.empty(0, dtype=np.int64)], [np.empty(0)]
    for chunk in store.sweeps.iterate_chunks(sweep_id, HEADLINE_METRICS):
        if chunk.points is None:
            raise LookupError(f"chunk {chunk.idx} of an adaptive search has no points")
        metrics = np.column_stack([chunk.columns[name] for name in HEADLINE_METRICS])
        block = SweepBlock(chunk.first, chunk.points, metrics, chunk.status)
        points.append(chunk.points)
        objectives.append(read_objective(spec, block))
    return np.concatenate(points), np.concatenate(objectives)


def _build_result(
    stop: int, blocks: Sequence[SweepBlock], seconds: float, *, keep_points: bool = False
) -> ChunkResult:
    if len(blocks) == 1:
        [block] = blocks
        points, metrics, status = block.points, block.metrics, block.status
    else:
        points = np.concatenate([block.points for block in blocks])
        metrics = np.concatenate([block.metrics for block in blocks])
        status = np.concatenate([block.status for block in blocks])
    return ChunkResult(stop, points, metrics, status, seconds, keep_points)
