"""The verdict on a sweep's winner: real or luck, with its figures and reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.adapter import to_json_number
from adapters.verdict_evidence import (
    DSR_DOUBT,
    DSR_LUCK,
    DSR_REAL,
    MOST_LOSSES,
    SPIKE_SHARE,
    UNKNOWN,
    CandidateRun,
    Evidence,
    Trials,
    choose_word,
    expect_luck,
)
from adapters.verdict_reasons import choose_advice, collect_reasons, explain_unknown
from adapters.verdict_version import VERDICT_VERSION
from backtest.cscv import compute_cscv, simulate_pbo_null
from backtest.overfitting import compute_min_backtest_years
from backtest.trials import cluster_trials, compound_periods, estimate_n_trials

if TYPE_CHECKING:
    from adapters.sweep_columns import FloatArray
    from adapters.sweep_trials import Candidate, TrialSurvey
    from rules.sweep_spec import SweepSpec

NULL_DRAWS = 200
_NULL_SEED = 20170401
# Correlations and the null band take the longer periods: they need no more of them.
_MOST_PERIODS = 1024


def build_verdict(
    spec: SweepSpec,
    survey: TrialSurvey,
    best: CandidateRun | None,
    plateau: CandidateRun | None,
    returns: FloatArray,
    sharpes: FloatArray,
    elsewhere: Mapping[str, float],
) -> dict[str, Any]:
    """Return the verdict on the best of a sweep, JSON-safe.

    Parameters
    ----------
    survey : TrialSurvey
        What its stored numbers say.
    best, plateau : CandidateRun or None
        The best by the objective and by its neighbourhood, computed in full.
    returns : ndarray of float64, shape (n_periods, n)
        Excess returns of a sample of the combinations that compete, finite. The winner is among
        them only where it was drawn: it was chosen by all bars, those held out too, and put in by
        hand it makes noise look like skill.
    sharpes : ndarray of float64, shape (n,)
        Their Sharpe ratios per bar.
    elsewhere : mapping of str to float
        Sharpe ratio of the winner's settings on other datasets.

    Returns
    -------
    dict
        ``version`` of the method; ``word``, ``reasons`` and ``advice``; ``best`` and ``plateau``
        with their probabilities; ``trials``, ``pbo`` and ``data``; ``thresholds`` of the word. None
        where undefined.
    """
    if best is None or survey.best is None or survey.n_eligible < 2 or not best.years > 0.0:
        return _build_unknown(spec, explain_unknown(spec, survey))
    evidence = Evidence(
        spec,
        survey,
        best,
        plateau,
        _count_trials(spec, survey, returns, sharpes),
        compute_cscv(returns),
        simulate_pbo_null(compound_periods(returns, _MOST_PERIODS), _NULL_SEED, NULL_DRAWS),
        len(returns),
        elsewhere,
    )
    if math.isnan(evidence.dsr):
        return _build_unknown(spec, explain_unknown(spec, survey))
    word = choose_word(evidence)
    return {
        "version": VERDICT_VERSION,
        "word": word,
        "objective": spec.objective,
        "reasons": collect_reasons(evidence),
        "advice": choose_advice(evidence, word),
        "best": _describe_candidate(evidence, survey.best, best),
        "plateau": survey.plateau
        and plateau
        and _describe_candidate(evidence, survey.plateau, plateau),
        "trials": _describe_trials(evidence),
        "pbo": _describe_pbo(evidence),
        "data": {
            "n_bars": best.n_bars,
            "years": best.years,
            "n_periods": len(returns),
        },
        "elsewhere": {name: to_json_number(value) for name, value in elsewhere.items()},
        "thresholds": _THRESHOLDS,
    }


_THRESHOLDS = {
    "dsr_real": DSR_REAL,
    "dsr_doubt": DSR_DOUBT,
    "dsr_luck": DSR_LUCK,
    "most_losses": MOST_LOSSES,
    "spike_share": SPIKE_SHARE,
}


def _build_unknown(spec: SweepSpec, texts: tuple[str, str]) -> dict[str, Any]:
    reason, advice = texts
    empty = dict.fromkeys(("best", "plateau", "trials", "pbo", "data"))
    return {
        "version": VERDICT_VERSION,
        "word": UNKNOWN,
        "objective": spec.objective,
        "reasons": [{"code": "unknown", "sign": "-", "text": reason}],
        "advice": advice,
        **empty,
        "elsewhere": {},
        "thresholds": _THRESHOLDS,
    }


def _count_trials(
    spec: SweepSpec, survey: TrialSurvey, returns: FloatArray, sharpes: FloatArray
) -> Trials:
    labels = cluster_trials(compound_periods(returns, _MOST_PERIODS))
    effective = estimate_n_trials(labels, survey.n_alike)
    if survey.n_eligible > survey.n_alike:  # those on other datasets: as if independent of these
        effective = min(effective * len(spec.datasets), float(survey.n_eligible))
    known = sharpes[np.isfinite(sharpes)]
    return Trials(
        survey.n_eligible,
        effective,
        int(labels.max(initial=-1)) + 1,
        returns.shape[1],
        float(known.var(ddof=1)) if known.size > 1 else math.nan,
    )


def _describe_candidate(evidence: Evidence, found: Candidate, run: CandidateRun) -> dict[str, Any]:
    trials = evidence.trials
    figures = {
        "sharpe": run.metrics["sharpe"],
        "n_trades": run.metrics["n_trades"],
        "psr": run.metrics["psr"],
        "dsr_effective": evidence.deflate(run, trials.n_effective),
        "dsr_raw": evidence.deflate(run, trials.n_raw),
        "dsr_textbook": evidence.deflate(run, trials.n_effective, trials.variance),
        "min_years_effective": compute_min_backtest_years(
            run.metrics["sharpe"], trials.n_effective
        ),
        "min_years_raw": compute_min_backtest_years(run.metrics["sharpe"], trials.n_raw),
        "benchmark_sharpe": run.metrics["benchmark_sharpe"],
    }
    return {
        "index": found.point,
        "value": to_json_number(found.value),
        "score": None if found.score is None else to_json_number(found.score),
        "n_neighbours": found.n_neighbours,
        "edges": list(found.edges),
        **{name: to_json_number(value) for name, value in figures.items()},
    }


def _describe_trials(evidence: Evidence) -> dict[str, Any]:
    survey, trials = evidence.survey, evidence.trials
    return {
        "n_combinations": survey.n_combinations,
        "n_raw": trials.n_raw,
        "n_effective": trials.n_effective,
        "n_clusters": trials.n_clusters,
        "n_sampled": trials.n_sampled,
        "luck_sharpe_effective": to_json_number(expect_luck(evidence, trials.n_effective)),
        "luck_sharpe_raw": to_json_number(expect_luck(evidence, trials.n_raw)),
        "share_profitable": survey.n_profitable / survey.n_eligible,
    }


def _describe_pbo(evidence: Evidence) -> dict[str, Any]:
    found = {name: to_json_number(value) for name, value in asdict(evidence.cscv).items()}
    low, high = evidence.null_band
    per_year = math.sqrt(evidence.n_periods / evidence.best.years)
    return {
        "value": found.pop("pbo"),
        "null_low": to_json_number(low),
        "null_high": to_json_number(high),
        "n_draws": int(evidence.null.size),
        **found,
        "in_sample": to_json_number(evidence.cscv.in_sample * per_year),
        "out_of_sample": to_json_number(evidence.cscv.out_of_sample * per_year),
    }
