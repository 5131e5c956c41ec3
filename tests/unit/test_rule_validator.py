"""Rule parameters are refused with the remedy, all at once; rules that look ahead are named."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.bars import Bars, build_bars
from backtest.errors import InputError
from rules.base_rule import (
    BaseRule,
    Constraint,
    Parameter,
    RuleMetadata,
    RuleOutput,
    build_window,
)
from rules.rule_validator import (
    LookaheadError,
    check_no_lookahead,
    choose_cut_points,
    describe_domain,
    truncate_bars,
    validate_params,
)

METADATA = RuleMetadata(
    name="demo",
    title="Demo",
    summary="Every type of parameter",
    parameters=(
        build_window("fast", 5, "Fast", minimum=2),
        build_window("slow", 20, "Slow", minimum=2),
        Parameter("level", "float", 30.0, "Level", 0, 100),
        Parameter("strict", "bool", False, "Strict"),
        Parameter("side", "choice", "both", "Side", choices=("long", "both")),
        Parameter("free", "float", 1.5, "Any number"),
    ),
    constraints=(Constraint("fast", "<", "slow"),),
)
DEFAULTS = {"fast": 5, "slow": 20, "level": 30.0, "strict": False, "side": "both", "free": 1.5}


def list_errors(raw: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(InputError) as caught:
        validate_params(METADATA, raw)
    return {error.field: error.message for error in caught.value.errors}


def test_missing_parameters_take_their_defaults_in_the_declared_order():
    assert validate_params(METADATA, {}) == DEFAULTS
    assert list(validate_params(METADATA, {"side": "long", "fast": 3})) == list(DEFAULTS)


def test_numbers_come_out_in_the_declared_type():
    values = validate_params(METADATA, {"fast": 7.0, "level": 25})
    assert (values["fast"], type(values["fast"])) == (7, int)
    assert (values["level"], type(values["level"])) == (25.0, float)


@pytest.mark.parametrize("name", ["fast", "level", "strict", "side", "free"])
@pytest.mark.parametrize("value", [None, "abc", "14", [], {}, [1], math.nan, math.inf, 10**400])
def test_a_value_of_another_type_is_refused(name, value):
    assert list(list_errors({name: value})) == [f"params.{name}"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"fast": 1}, "must be a whole number from 2 to 10000 bars"),
        ({"fast": 10_001}, "must be a whole number from 2 to 10000 bars"),
        ({"fast": 2.5}, "must be a whole number from 2 to 10000 bars"),
        ({"fast": True}, "must be a whole number from 2 to 10000 bars"),
        ({"level": -0.1}, "must be a number from 0 to 100"),
        ({"level": 100.5}, "must be a number from 0 to 100"),
        ({"level": False}, "must be a number from 0 to 100"),
        ({"strict": 1}, "must be true or false"),
        ({"side": "short"}, "must be one of long, both"),
        ({"free": "x"}, "must be a number"),
        ({"fast": 20}, "must be below slow (20); lower fast or raise slow"),
        ({"fast": 9, "slow": 4}, "must be below slow (4); lower fast or raise slow"),
        (
            {"fsat": 3},
            "unknown parameter of demo; known: fast, slow, level, strict, side, free; "
            "did you mean fast?",
        ),
    ],
)
def test_the_message_tells_what_is_allowed(raw, message):
    assert list(list_errors(raw).values()) == [message]


def test_every_fault_is_reported_at_once():
    raw = {"what": 1, "fast": "x", "level": 101, "strict": "yes", "side": 3, "slow": 20}
    assert list_errors(raw).keys() == {
        "params.what",
        "params.fast",
        "params.level",
        "params.strict",
        "params.side",
    }


def test_a_constraint_is_not_judged_on_a_value_that_is_already_refused():
    assert list(list_errors({"fast": 0, "slow": 2})) == ["params.fast"]


def test_a_rule_without_parameters_says_so():
    bare = RuleMetadata(name="bare", title="Bare", summary="None")
    with pytest.raises(InputError, match="bare has no parameters; remove it"):
        validate_params(bare, {"window": 3})


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ({"minimum": 0}, "must be a number, at least 0"),
        ({"maximum": 0.5}, "must be a number, at most 0.5"),
        ({"minimum": 0.001, "maximum": 1_000_000}, "must be a number from 0.001 to 1000000"),
        ({}, "must be a number"),
    ],
)
def test_bounds_read_like_a_sentence(bounds, text):
    assert describe_domain(Parameter("x", "float", 0.1, "X", **bounds)) == text


@given(st.dictionaries(st.sampled_from([*DEFAULTS, "other"]), st.from_type(object), max_size=4))
def test_whatever_is_sent_is_either_complete_and_in_range_or_refused(raw):
    try:
        values = validate_params(METADATA, raw)
    except InputError:
        return
    assert list(values) == list(DEFAULTS)
    assert 2 <= values["fast"] < values["slow"] <= 10_000
    assert 0 <= values["level"] <= 100
    assert {type(value) for value in values.values()} == {int, float, bool, str}


# The look-ahead check


def build_walk(n_bars: int = 200) -> Bars:
    rng = np.random.default_rng(4)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, n_bars)))
    return build_bars(86_400_000_000_000 * np.arange(n_bars), close, close, close, close)[0]


class ScriptedRule(BaseRule):
    """Returns what a function makes of the closes."""

    metadata = RuleMetadata(name="scripted", title="Scripted", summary="As told")

    def __init__(self, script, warmup_bars: int = 0) -> None:
        self._script, self._warmup_bars = script, warmup_bars

    def warmup_bars(self, **params: Any) -> int:
        return self._warmup_bars

    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        return self._script(bars.close)


def build_zeros(close):
    return np.zeros(close.size, dtype=np.int8)


def test_an_honest_rule_passes():
    def follow(close):
        up = np.concatenate([[False], close[1:] > close[:-1]])
        mean = np.cumsum(close) / np.arange(1, close.size + 1)
        mean[:20] = np.nan  # a warm-up
        return RuleOutput(up.astype(np.int8), weight=np.where(up, 0.5, 1.0), indicators={"m": mean})

    check_no_lookahead(ScriptedRule(follow), build_walk(), {})


def test_a_look_ahead_is_named_with_rule_bar_and_values():
    def peek(close):
        signal = build_zeros(close)
        signal[:-1] = close[1:] > close[:-1]
        return RuleOutput(signal)

    bars = build_walk()
    signal_idx = int(np.flatnonzero(peek(bars.close).signal)[0])
    with pytest.raises(LookaheadError) as caught:
        check_no_lookahead(ScriptedRule(peek), bars, {}, [signal_idx + 1])
    error = caught.value
    assert (error.rule, error.column, error.bar_idx) == ("scripted", "signal", signal_idx)
    assert error.n_kept == signal_idx + 1
    assert str(error) == (
        f"rule 'scripted' looks ahead: signal at bar {signal_idx} changes from 1 to 0 once only "
        f"the first {signal_idx + 1} bars are given; compute entry t from bars <= t"
    )


def test_a_peek_at_one_single_bar_far_out_is_found_by_the_default_cuts():
    def peek_once(close):
        signal = build_zeros(close)
        if close.size > 151:
            signal[150] = 1
        return RuleOutput(signal)

    with pytest.raises(LookaheadError, match="signal at bar 150 changes from 1 to 0"):
        check_no_lookahead(ScriptedRule(peek_once), build_walk(), {})


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            lambda close: RuleOutput(build_zeros(close), weight=np.full(close.size, 1 / close[-1])),
            "weight at bar 0 changes",
        ),
        (
            lambda close: RuleOutput(build_zeros(close), indicators={"z": close - close.mean()}),
            r"indicators\.z at bar 0 changes",
        ),
        (
            lambda close: RuleOutput(
                build_zeros(close), weight=np.ones(close.size) if close.size > 99 else None
            ),
            "weight appears or disappears",
        ),
        (lambda close: RuleOutput(np.zeros(200, dtype=np.int8)), r"signal has shape \(200,\)"),
    ],
)
def test_weights_indicators_and_shapes_are_compared_too(script, message):
    with pytest.raises(LookaheadError, match=message):
        check_no_lookahead(ScriptedRule(script), build_walk(), {})


def test_rounding_in_an_indicator_is_no_look_ahead_but_a_changed_warm_up_is():
    def scale(relative_change):
        return lambda close: RuleOutput(
            build_zeros(close), indicators={"x": close * (1 + relative_change * close.size)}
        )

    check_no_lookahead(ScriptedRule(scale(1e-14)), build_walk(), {})
    with pytest.raises(LookaheadError):
        check_no_lookahead(ScriptedRule(scale(1e-10)), build_walk(), {})

    def warm_up_by_length(close):
        values = close.copy()
        values[: close.size // 10] = np.nan
        return RuleOutput(build_zeros(close), indicators={"x": values})

    with pytest.raises(LookaheadError, match="changes from nan to"):
        check_no_lookahead(ScriptedRule(warm_up_by_length), build_walk(), {})


@pytest.mark.parametrize("cut_point", [0, -1, 201])
def test_a_cut_outside_the_data_is_refused(cut_point):
    rule = ScriptedRule(lambda close: RuleOutput(build_zeros(close)))
    with pytest.raises(ValueError, match=f"cut point {cut_point} must be from 1 to 200 bars"):
        check_no_lookahead(rule, build_walk(), {}, [cut_point])


def test_cut_points_lie_around_warm_up_and_right_after_signals():
    signal = np.zeros(200, dtype=np.int8)
    signal[[0, 57, 199]] = 1, -1, 2
    points = choose_cut_points(RuleOutput(signal), 200, warmup_bars=30)
    assert {29, 30, 31, 32, 57, 58, 199, 200} <= set(points)
    assert points == sorted(set(points))
    assert (points[0], points[-1]) == (2, 200)


def test_a_truncated_dataset_keeps_what_is_known_of_the_whole():
    bars = build_walk()
    short = truncate_bars(bars, 3)
    assert short.n_bars == 3
    assert short.close.tolist() == bars.close[:3].tolist()
    assert (short.spacing, short.periods_per_year) == (bars.spacing, bars.periods_per_year)
