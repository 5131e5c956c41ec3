"""The verdict on a sweep's winner: some of its combinations computed again, bar by bar.

A sweep stores no returns, and whether its best is luck is in their correlations. Knows neither
queue nor database: workers and the command line call the same function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from adapters.sweep_columns import HEADLINE_METRICS
from adapters.sweep_trials import survey_trials
from adapters.sweep_verdict import build_verdict
from adapters.verdict_evidence import CandidateRun
from rules.base_rule import collect_inputs, get_rule
from tasks.compute import use_bars

if TYPE_CHECKING:
    from adapters.sweep_columns import SweepColumns
    from backtest.bars import Bars
    from backtest.engine_config import EngineConfig
    from backtest.engine_result import EngineResult
    from rules.spec import TradingSpec
    from rules.sweep_spec import SweepSpec
    from tasks.sweep_compute import LoadBars

FloatArray = NDArray[np.float64]

MOST_TRIALS, FEWEST_TRIALS = 512, 64
_PROVISIONAL_SHARE = 4
# Bars x combinations computed again: some seconds of one core, whatever the length.
_MOST_STEPS = 150_000_000
# Of a return: longer data are looked at in longer periods, so that memory is bounded.
_MOST_PERIODS = 4096
_SHARPE = HEADLINE_METRICS.index("sharpe")


def compute_verdict(
    columns: SweepColumns,
    spec: SweepSpec,
    load: LoadBars,
    *,
    is_final: bool = True,
    check: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Judge whether the best of a sweep is real or luck.

    Parameters
    ----------
    columns : SweepColumns
        Results so far.
    load : callable
        See `tasks.sweep_compute.SweepEvaluator`.
    is_final : bool
        Whether these are all results. Before, fewer combinations are looked at, because the answer
        is asked for again soon.
    check : callable
        Called between combinations; it may raise to stop.

    Returns
    -------
    dict
        See `adapters.sweep_verdict.build_verdict`. The same sweep gives the same digits wherever
        it is asked.
    """
    longest = max(dataset.n_bars for dataset in spec.datasets)
    n_sample = min(max(_MOST_STEPS // longest, FEWEST_TRIALS), MOST_TRIALS)
    if not is_final:
        n_sample //= _PROVISIONAL_SHARE
    survey = survey_trials(columns, spec, n_sample, is_final=is_final)
    check()
    if survey.best is None:
        return build_verdict(spec, survey, None, None, np.empty((0, 0)), np.empty(0), {})
    again = _Recomputation(spec, load)
    best = again.measure(survey.best.point)
    plateau = again.measure(survey.plateau.point) if survey.plateau else None
    columns_of_returns, sharpes = [], []
    for point in survey.sample.tolist():
        check()
        returns, sharpe = again.compute_returns(point)
        if np.isfinite(returns).all():
            columns_of_returns.append(returns)
            sharpes.append(sharpe)
    returns = np.column_stack(columns_of_returns) if sharpes else np.empty((0, 0))
    elsewhere = again.measure_elsewhere(survey.best.point)
    return build_verdict(spec, survey, best, plateau, returns, np.array(sharpes), elsewhere)


@dataclass(frozen=True)
class _Run:
    bars: Bars
    config: EngineConfig
    result: EngineResult
    trading: TradingSpec


class _Recomputation:
    """Computes single combinations of a sweep through the engine."""

    def __init__(self, spec: SweepSpec, load: LoadBars) -> None:
        rule = get_rule(spec.rule)
        if rule is None:
            raise LookupError(f"rule {spec.rule!r} is not registered")
        self._spec, self._load, self._rule = spec, load, rule
        # Of the combination before: neighbours in the sample share bars, and often signals.
        self._bars: tuple[str, Bars] | None = None
        self._signals: tuple[object, Any] | None = None

    def measure(self, point: int) -> CandidateRun:
        """Return every metric of a combination."""
        from backtest.metrics import compute_metrics

        run = self._run(point)
        bars = run.bars
        metrics = compute_metrics(run.result, bars.close, bars.timestamps, run.config)
        return CandidateRun(metrics, bars.n_bars, run.config.periods_per_year)

    def measure_elsewhere(self, point: int) -> dict[str, float]:
        """Return the Sharpe ratio of the same settings on the other datasets, by their labels."""
        spec = self._spec
        n_each = spec.build_space().n_points // len(spec.datasets)
        own = point // n_each if len(spec.datasets) > 1 else 0
        return {
            label: self._measure_sharpe(self._run(number * n_each + point % n_each))
            for number, label in enumerate(spec.dataset_labels)
            if number != own
        }

    def compute_returns(self, point: int) -> tuple[FloatArray, float]:
        """Return excess returns of even periods, and the Sharpe ratio per bar."""
        run = self._run(point)
        marks = np.concatenate([[run.config.initial_cash], run.result.equity])
        length = -(-run.bars.n_bars // _MOST_PERIODS)
        n_periods = run.bars.n_bars // length
        marks = marks[run.bars.n_bars - n_periods * length :: length]
        before, after = marks[:-1], marks[1:]
        # After ruin nothing changes any more, and there may be nothing to divide by.
        moves = (before != 0.0) & (before != after)
        returns = np.zeros(n_periods)
        np.divide(after, before, out=returns, where=moves)
        returns[moves] -= 1.0
        per_bar = self._measure_sharpe(run) / math.sqrt(run.config.periods_per_year)
        rate = (1.0 + run.trading.risk_free) ** (length / run.config.periods_per_year) - 1.0
        return returns - rate, per_bar

    @staticmethod
    def _measure_sharpe(run: _Run) -> float:
        from backtest.engine import measure_headline

        return float(measure_headline(run.result, run.config)[_SHARPE])

    def _run(self, point: int) -> _Run:
        from backtest.engine import build_engine_config, run_engine

        spec = self._spec
        dataset, params, trading = spec.combination(point)
        if self._bars is None or self._bars[0] != dataset.sha256:
            used = use_bars(self._load(dataset.sha256)[0], dataset, spec.start, spec.end)
            self._bars, self._signals = (dataset.sha256, used), None
        bars = self._bars[1]
        settings = trading.model_dump()
        inputs = collect_inputs(self._rule.metadata, params, settings)
        if self._signals is None or self._signals[0] != inputs:
            self._signals = inputs, self._rule.compute(bars, **inputs)
        output = self._signals[1]
        config = build_engine_config(settings, bars.periods_per_year)
        result = run_engine(
            bars.open, bars.high, bars.low, bars.close, output.signal, output.weight, config
        )
        return _Run(bars, config, result, trading)
