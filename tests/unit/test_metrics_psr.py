"""The probabilistic Sharpe ratio against published and independently computed values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.overfitting import compute_psr
from tests.support import peers


def test_the_textbook_track_record_gets_the_textbook_probability():
    psr = compute_psr(0.9, 36, skew=0.0, kurtosis=3.0, sharpe_threshold=0.6)
    assert psr == pytest.approx(0.932846, abs=5e-7)


def test_excess_kurtosis_fed_by_mistake_is_seen_as_another_number():
    mistaken = compute_psr(0.9, 36, skew=0.0, kurtosis=0.0, sharpe_threshold=0.6)
    assert mistaken == pytest.approx(0.976562, abs=5e-7)


@given(
    st.floats(-1, 1), st.integers(2, 10_000), st.floats(-3, 3), st.floats(0, 30), st.floats(-1, 1)
)
def test_it_is_the_normal_probability_of_the_published_formula(
    sharpe, n_returns, skew, excess, threshold
):
    kurtosis = 1.0 + skew**2 + excess  # no distribution has less
    error = math.sqrt(1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2)
    if error < 1e-6:
        return
    z = (sharpe - threshold) * math.sqrt(n_returns - 1) / error
    assert compute_psr(sharpe, n_returns, skew, kurtosis, threshold) == pytest.approx(
        peers.special.ndtr(z), rel=1e-9, abs=1e-12
    )


@pytest.mark.parametrize(
    "arguments",
    [
        (math.nan, 36, 0.0, 3.0),
        (0.9, 36, math.nan, 3.0),
        (0.9, 36, 0.0, math.nan),
        (0.9, 1, 0.0, 3.0),
        (1.0, 36, 2.0, 5.0),  # the estimator's variance is 0: no probability follows
    ],
)
def test_it_is_undefined_without_a_defined_estimate(arguments):
    assert math.isnan(compute_psr(*arguments))
