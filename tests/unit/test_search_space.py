"""The numbered space: index and values, constraints, exact counts, limits."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.errors import InputError
from rules.base_rule import get_rule
from rules.optimizer import build_search_space, build_visit_order
from rules.optimizer import check_limit as check
from tests.support.search_spaces import Search, build, find_error


def test_axes_stand_in_one_order_whatever_the_order_of_the_request():
    space = build_search_space(
        get_rule("rsi").metadata,
        {"trigger": "exit_zone,enter_zone", "overbought": 80, "window": "2:4"},
        {"trailing_stop": "off,0.1", "fee_rate": "0,0.001"},
        ("AAPL", "IBM"),
    )
    assert [axis.name for axis in space.axes] == [
        "dataset", "window", "trigger", "fee_rate", "trailing_stop",
    ]  # fmt: skip
    assert [axis.group for axis in space.axes] == [
        "dataset", "params", "params", "trading", "trading",
    ]  # fmt: skip
    assert space.fixed["overbought"] == 80.0
    assert space.fixed["oversold"] == 30.0
    assert space.fixed["size"] == 1.0
    assert space.strides == (24, 8, 4, 2, 1)
    assert space[0] == {
        "dataset": "AAPL", "window": 2, "trigger": "exit_zone", "fee_rate": 0.0,
        "trailing_stop": None,
    }  # fmt: skip
    assert space[1]["trailing_stop"] == 0.1
    assert space[-1] == space[47]
    assert len(space) == space.n_points == 48
    assert [space.index(values) for values in space] == list(range(48))
    assert space[3:5] == [space[3], space[4]]


def test_a_space_without_an_axis_has_one_point():
    space = build()
    assert (len(space), space[0], space.index({}), space.count_admitted()) == (1, {}, 0, 1)
    assert space.admitted(np.array([0])).tolist() == [True]


def test_what_is_not_in_the_space_has_no_index():
    space = build(window="2:4", overbought=80)
    assert space.index({"window": 3, "overbought": 80, "fee_rate": 0.001}) == 1
    for values, message in (
        ({}, "window must have a value"),
        ({"window": 9}, "9 is not on the axis window"),
        ({"window": 3, "overbought": 70}, "overbought = 70 is not in the space"),
        ({"window": 3, "colour": 1}, "colour = 1 is not in the space"),
    ):
        with pytest.raises(ValueError, match=message):
            space.index(values)
    with pytest.raises(IndexError, match="the space has 3 points, none numbered 3"):
        space[3]


levels = st.integers(1, 12)


@given(st.tuples(levels, levels, levels), st.data())
def test_index_and_values_undo_each_other(sizes, data):
    n_fast, n_slow, n_stop = sizes
    space = build(
        "macd",
        fast=f"2:{1 + n_fast}",
        slow=[20 + 3 * i for i in range(n_slow)],
        trading={"stop_loss": [None, *(0.01 * (i + 1) for i in range(n_stop))]},
    )
    point = data.draw(st.integers(0, space.n_points - 1))
    values = space[point]
    assert space.index(values) == point
    digits = space.digits(np.arange(space.n_points))
    for row, axis in enumerate(space.axes):
        assert axis[int(digits[row, point])] == values[axis.name]
    assert digits.T.tolist() == [list(cell) for cell in np.ndindex(*map(len, space.axes))]


def test_a_million_million_points_cost_as_little_as_ten():
    space = build("macd", fast="1:10000", slow="2:10000", signal="1:10000")
    assert space.n_points == 999_900_000_000
    for point in range(0, space.n_points, space.n_points // 1000):
        assert space.index(space[point]) == point
    # What the rule itself asks, that fast lies below slow, takes sorting two axes and no more.
    assert space.count_admitted(10_000) == 49_995_000 * 10_000


def test_more_points_than_len_can_say_are_still_counted():
    space = build(
        "rsi_macd",
        window="2:10000", fast="1:10000", slow="2:10000", signal="1:10000", lookback="1:10000",
    )  # fmt: skip
    assert space.n_points == 9999 * 10_000 * 9999 * 10_000 * 10_000
    with pytest.raises(OverflowError):
        len(space)
    assert space.index(space[10**19]) == 10**19
    points = np.array([0, 2**63 - 1])
    assert space.digits(points)[:, 1].tolist() == [
        axis.index(space[2**63 - 1][axis.name]) for axis in space.axes
    ]
    field, _, message = find_error(build_visit_order, space, Search("random", 10))
    assert (field, message) == ("space", "has more than 2**63 points; thin an axis")


wheres = st.lists(
    st.sampled_from(
        ["fast < slow - 3", "fast + signal <= 12", "slow % 2 == 0", "signal != fast",
         "2 * fast < slow < 40", "stop_loss < 0.03", "fast < signal", "signal * stop_loss > 0.1"]
    ),
    max_size=3, unique=True,
)  # fmt: skip


@given(wheres, st.integers(2, 9), st.integers(2, 9), st.booleans())
def test_admitted_points_and_their_number_equal_a_plain_loop(where, n_fast, n_slow, with_off):
    space_text = {"fast": f"2:{1 + n_fast}", "slow": f"{n_slow}:{n_slow + 7}:2", "signal": "3:9:3"}
    stops = "off,0.01:0.05:0.01" if with_off else "0.01:0.05:0.01"
    try:
        space = build("macd", **space_text, trading={"stop_loss": stops}, where=where)
    except InputError:
        return  # nothing admitted; there are tests of that
    met = []
    for values in space:
        names = {name: math.nan if value is None else value for name, value in values.items()}
        met.append(
            values["fast"] < values["slow"]
            and all(
                not (math.isnan(names["stop_loss"]) and "stop_loss" in text)
                and eval(text, {}, dict(names))
                for text in where
            )
        )
    assert space.admitted(np.arange(space.n_points)).tolist() == met
    assert space.count_admitted() == sum(met)


def test_only_axes_that_constraints_tie_together_are_enumerated():
    space = build(
        "rsi_macd", oversold="10:90:0.1", overbought="10:90:0.1", fast="2:100", slow="2:100",
        window="2:1000", signal="2:1000", where=["window > 500"],
    )  # fmt: skip
    # 999 values of the window are all that is looked at one by one.
    assert space.count_admitted(999) == (801 * 800 // 2) * (99 * 98 // 2) * 500 * 999


def test_a_count_that_costs_too_much_is_not_guessed():
    space = build("macd", fast="1:1000", slow="2:1000", where="fast + 1 < slow")
    assert space.count_admitted(998_999) is None
    assert space.count_admitted(999_000) == 999 * 998 // 2


def test_constraints_that_always_hold_cost_nothing():
    space = build(oversold="10:40", overbought="60:90", where="window < 3 * oversold")
    assert space.live_constraints == ()


def test_options_that_are_off_exclude_a_point_that_compares_them():
    space = build(trading={"stop_loss": "off,0.02,0.1"}, where="stop_loss < 0.05")
    assert space.admitted(np.arange(3)).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("rule", "parts", "field", "value", "message"),
    [
        (
            "macd", {"fast": "50:100", "slow": "10:20"}, "space.fast", "fast < slow",
            "no point meets fast < slow of macd: fast is 50 to 100, slow is 10 to 20; widen "
            "a range",
        ),
        (
            "rsi", {"window": "2:50", "where": "window > 3 * overbought"}, "where",
            "window > 3 * overbought",
            "no point meets it: window is 2 to 50, overbought is 70; widen a range",
        ),
        (
            "rsi", {"where": "stop_loss < 1"}, "where", "stop_loss < 1",
            "no point meets it: stop_loss is off; widen a range",
        ),
        (
            "rsi", {"window": "2:50:2", "where": "window % 2 == 1"}, "where",
            "oversold < overbought, window % 2 == 1",
            "none of the 25 points meets all of it; widen a range",
        ),
        (
            "macd", {"fast": "2:9", "slow": "3:9", "where": ["fast > 5", "slow < 7"]}, "where",
            "fast < slow, fast > 5, slow < 7",
            "none of the 56 points meets all of it; widen a range",
        ),
    ],
)  # fmt: skip
def test_a_constraint_that_no_point_meets_is_refused(rule, parts, field, value, message):
    assert find_error(lambda: build(rule, **parts)) == (field, value, message)


def test_constraints_of_refused_names_are_not_told_of_twice():
    with pytest.raises(InputError) as caught:
        build("macd", fast="50:100", slow="10:20:0")
    assert [error.field for error in caught.value.errors] == ["space.slow"]


def test_too_many_constraints_are_refused():
    where = [f"window < {i}" for i in range(20, 80)]
    field, _, message = find_error(lambda: build(where=where))
    assert (field, message) == ("where", "has more than 50 constraints; join or drop some")


@pytest.mark.parametrize(
    ("parts", "limit", "value", "message"),
    [
        (
            {"fast": "1:100", "slow": "101:500:2"}, 5000, "20,000 combinations",
            "is more than the limit of 5,000 combinations; thin slow (200 values) to a step of 8"
            ", or take a random 5,000 with search.method random",
        ),
        (
            {"fast": "1:10000", "slow": "2:10000", "signal": "1:10000"}, 10**7,
            "499,950,000,000 combinations",
            "is more than the limit of 10,000,000 combinations; thin fast (10,000 values) to a "
            "step of 228 and signal (10,000 values) to a step of 228, or take a random 10,000,000 "
            "with search.method random",
        ),
        (
            {"fast": "1,2,5,7", "slow": "10,20"}, 4, "8 combinations",
            "is more than the limit of 4 combinations; thin fast (4 values) to 2 values, or take a "
            "random 4 with search.method random",
        ),
        (
            {"fast": "1,2", "slow": "10,20"}, 1, "4 combinations",
            "is more than the limit of 1 combinations; leave out axes, fast first, or take a "
            "random 1 with search.method random",
        ),
        (
            {"fast": "1:10000", "slow": "2:10000", "where": "fast + 1 < slow"}, 10**7,
            "99,990,000 points before constraints",
            "is more than the limit of 10,000,000 combinations; thin fast (10,000 values) to a "
            "step of 10, or take a random 10,000,000 with search.method random",
        ),
        (
            {"fast": "1:999", "slow": "2:1000", "where": "fast < 3"}, 2000, "998,001 points",
            "has only 1,997 combinations, but a grid steps over every point, and the limit is "
            "40,000; thin fast (999 values) to a step of 25, or take a random 2,000 with "
            "search.method random",
        ),
    ],
)  # fmt: skip
def test_a_grid_above_the_limit_says_how_many_and_what_to_thin(parts, limit, value, message):
    found = find_error(check, build("macd", **parts), Search(), limit)
    assert found == ("space", value, message)


@pytest.mark.parametrize("limit", [100, 999, 5000, 100_000, 1_000_000])
def test_thinning_as_told_is_enough_and_not_far_too_much(limit):
    parts = {"fast": "1:97:1", "slow": "101:911:3", "signal": "2:300:1"}
    field, _, message = find_error(check, build("macd", **parts), Search(), limit)
    thinned = re.findall(r"(\w+) \([0-9,]+ values\) to a step of (\d+)", message)
    for name, step in thinned:
        parts[name] = parts[name].rpartition(":")[0] + f":{step}"
    assert field == "space"
    assert limit / 5 <= build("macd", **parts).n_points <= limit


def test_a_space_within_the_limit_passes():
    check(build("macd", fast="2:9", slow="3:9"), Search(), 56)
    check(build("macd", fast="1:10000", slow="2:10000"), Search("random", 10), 10)
    assert find_error(check, build(), Search("random", 11), 10) == (
        "search.n", 11, "is above the limit of 10 combinations; lower it",
    )  # fmt: skip


def test_a_space_too_large_to_count_at_once_is_counted_before_anything_is_queued(monkeypatch):
    space = build("macd", fast="2:9", slow="3:9")
    monkeypatch.setattr(type(space), "count_admitted", lambda _, limit: 0 if limit > 10**7 else 1)
    with pytest.raises(InputError, match="none of the 56 points meets all of it"):
        check(space, Search(), 10**8)
