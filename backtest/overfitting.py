"""Statistics against overfitting: how much of a Sharpe ratio is luck.

All Sharpe ratios here are per period, not annualised, unless a name says so.
"""

from __future__ import annotations

import math
from statistics import NormalDist

_NORMAL = NormalDist()
_EULER = 0.5772156649015329  # Euler-Mascheroni
_MAX_TRIALS = 1e300  # 1 / (N e) stays a normal number


def compute_psr(
    sharpe: float, n_returns: int, skew: float, kurtosis: float, sharpe_threshold: float = 0.0
) -> float:
    """Return the probabilistic Sharpe ratio: how likely the true Sharpe exceeds a threshold.

    Parameters
    ----------
    sharpe : float
        Observed Sharpe ratio per period, not annualised (standard deviation with ddof=1).
    n_returns : int
        Number of periods observed.
    skew : float
        Population skewness of the returns.
    kurtosis : float
        Population kurtosis, raw: 3 for a normal distribution. Excess kurtosis fed here by mistake
        is a known bug elsewhere and makes every track record look safer than it is.
    sharpe_threshold : float, default 0
        The Sharpe ratio per period to be exceeded.

    Returns
    -------
    float
        In [0, 1]. NaN if any input is NaN, for fewer than two periods, and where the estimator's
        variance is not positive.

    References
    ----------
    Bailey, D. H. and Lopez de Prado, M. (2012), The Sharpe ratio efficient frontier, Journal of
    Risk 15(2), 3-44.
    """
    variance = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe * sharpe
    if n_returns < 2 or not variance > 0.0:  # "not >" is also true of NaN
        return math.nan
    z = (sharpe - sharpe_threshold) * math.sqrt(n_returns - 1) / math.sqrt(variance)
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def compute_expected_maximum(n_trials: float) -> float:
    """Return how large the largest of independent standard normal numbers is on average.

    Parameters
    ----------
    n_trials : float
        How many there are; an effective number need not be whole.

    Returns
    -------
    float
        In standard deviations, by the extreme value theorem:
        (1 - c) PhiInv(1 - 1/N) + c PhiInv(1 - 1/(N e)), and never below 0. It is 0 for one trial,
        NaN for fewer or NaN.

    References
    ----------
    Bailey, D. H. and Lopez de Prado, M. (2014), The deflated Sharpe ratio, Journal of Portfolio
    Management 40(5), 94-107, equation 1 and appendix A.1.
    """
    if not n_trials >= 1.0:  # also of NaN
        return math.nan
    if n_trials == 1.0:
        return 0.0
    n_trials = min(n_trials, _MAX_TRIALS)
    # PhiInv(1 - p) = -PhiInv(p), which keeps its digits where 1 - p is rounded to 1.
    upper = -_NORMAL.inv_cdf(1.0 / n_trials)
    tail = -_NORMAL.inv_cdf(1.0 / (n_trials * math.e))
    return max(0.0, (1.0 - _EULER) * upper + _EULER * tail)


def compute_dsr(
    sharpe: float,
    n_returns: int,
    skew: float,
    kurtosis: float,
    n_trials: float,
    trial_variance: float | None = None,
) -> float:
    """Return the deflated Sharpe ratio: how likely the best of many trials is more than luck.

    It is `compute_psr` against the Sharpe ratio that the best of `n_trials` trials without any
    merit has on average.

    Parameters
    ----------
    sharpe, n_returns, skew, kurtosis
        Of the best trial; see `compute_psr`.
    n_trials : float
        How many independent trials the best was chosen from.
    trial_variance : float, optional
        Variance of the Sharpe ratios of the trials. By default 1 / (n_returns - 1), which it is
        where no trial has merit: the textbook's sample variance grows with a real edge and hides
        it.

    Returns
    -------
    float
        In [0, 1]; NaN as `compute_psr`, for less than one trial and for a negative variance.

    References
    ----------
    Bailey, D. H. and Lopez de Prado, M. (2014), The deflated Sharpe ratio, Journal of Portfolio
    Management 40(5), 94-107, equation 2.
    """
    if n_returns < 2:
        return math.nan
    variance = 1.0 / (n_returns - 1) if trial_variance is None else trial_variance
    if not variance >= 0.0:
        return math.nan
    threshold = math.sqrt(variance) * compute_expected_maximum(n_trials)
    if math.isnan(threshold):
        return math.nan
    return compute_psr(sharpe, n_returns, skew, kurtosis, threshold)


def compute_min_backtest_years(annual_sharpe: float, n_trials: float) -> float:
    """Return the minimum backtest length: below it, luck alone makes such a best of many trials.

    Parameters
    ----------
    annual_sharpe : float
        Annualised Sharpe ratio of the best trial.
    n_trials : float
        How many independent trials it was chosen from.

    Returns
    -------
    float
        Years: (expected maximum of N standard normal numbers / annual Sharpe)^2. 0 for one trial;
        NaN for a Sharpe ratio that is not positive, and as `compute_expected_maximum`.

    References
    ----------
    Bailey, D. H., Borwein, J. M., Lopez de Prado, M. and Zhu, Q. J. (2014), Pseudo-mathematics and
    financial charlatanism, Notices of the AMS 61(5), 458-471, theorem 2.
    """
    if not annual_sharpe > 0.0:
        return math.nan
    return (compute_expected_maximum(n_trials) / annual_sharpe) ** 2
