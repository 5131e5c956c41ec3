"""Statistics against overfitting, against published examples and obvious twins."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backtest.overfitting import (
    compute_dsr,
    compute_expected_maximum,
    compute_min_backtest_years,
    compute_psr,
)
from tests.support import peers

EULER = 0.5772156649


def test_the_textbook_strategy_gets_the_textbook_probability():
    dsr = compute_dsr(2.5 / math.sqrt(250), 1250, -3.0, 10.0, 100, trial_variance=0.5 / 250)
    assert dsr == pytest.approx(0.900397, abs=5e-7)


def test_five_years_allow_no_more_than_forty_five_tries_of_a_sharpe_of_one():
    assert compute_min_backtest_years(1.0, 45) == pytest.approx(5.0, abs=0.05)
    assert compute_min_backtest_years(1.0, 45) < 5.0 < compute_min_backtest_years(1.0, 46)


@pytest.mark.parametrize("n_trials", [1.01, 1.5, 2, 7.25, 100, 1e4, 123456.7, 1e9, 1e15])
def test_the_expected_maximum_is_the_published_formula(n_trials):
    upper = -peers.special.ndtri(1 / n_trials)
    tail = -peers.special.ndtri(1 / (n_trials * math.e))
    published = max(0.0, (1 - EULER) * upper + EULER * tail)
    assert compute_expected_maximum(n_trials) == pytest.approx(published, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("n_trials", [20, 1000])
def test_the_expected_maximum_is_about_the_mean_of_real_maxima(n_trials):
    drawn = np.random.default_rng(1).normal(size=(4000, n_trials)).max(axis=1).mean()
    assert compute_expected_maximum(n_trials) == pytest.approx(drawn, abs=0.06)


def test_more_trials_need_more_and_the_number_may_be_huge():
    found = [compute_expected_maximum(n) for n in (1, 2, 10, 1e6, 1e300, 1e308)]
    assert found[0] == 0.0
    assert found == sorted(found)
    assert math.isfinite(found[-1])


def test_without_a_given_variance_it_is_that_of_trials_without_merit():
    own = compute_dsr(0.1, 1001, 0.0, 3.0, 50)
    assert own == compute_dsr(0.1, 1001, 0.0, 3.0, 50, trial_variance=1 / 1000)
    threshold = compute_expected_maximum(50) / math.sqrt(1000)
    assert own == pytest.approx(compute_psr(0.1, 1001, 0.0, 3.0, threshold), rel=1e-12)


def test_one_trial_is_not_deflated():
    assert compute_dsr(0.05, 500, -0.5, 6.0, 1) == compute_psr(0.05, 500, -0.5, 6.0)


@pytest.mark.parametrize(
    "arguments",
    [
        (math.nan, 500, 0.0, 3.0, 10),
        (0.1, 1, 0.0, 3.0, 10),
        (0.1, 500, 0.0, 3.0, math.nan),
        (0.1, 500, 0.0, 3.0, 0.5),
        (0.1, 500, 0.0, 3.0, 10, -1.0),
        (0.1, 500, 0.0, 3.0, 10, math.nan),
    ],
)
def test_it_is_undefined_without_a_defined_estimate_or_a_trial(arguments):
    assert math.isnan(compute_dsr(*arguments))


def test_the_minimum_length_is_undefined_for_losers_and_nothing_for_one_trial():
    assert math.isnan(compute_min_backtest_years(0.0, 10))
    assert math.isnan(compute_min_backtest_years(math.nan, 10))
    assert math.isnan(compute_min_backtest_years(1.0, math.nan))
    assert compute_min_backtest_years(1.0, 1) == 0.0
