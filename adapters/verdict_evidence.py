"""What the verdict on a sweep's winner rests on, and the word that follows.

Two questions are asked, and the word follows from their answers. Is the Sharpe ratio of the winner
beyond what the best of so many worthless combinations has (deflated Sharpe ratio)? And does what is
best on some bars stay good on the others (cross-validation)?

- LIKELY_REAL: DSR at the effective number of trials >= 0.95; PBO below its null band, or a loss out
  of sample in at most 5 % of the splits; no spike, that is, the median with its neighbours is at
  least half of its value; and a Sharpe ratio above that of buy and hold, which else explains it.
- LIKELY_LUCK: DSR < 0.5; or DSR < 0.9 and PBO not below its null band.
- UNPROVEN: whatever lies between.
- UNKNOWN: fewer than two combinations compete, or the winner's Sharpe ratio is undefined.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adapters.sweep_columns import METRIC_SIGN
from backtest.cscv import Cscv
from backtest.overfitting import compute_dsr, compute_expected_maximum

if TYPE_CHECKING:
    from adapters.sweep_columns import FloatArray
    from adapters.sweep_trials import TrialSurvey
    from rules.sweep_spec import SweepSpec

UNKNOWN, LIKELY_LUCK, UNPROVEN, LIKELY_REAL = "unknown", "likely_luck", "unproven", "likely_real"
# Measured on random walks and on planted effects: docs/decisions/0023-overfitting-verdict.md.
DSR_REAL, DSR_DOUBT, DSR_LUCK = 0.95, 0.9, 0.5
MOST_LOSSES = 0.05
SPIKE_SHARE = 0.5
NULL_BAND = (0.05, 0.95)


@dataclass(frozen=True)
class CandidateRun:
    """A combination computed in full.

    Attributes
    ----------
    metrics : mapping of str to float
        What `backtest.metrics.compute_metrics` answers.
    n_bars : int
    periods_per_year : float
    """

    metrics: Mapping[str, float]
    n_bars: int
    periods_per_year: float

    @property
    def sharpe_per_bar(self) -> float:
        """Not annualised, as statistics want it."""
        return self.metrics["sharpe"] / math.sqrt(self.periods_per_year)

    @property
    def years(self) -> float:
        """Length of the data. [bars] / [bars / year] = [years]."""
        return self.n_bars / self.periods_per_year


@dataclass(frozen=True)
class Trials:
    """How many trials the winner was chosen from.

    Attributes
    ----------
    n_raw : int
        Combinations that compete.
    n_effective : float
        Independent trials that they amount to.
    n_clusters, n_sampled : int
        Clusters found among the combinations that were looked at.
    variance : float
        Of their Sharpe ratios per bar, for the textbook's DSR.
    """

    n_raw: int
    n_effective: float
    n_clusters: int
    n_sampled: int
    variance: float


@dataclass(frozen=True)
class Evidence:
    """Everything that the word and the reasons follow from."""

    spec: SweepSpec
    survey: TrialSurvey
    best: CandidateRun
    plateau: CandidateRun | None
    trials: Trials
    cscv: Cscv
    null: FloatArray
    n_periods: int
    elsewhere: Mapping[str, float]

    @property
    def dsr(self) -> float:
        """Of the winner at the effective number of trials."""
        return self.deflate(self.best, self.trials.n_effective)

    @property
    def null_band(self) -> tuple[float, float]:
        """Between which PBO lies in 90 % of the draws without merit."""
        if not self.null.size:
            return math.nan, math.nan
        low, high = np.quantile(self.null, NULL_BAND).tolist()
        return low, high

    @property
    def carries_over(self) -> bool:
        """Whether ranks in sample say more about those out of sample than chance does."""
        return self.cscv.pbo < self.null_band[0]

    @property
    def is_spike(self) -> bool:
        """Whether the winner stands far above its neighbours."""
        found = self.survey.best
        if found is None or found.n_neighbours == 0 or METRIC_SIGN[self.spec.objective] < 0:
            return False
        return found.value > 0.0 and (
            found.score is None or found.score < SPIKE_SHARE * found.value
        )

    @property
    def beats_market(self) -> bool:
        """Whether the winner's Sharpe ratio is above that of buy and hold, where that has one."""
        return not self.best.metrics["sharpe"] <= self.best.metrics["benchmark_sharpe"]

    def deflate(self, run: CandidateRun, n_trials: float, variance: float | None = None) -> float:
        """Return the deflated Sharpe ratio of a combination."""
        skew, kurtosis = run.metrics["skew"], run.metrics["kurtosis"]
        return compute_dsr(run.sharpe_per_bar, run.n_bars, skew, kurtosis, n_trials, variance)


def choose_word(evidence: Evidence) -> str:
    """Return the word of the verdict; see this module's description."""
    dsr, carries_over = evidence.dsr, evidence.carries_over
    if dsr < DSR_LUCK or (dsr < DSR_DOUBT and not carries_over):
        return LIKELY_LUCK
    keeps = carries_over or evidence.cscv.loss_share <= MOST_LOSSES
    if dsr >= DSR_REAL and keeps and evidence.beats_market and not evidence.is_spike:
        return LIKELY_REAL
    return UNPROVEN


def expect_luck(evidence: Evidence, n_trials: float) -> float:
    """Return the Sharpe ratio, annualised, that the best of so many worthless trials has."""
    return compute_expected_maximum(n_trials) / math.sqrt(
        (evidence.best.n_bars - 1) / evidence.best.periods_per_year
    )
