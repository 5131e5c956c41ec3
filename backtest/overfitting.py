"""Statistics against overfitting: how much of a Sharpe ratio is luck."""

from __future__ import annotations

import math


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
