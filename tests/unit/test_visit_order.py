"""In which order points are visited: grid, seeded permutation, adaptive search."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.optimizer import VisitOrder, build_visit_order
from rules.visit_order import Permutation
from tests.support.search_spaces import Search, build, find_error


@given(st.integers(1, 3000), st.integers(0, 2**64))
def test_a_permutation_visits_every_point_once(n_points, seed):
    points = Permutation(n_points, seed).apply(np.arange(n_points))
    assert sorted(points.tolist()) == list(range(n_points))


@pytest.mark.parametrize("n_points", [10**12, 2**63 - 1])
def test_a_huge_permutation_is_without_repetition_too(n_points):
    points = Permutation(n_points, 1).apply(np.arange(100_000))
    assert np.unique(points).size == 100_000
    assert points.min() >= 0
    assert points.max() < n_points


def test_the_permutation_is_the_same_for_ever():
    few = Permutation(1000, 7).apply(np.arange(6))
    assert few.tolist() == [715, 588, 890, 542, 881, 242]
    huge = Permutation(10**12, 7).apply(np.array([0, 1, 10**12 - 1]))
    assert huge.tolist() == [550304149777, 465406364182, 381956835372]


def test_a_random_head_covers_the_space_evenly():
    # 100 draws of 50 of 1,000 points in ten bins: 500 each, standard deviation about 20.
    bins: Counter[int] = Counter()
    pairs: Counter[bool] = Counter()
    for seed in range(100):
        points = Permutation(1000, seed).apply(np.arange(50))
        bins.update((points // 100).tolist())
        pairs.update((np.diff(points) > 0).tolist())
    assert all(400 < count < 600 for count in bins.values())
    assert 0.46 < pairs[True] / (pairs[True] + pairs[False]) < 0.54


def test_a_grid_visits_each_point_at_its_own_number():
    space = build("macd", fast="2:9", slow="3:9")
    order = build_visit_order(space, Search())
    assert (order.n_positions, order.n_combinations) == (56, space.count_admitted())
    assert order.points(3, 6).tolist() == [3, 4, 5]
    for bad in ((-1, 3), (5, 4), (0, 57)):
        with pytest.raises(ValueError, match="are not within 0:56"):
            order.points(*bad)


def test_a_random_order_goes_on_until_enough_admitted_points_are_found():
    space = build("macd", fast="2:100", slow="2:100")
    order = build_visit_order(space, Search("random", 1000, 5))
    points = order.points(0, order.n_positions)
    admitted = space.admitted(points)
    assert (admitted.sum(), order.n_combinations) == (1000, 1000)
    assert admitted[-1]
    assert np.unique(points).size == points.size
    assert order.points(700, 900).tolist() == points[700:900].tolist()
    other = build_visit_order(space, Search("random", 1000, 6))
    assert other.points(0, 50).tolist() != points[:50].tolist()


def test_a_random_order_that_asks_for_more_than_there_is_visits_all():
    space = build("macd", fast="2:20", slow="2:20")
    order = build_visit_order(space, Search("random", 10**6))
    assert (order.n_positions, order.n_combinations) == (361, 171)
    free = build_visit_order(build(window="2:20"), Search("random", 10**6))
    assert (free.n_positions, free.n_combinations) == (19, 19)


def test_a_random_order_says_when_admitted_points_are_too_rare():
    space = build("macd", fast="1:10000", slow="2:10000", where="fast * 3000 < slow")
    field, value, message = find_error(build_visit_order, space, Search("random", 9000))
    assert (field, value) == ("where", "fast < slow, fast * 3000 < slow")
    assert re.fullmatch(
        r"only \d+ of the first [0-9,]+ random points meet it; narrow the ranges to where it holds",
        message,
    )


def test_a_random_order_walks_a_whole_space_that_is_small_enough():
    space = build("macd", fast="1:1000", slow="2:1000", where="slow * 100 > 99 * fast * 10")
    order = build_visit_order(space, Search("random", 400_000))
    assert order.n_positions <= space.n_points
    assert order.n_combinations == min(400_000, space.count_admitted())


def test_an_adaptive_order_has_no_points_of_its_own():
    order = build_visit_order(build(window="2:20"), Search("adaptive", 50))
    assert (order.n_positions, order.n_combinations) == (19, 19)
    with pytest.raises(ValueError, match="chooses its points from results"):
        order.points(0, 5)
    unknown = build("macd", fast="1:10000", slow="2:10000", where="fast + 1 < slow")
    assert build_visit_order(unknown, Search("adaptive", 50)) == VisitOrder(
        "adaptive", 99_990_000, 50, 0, None
    )
