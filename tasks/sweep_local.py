"""A whole sweep in this process, on all cores: threads, because the kernels hold no GIL."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from adapters.sweep_hash import compute_result_sha256
from backtest.bars import Bars, DataWarning, filter_bars
from rules.optimizer import describe_unmet
from rules.rule_validator import truncate_bars
from rules.sweep_spec import SweepSpec
from tasks.sweep_compute import LoadBars, SweepBlock, SweepEvaluator, read_objective
from tasks.sweep_spool import ColumnSpool

Progress = Callable[[int, int], None]

# Long enough that handing out chunks costs nothing, short enough for a lively bar.
_CHUNK_SECONDS = 0.25
_FIRST_CHUNK = 1024
# Towards the end chunks become smaller, but not so small that handing them out is what takes time.
_LAST_CHUNK_SECONDS = 0.008
# 113 bytes a position: 15 MB a thread.
_MAX_CHUNK = 131_072
_REPORT_SECONDS = 0.1
# How far to look for a point that is admitted, to load kernels with.
_WARM_SCAN = 65_536
_WARM_BARS = 300


@dataclass
class LocalSweep:
    """A finished sweep.

    Parameters
    ----------
    spec : SweepSpec
    columns : ColumnSpool
        All results, in position order.
    n_combinations, n_excluded, n_failed : int
        Failed combinations are combinations.
    seconds : float
        From loaded bars to the last metric, compilation excluded.
    warnings : list of dict
        About the rule and the data.
    """

    spec: SweepSpec
    columns: ColumnSpool
    n_combinations: int
    n_excluded: int
    n_failed: int
    seconds: float
    warnings: list[dict[str, Any]]

    @cached_property
    def result_sha256(self) -> str:
        """Hash of all results, equal wherever the sweep ran."""
        return compute_result_sha256(self.columns)

    def close(self) -> None:
        """Give the results back."""
        self.columns.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run_local_sweep(
    spec: SweepSpec,
    load: LoadBars,
    *,
    n_threads: int | None = None,
    is_warm: bool = False,
    on_progress: Progress | None = None,
    spool_dir: Path | None = None,
) -> LocalSweep:
    """Compute every position of a sweep.

    Parameters
    ----------
    spec : SweepSpec
    load : callable
        ``load(sha256)`` returns the whole dataset, already in memory, and its warnings.
    n_threads : int, optional
        By default as many as this process may run on cores.
    is_warm : bool
        Whether this process has swept the rule before, so that its kernels are loaded.
    on_progress : callable, optional
        ``on_progress(n_done, n_positions)``, from the calling thread; it may raise to stop.
    spool_dir : Path, optional
        Where results lie meanwhile.

    Raises
    ------
    InputError
        If the date range holds no bars of a dataset, or no point meets the constraints.
    """
    if not is_warm:
        warm_combination(spec, load)
    spool = ColumnSpool(spool_dir)
    try:
        started = time.perf_counter()
        evaluator = SweepEvaluator(spec, load)
        run = _Run(evaluator, spool, spec.build_order().n_positions)
        if spec.search.method == "adaptive":
            _run_adaptive(spec, run, on_progress)
        else:
            _run_threads(run, n_threads or len(os.sched_getaffinity(0)), on_progress)
        seconds = time.perf_counter() - started
        if not run.n_combinations:  # too many points to find that out before
            raise describe_unmet(spec.build_space(), spec.search.method)
    except BaseException:
        spool.close()
        raise
    return LocalSweep(
        spec, spool, run.n_combinations, run.n_excluded, run.n_failed, seconds, evaluator.warnings
    )


def warm_combination(spec: SweepSpec, load: LoadBars) -> None:
    """Compute one combination on a few bars and forget it, so that every kernel is loaded."""
    space = spec.build_space()
    points = np.arange(min(space.n_points, _WARM_SCAN), dtype=np.int64)
    admitted = points[space.admitted(points)][:1]
    if not admitted.size:
        return

    def load_few(sha256: str) -> tuple[Bars, Sequence[DataWarning]]:
        bars, warnings = load(sha256)
        used = filter_bars(bars, spec.start, spec.end)
        return truncate_bars(used, min(_WARM_BARS, used.n_bars)), warnings

    SweepEvaluator(spec, load_few).evaluate(0, 1, admitted)


class _Stopped(Exception):
    """Another thread has failed, or the caller wants no more."""


class _Run:
    """What threads share: the next position and the counts."""

    def __init__(self, evaluator: SweepEvaluator, spool: ColumnSpool, n_positions: int) -> None:
        self.evaluator, self.spool, self.n_positions = evaluator, spool, n_positions
        self.n_done = self.n_combinations = self.n_excluded = self.n_failed = 0
        self._next = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def compute(self, first: int, stop: int, points: NDArray[np.int64] | None = None) -> SweepBlock:
        """Compute and keep positions."""
        block = self.evaluator.evaluate(first, stop, points, self._check)
        self.spool.add(block)
        with self._lock:
            self.n_done += block.status.size
            self.n_combinations += block.n_combinations
            self.n_excluded += block.n_excluded
            self.n_failed += block.n_failed
        return block

    def work(self, n_threads: int) -> None:
        """Take chunks until none is left: a thread's body."""
        size = min(_FIRST_CHUNK, -(-self.n_positions // n_threads))
        least = size
        try:
            while (taken := self._take(size, least, n_threads)) is not None:
                started = time.perf_counter()
                self.compute(*taken)
                seconds = max(time.perf_counter() - started, 1e-6)
                rate = (taken[1] - taken[0]) / seconds
                size = max(1, min(int(rate * _CHUNK_SECONDS), 16 * size, _MAX_CHUNK))
                least = max(1, int(rate * _LAST_CHUNK_SECONDS))
        except _Stopped:
            pass
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Let all threads end after their tile."""
        self._stopping.set()

    def _take(self, size: int, least: int, n_threads: int) -> tuple[int, int] | None:
        with self._lock:
            left = self.n_positions - self._next
            if left == 0:
                return None
            first = self._next
            # Towards the end smaller ones, so that all threads end together.
            share = left if n_threads == 1 else left // (2 * n_threads)
            self._next += min(left, size, max(least, share))
            return first, self._next

    def _check(self) -> None:
        if self._stopping.is_set():
            raise _Stopped


def _run_threads(run: _Run, n_threads: int, on_progress: Progress | None) -> None:
    with ThreadPoolExecutor(n_threads, thread_name_prefix="sweep") as pool:
        futures = [pool.submit(run.work, n_threads) for _ in range(n_threads)]
        try:
            running = set(futures)
            while running:
                _, running = wait(running, timeout=_REPORT_SECONDS)
                if on_progress is not None:
                    on_progress(run.n_done, run.n_positions)
        finally:  # also where the caller interrupts: no thread outlives this function
            run.stop()
    for future in futures:
        future.result()


def _run_adaptive(spec: SweepSpec, run: _Run, on_progress: Progress | None) -> None:
    """Ask for points, compute them, tell the results: each batch depends on those before."""
    from rules.adaptive_search import ADAPTIVE_BATCH, AdaptiveSearch

    search = AdaptiveSearch(spec)
    points, objective = np.empty(0, np.int64), np.empty(0)
    while run.n_done < run.n_positions:
        wanted = min(ADAPTIVE_BATCH, run.n_positions - run.n_done)
        batch = search.ask(points, objective, wanted)
        if not batch.size:
            return  # nothing is left to try
        block = run.compute(run.n_done, run.n_done + batch.size, batch)
        points = np.concatenate([points, batch])
        objective = np.concatenate([objective, read_objective(spec, block)])
        if on_progress is not None:
            on_progress(run.n_done, run.n_positions)
