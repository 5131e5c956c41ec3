"""One backtest from a specification and bars to everything that is stored of it.

Shared by the worker and the command line, so that both give the same numbers. Knows neither queue
nor database; the engine is imported inside `compute_run`, so that building a specification does not
need it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from adapters.adapter import RESULTS_VERSION
from backtest.bars import (
    Bars,
    DataWarning,
    Spacing,
    adjust_bars,
    collect_warnings,
    compute_dataset_hash,
    filter_bars,
    format_times,
)
from backtest.errors import InputError
from backtest.manifest import compute_engine_hash
from rules.base_rule import collect_inputs, get_rule
from rules.spec import DatasetRef, RunRequest, RunSpec, compute_fingerprint

if TYPE_CHECKING:
    from adapters.adapter import RunOutcome

StageCallback = Callable[[str, float], None]


def build_run_spec(
    request: RunRequest,
    symbol: str,
    sha256: str,
    n_bars: int,
    first_ns: int,
    last_ns: int,
    spacing: Spacing,
    has_adjustment: bool,
) -> RunSpec:
    """Pin a request to one dataset.

    Parameters
    ----------
    request : RunRequest
        Validated, parameters completed.
    sha256 : str
        Content hash of the whole dataset before adjustment.
    n_bars : int
        Bars of the whole dataset; `start` and `end` of the request choose among them later.
    first_ns, last_ns : int
        First and last time stamp of the dataset, UTC ns.
    has_adjustment : bool
        Whether any adjustment factor differs from 1. Without one, asking for adjusted prices or not
        is the same run.
    """
    return RunSpec(
        dataset=build_dataset_ref(
            symbol,
            sha256,
            n_bars,
            first_ns,
            last_ns,
            spacing,
            adjusted=request.adjust and has_adjustment,
        ),
        rule=request.rule,
        params=request.params,
        trading=request.trading,
        start=request.start,
        end=request.end,
    )


def build_dataset_ref(
    symbol: str,
    sha256: str,
    n_bars: int,
    first_ns: int,
    last_ns: int,
    spacing: Spacing,
    *,
    adjusted: bool,
) -> DatasetRef:
    """Pin a dataset by content; parameters as `build_run_spec`, `adjusted` as it will be used."""
    first, last = format_times(np.array([first_ns, last_ns], dtype=np.int64), spacing)
    return DatasetRef(
        symbol=symbol, sha256=sha256, n_bars=n_bars, start=first, end=last, adjusted=adjusted
    )


def build_local_run_spec(request: RunRequest, symbol: str, bars: Bars) -> RunSpec:
    """Pin a request to bars in memory; see `build_run_spec`."""
    return build_run_spec(
        request,
        symbol,
        compute_dataset_hash(bars),
        bars.n_bars,
        int(bars.timestamps[0]),
        int(bars.timestamps[-1]),
        bars.spacing,
        bars.has_adjustment,
    )


def fingerprint_of(spec: RunSpec) -> str:
    """Return the hash under which a finished run of `spec` by this version is found again."""
    rule = get_rule(spec.rule)
    if rule is None:
        raise LookupError(f"rule {spec.rule!r} is not registered")
    return compute_fingerprint(
        spec,
        engine_hash=compute_engine_hash(),
        rule_version=rule.metadata.version,
        results_version=RESULTS_VERSION,
    )


def compute_run(
    spec: RunSpec,
    bars: Bars,
    dataset_warnings: Sequence[DataWarning],
    on_stage: StageCallback | None = None,
) -> RunOutcome:
    """Compute a run: adjust, filter, rule, engine, metrics, adapter.

    Parameters
    ----------
    spec : RunSpec
        What to compute.
    bars : Bars
        The whole dataset as stored, before adjustment.
    dataset_warnings : sequence of DataWarning
        What was noticed when the file was read; what only the file could show is kept.
    on_stage : callable, optional
        Called with the name of each stage before it starts and the fraction done, in [0, 1). It may
        raise to stop the run.

    Raises
    ------
    InputError
        If the date range holds no bars, or the rule cannot be computed on these.
    """
    from adapters.adapter import build_outcome
    from backtest.engine import build_engine_config, run_engine
    from backtest.metrics import compute_metrics

    def enter(stage: str, progress: float) -> None:
        if on_stage is not None:
            on_stage(stage, progress)

    rule = get_rule(spec.rule)
    if rule is None:
        raise LookupError(f"rule {spec.rule!r} is not registered")
    enter("bars", 0.05)
    used = use_bars(bars, spec.dataset, spec.start, spec.end)
    enter("signals", 0.2)
    trading = spec.trading.model_dump()
    rule_output = rule.compute(used, **collect_inputs(rule.metadata, spec.params, trading))
    enter("engine", 0.4)
    config = build_engine_config(trading, used.periods_per_year)
    result = run_engine(
        used.open,
        used.high,
        used.low,
        used.close,
        rule_output.signal,
        rule_output.weight,
        config,
    )
    if not np.isfinite(result.equity[-1]):
        raise InputError.of(
            "trading.cash_rate",
            spec.trading.cash_rate,
            "interest grew beyond what can be computed with; lower it or raise periods_per_year",
        )
    enter("metrics", 0.6)
    metrics = compute_metrics(result, used.close, used.timestamps, config)
    enter("report", 0.7)
    return build_outcome(
        spec=spec,
        fingerprint=fingerprint_of(spec),
        bars=used,
        rule=rule.metadata,
        rule_output=rule_output,
        engine_result=result,
        metrics=metrics,
        config=config,
        warnings=merge_warnings(dataset_warnings, used),
    )


def use_bars(bars: Bars, dataset: DatasetRef, start: str | None, end: str | None) -> Bars:
    """Return the bars that a computation sees: adjusted if the dataset is pinned so, and filtered.

    Raises
    ------
    InputError
        If the date range holds no bars.
    """
    return filter_bars(adjust_bars(bars) if dataset.adjusted else bars, start, end)


def merge_warnings(from_file: Sequence[DataWarning], used: Bars) -> list[DataWarning]:
    """Return what to say about bars as used, and what only their file could show."""
    # Jumps, gaps and idle bars are counted again on the bars as used: an adjusted split is no jump.
    # Clamped bars were repaired on reading and cannot be seen any more.
    return [item for item in from_file if item.code == "clamped_bar"] + [*collect_warnings(used)]
