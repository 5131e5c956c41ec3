"""Axes of a sweep: what is written, the exact values that it means, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backtest.errors import InputError
from rules.base_rule import Parameter, RuleMetadata, get_rule, list_rules
from rules.optimizer import Axis, SearchSpace, build_search_space
from rules.search_axes import NumberRange
from rules.spec import TradingSpec

RULE = RuleMetadata(
    "probe",
    "Probe",
    "For tests",
    (
        Parameter("window", "int", 14, "Bars", 2, 10_000, "bars"),
        Parameter("level", "float", 0.5, "Any level", -1000, 1000),
        Parameter("free", "float", 0.0, "Unbounded"),
        Parameter("count", "int", 0, "Unbounded"),
        Parameter("mode", "choice", "up", "Mode", choices=("up", "down", "a, b")),
        Parameter("strict", "bool", False, "Flag"),
    ),
)


def build(name: str, raw: object) -> SearchSpace:
    if name in TradingSpec.model_fields:
        context = {"size_type": "shares"} if name == "size" else {}
        return build_search_space(RULE, {}, {**context, name: raw})
    return build_search_space(RULE, {name: raw}, {})


def read(name: str, raw: object) -> list[Any]:
    """Return all values of one name, as axis or fixed."""
    space = build(name, raw)
    return list(space.axes[0]) if space.axes else [space.fixed[name]]


def list_errors(name: str, raw: object) -> list[tuple[str, Any, str]]:
    with pytest.raises(InputError) as caught:
        build(name, raw)
    return [(error.field, error.value, error.message) for error in caught.value.errors]


@pytest.mark.parametrize(
    ("name", "raw", "values"),
    [
        ("window", "14", [14]),
        ("window", 14, [14]),
        ("window", 14.0, [14]),
        ("window", "1.4e1", [14]),
        ("window", "2:5", [2, 3, 4, 5]),
        ("window", "2..5", [2, 3, 4, 5]),
        ("window", "2:8:2", [2, 4, 6, 8]),
        ("window", "2..9:3", [2, 5, 8]),
        ("window", " 2 : 4 , 10 ", [2, 3, 4, 10]),
        ("window", "5:2:-1", [5, 4, 3, 2]),
        ("window", "2:4.5", [2, 3, 4]),
        ("window", "7:7", [7]),
        ("window", "10,14,21", [10, 14, 21]),
        ("window", [21, "14", 10.0], [21, 14, 10]),
        ("window", ["2:4", 9], [2, 3, 4, 9]),
        ("level", "0.1:0.5:0.1", [0.1, 0.2, 0.3, 0.4, 0.5]),
        ("level", ".1:.35:.1", [0.1, 0.2, 0.3]),
        ("level", "1:3", [1.0, 2.0, 3.0]),
        ("level", "-0.2:0.2:0.2", [-0.2, 0.0, 0.2]),
        ("level", "1e-3:3e-3:1e-3", [0.001, 0.002, 0.003]),
        ("level", "-0", [0.0]),
        ("mode", "up", ["up"]),
        ("mode", "down,up", ["down", "up"]),
        ("mode", ["a, b", "up"], ["a, b", "up"]),
        ("mode", "a, b", ["a, b"]),
        ("strict", "true,False", [True, False]),
        ("strict", [False, True], [False, True]),
        ("strict", True, [True]),
        ("stop_loss", "off,0.02:0.1:0.02", [None, 0.02, 0.04, 0.06, 0.08, 0.1]),
        ("stop_loss", [None, 0.05], [None, 0.05]),
        ("stop_loss", "OFF", [None]),
        ("take_profit", "0.5,none", [0.5, None]),
        ("periods_per_year", "off,252", [None, 252.0]),
        ("direction", "long_only,short_only", ["long_only", "short_only"]),
        ("fill", ["same_close", "next_open"], ["same_close", "next_open"]),
        ("size_type", "value,shares", ["value", "shares"]),
        ("size", "1:3", [1.0, 2.0, 3.0]),
        ("initial_cash", "1000:3000:1000", [1000.0, 2000.0, 3000.0]),
    ],
)
def test_values_are_read_as_written(name, raw, values):
    found = read(name, raw)
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_every_trading_setting_can_be_swept():
    for name, info in TradingSpec.model_fields.items():
        levels = ["value", "shares"] if name == "size_type" else [0.25, 0.5]
        if name == "periods_per_year":
            levels = [252.0, 365.0]
        if name in ("direction", "fill"):
            levels = list(info.annotation.__args__)
        assert [axis.name for axis in build(name, levels).axes] == [name]


FORMS = "write a number, a range as 2:50 or 2:50:2, or a list as 10,14,21"
WINDOW = "must be a whole number from 2 to 10000 bars"
OFF = ", or write off to switch it off"


@pytest.mark.parametrize(
    ("name", "raw", "value", "message"),
    [
        ("window", "", "", f"is empty; {FORMS}"),
        ("window", [], [], f"is empty; {FORMS}"),
        ("window", "2,,3", "", f"has an empty place in the list; {FORMS}"),
        ("window", "2:9:0", "2:9:0", "the step must not be 0; write 2:9:1 for example"),
        ("window", "9:2:0", "9:2:0", "the step must not be 0; write 9:2:-1 for example"),
        ("level", "0.5:0.1:0", "0.5:0.1:0",
         "the step must not be 0; write 0.5:0.1:-0.04 for example"),
        ("window", ",", "", "has an empty place in the list; write a number, a range as 2:50 or "
                            "2:50:2, or a list as 10,14,21"),
        (
            "window", "2:9:-1", "2:9:-1",
            "the step has the wrong sign: -1 never leads from 2 to 9; write 2:9:1",
        ),
        (
            "window", "9:2", "9:2",
            "the step has the wrong sign: 1 never leads from 9 to 2; write 2:9",
        ),
        (
            "window", "9:2:3", "9:2:3",
            "the step has the wrong sign: 3 never leads from 9 to 2; write 2:9:3",
        ),
        (
            "window", "2:9:3:1", "2:9:3:1",
            "a range has a start, an end and at most one step, as 2:50:2",
        ),
        ("window", "2:x", "2:x", f"'x' is not a number; {FORMS}"),
        ("window", "2:", "2:", f"'' is not a number; {FORMS}"),
        ("window", "1_000", "1_000", f"'1_000' is not a number; {FORMS}"),
        ("window", "nan", "nan", f"'nan' is not a number; {FORMS}"),
        ("window", "1" * 50, "1" * 50,
         "has a number too long to read; write it with at most 40 characters"),
        ("window", "1:9", "1:9", f"{WINDOW} (the range starts at 1)"),
        ("window", "2:20000", "2:20000", f"{WINDOW} (the range ends at 20000)"),
        ("window", "2:9:0.5", "2:9:0.5",
         "takes whole numbers; write start and step without decimals"),
        ("window", "2.5", "2.5", WINDOW),
        ("window", "off", "off", f"off is only for optional settings; {FORMS}"),
        ("window", None, None, f"off is only for optional settings; {FORMS}"),
        ("window", True, True, WINDOW),
        ("window", {"a": 1}, {"a": 1}, WINDOW),
        ("window", [[2, 3]], [2, 3], WINDOW),
        ("window", "2:9,5", "2:9,5", "5 comes twice; remove one of them"),
        ("window", [7, "7"], [7, "7"], "7 comes twice; remove one of them"),
        ("window", "2:20:3,9:17:4", "2:20:3,9:17:4", "17 comes twice; remove one of them"),
        ("stop_loss", "off,0.1,none", "off,0.1,none", "off comes twice; remove one of them"),
        ("level", "0.1,1e-1", "0.1,1e-1", "0.1 comes twice; remove one of them"),
        ("level", "0.1:0.5", "0.1:0.5",
         "a range of fractions needs a step; write 0.1:0.5:0.04 for example"),
        ("free", "0:1:1e-16", "0:1:1e-16",
         "start, end and step need more than 15 digits in common; write fewer decimals"),
        ("free", "0:1e-30:1e-31", "0:1e-30:1e-31",
         "start, end and step need more than 15 digits in common; write fewer decimals"),
        ("free", "0:1:1e-999", "0:1:1e-999",
         "start, end and step need more than 15 digits in common; write fewer decimals"),
        ("count", 10**16, 10**16, "must be at most 1e15 in a sweep"),
        ("mode", "left", "left", "must be one of up, down, a, b"),
        ("mode", "", "", "is empty; give one or more of up, down, a, b"),
        ("strict", "maybe", "maybe", "must be true or false"),
        ("strict", 1, 1, "must be true or false"),
        ("stop_loss", "0.5:1:0.1", "0.5:1:0.1",
         f"must be above 0 and below 1; write 0.01 for 1 %{OFF} (the range ends at 1)"),
        ("stop_loss", 5, 5, f"must be above 0 and below 1; write 0.05 for 5 %{OFF}"),
        ("direction", "up", "up", "must be one of long_only, long_short, short_only"),
        ("fee_rate", "off", "off", f"off is only for optional settings; {FORMS}"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_remedy(name, raw, value, message):
    group = "trading" if name in TradingSpec.model_fields else "space"
    assert list_errors(name, raw) == [(f"{group}.{name}", value, message)]


def test_all_wrong_values_of_all_names_are_told_at_once():
    with pytest.raises(InputError) as caught:
        build_search_space(
            RULE, {"window": "1,2:9:0", "x": 1}, {"fee_rate": 2, "fil": 1}, (), "a < b"
        )
    fields = [error.field for error in caught.value.errors]
    assert sorted(fields) == [
        "space.window", "space.window", "space.x", "trading.fee_rate", "trading.fil", "where",
    ]  # fmt: skip


def test_a_list_of_too_many_values_or_ranges_is_refused():
    assert "lists at most 100,000" in list_errors("window", [1] * 100_001)[0][2]
    raw = ",".join(f"{10 * i}:{10 * i + 3}" for i in range(1, 102))
    assert "more than 100 ranges" in list_errors("window", raw)[0][2]


@given(
    start=st.decimals(-500, 500, places=4, allow_nan=False),
    step=st.decimals("0.0001", 50, places=4),
    count=st.integers(2, 3000),
    data=st.data(),
)
@example(start=Decimal("0.1"), step=Decimal("0.1"), count=5, data=None)
def test_a_range_holds_exactly_the_decimals_that_it_writes(start, step, count, data):
    end = start + (count - 1) * step
    # The end may lie anywhere before the next grid point.
    extra = step * (data.draw(st.integers(0, 9)) if data else 0) / 10
    axis = build("free", f"{start}:{end + extra}:{step}").axes[0]
    wanted = [float(start + i * step) for i in range(count)]
    assert list(axis) == wanted
    values = axis.values(np.arange(count))
    assert values.tobytes() == np.array(wanted).tobytes()
    assert all(axis.index(value) == i for i, value in enumerate(wanted[:50]))
    again = build("free", axis.to_spec()).axes[0]
    assert list(again) == wanted


@given(st.integers(0, 10**12 - 1), st.integers(0, 10**12 - 1))
def test_an_axis_of_a_million_million_values_is_as_quick_as_one_of_ten(i, k):
    axis = build("free", "0:999.999999999999:0.000000000001").axes[0]
    assert axis.n_values == len(axis) == 10**15
    picks = np.array([i, k, 10**15 - 1])
    assert axis.values(picks).tolist() == [axis[int(pick)] for pick in picks]
    assert [axis.index(axis[int(pick)]) for pick in picks] == picks.tolist()
    assert axis[i] == float(Decimal(i).scaleb(-12))


@given(st.lists(st.floats(-1e6, 1e6).map(lambda x: x + 0.0), min_size=2, unique=True))
def test_a_list_of_any_floats_keeps_their_bits(levels):
    axis = build("free", levels).axes[0]
    assert axis.values(np.arange(len(levels))).tobytes() == np.array(levels).tobytes()
    assert [axis.index(level) for level in levels] == list(range(len(levels)))
    text = axis.to_spec()
    assert list(build("free", text).axes[0]) == levels


ranges = st.builds(
    NumberRange,
    first=st.integers(-60, 60),
    step=st.integers(-9, 9).filter(bool),
    count=st.integers(2, 20),
    scale=st.integers(0, 2),
)


@given(ranges, ranges)
def test_common_values_of_two_ranges_are_found_without_listing_them(one, other):
    def listed(segment: NumberRange) -> set[Decimal]:
        return {
            Decimal(segment.first + i * segment.step).scaleb(-segment.scale)
            for i in range(segment.count)
        }

    common = listed(one) & listed(other)
    found = one.find_common(other)
    assert found == min(common) if common else found is None


def test_mixed_segments_are_one_sequence_also_when_too_long_for_a_table():
    axis = build("window", "3000,2:2999,9000:4000:-1").axes[0]
    wanted = [3000, *range(2, 3000), *range(9000, 3999, -1)]
    assert list(axis) == wanted == axis.values(np.arange(len(wanted))).tolist()
    assert [axis.index(value) for value in wanted[::97]] == list(range(0, len(wanted), 97))
    assert axis.bounds == (2, 9000)


def test_what_is_not_on_an_axis_has_no_index():
    axis = build("stop_loss", "0.02:0.1:0.02").axes[0]
    for value in (0.03, None, float("nan"), float("inf"), "0.02", True, 0.12, 0.0):
        with pytest.raises(ValueError, match="is not on the axis stop_loss"):
            axis.index(value)
    with pytest.raises(IndexError, match="stop_loss has 5 values, none numbered 5"):
        axis[5]
    assert build("strict", "true,false").axes[0].index(np.False_) == 1
    with pytest.raises(ValueError, match="strict"):
        build("strict", "true,false").axes[0].index(1)


def test_off_is_beyond_the_largest_level_as_a_neighbour():
    axis = build("stop_loss", "off,0.1,0.02:0.06:0.02").axes[0]
    assert axis.neighbour_order().tolist() == [2, 3, 4, 1, 0]
    assert axis.index(None) == axis.index(float("nan")) == 0
    assert np.isnan(axis.values(np.array([0]))[0])
    assert build("mode", "up,down").axes[0].neighbour_order() is None
    with pytest.raises(ValueError, match="too many to sort"):
        build("free", "0:999:0.000001").axes[0].neighbour_order()


@pytest.mark.parametrize(
    ("name", "raw", "dtype"),
    [("window", "2,3", "int64"), ("level", "2,3", "float64"), ("strict", "true,false", "bool"),
     ("mode", "up,down", "object"), ("stop_loss", "off,0.1", "float64")],
)  # fmt: skip
def test_values_come_in_the_type_of_their_kind(name, raw, dtype):
    axis: Axis = build(name, raw).axes[0]
    assert axis.values(np.array([1, 0])).dtype == dtype


def test_a_list_written_back_is_read_as_the_same_axis():
    for name, raw in (("mode", ["a, b", "up"]), ("strict", "false,true"), ("window", "9,2:4")):
        axis = build(name, raw).axes[0]
        assert build(name, axis.to_spec()).axes[0] == axis


def test_no_rule_has_a_parameter_of_the_name_of_a_trading_setting():
    taken = {*TradingSpec.model_fields, "dataset"}
    for rule in list_rules():
        assert not taken & {parameter.name for parameter in rule.metadata.parameters}


def test_a_rule_that_has_one_is_told_so():
    rule = RuleMetadata("own", "Own", "x", (Parameter("size", "float", 1.0, "x"),))
    with pytest.raises(InputError, match="its parameter size needs a name of its own"):
        build_search_space(rule, {}, {})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stop_loss", "is a trading setting; write it inside trading, as trading.stop_loss"),
        ("dataset", "write several datasets as a list in datasets"),
        ("start", "cannot be swept; write it beside space, with one value"),
        ("windw", "unknown parameter of rsi; known: window, oversold, overbought, trigger"
                  "; did you mean window?"),
    ],
)  # fmt: skip
def test_an_unknown_name_in_space_is_told_where_it_belongs(name, message):
    with pytest.raises(InputError) as caught:
        build_search_space(get_rule("rsi").metadata, {name: "1,2"}, {})
    assert [(error.field, error.message) for error in caught.value.errors] == [
        (f"space.{name}", message)
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("window", "is a parameter of rsi; write it inside space"),
        ("end", "is no trading setting and cannot be swept; write it beside trading, with one "
                "value"),
        ("fill_", "unknown field; remove it or correct its name; did you mean fill?"),
    ],
)  # fmt: skip
def test_an_unknown_name_in_trading_is_told_where_it_belongs(name, message):
    with pytest.raises(InputError) as caught:
        build_search_space(get_rule("rsi").metadata, {}, {name: "1,2"})
    assert [(error.field, error.message) for error in caught.value.errors] == [
        (f"trading.{name}", message)
    ]


def test_a_rule_without_parameters_says_so():
    with pytest.raises(InputError, match="buy_and_hold has no parameters; remove it"):
        build_search_space(get_rule("buy_and_hold").metadata, {"window": "1,2"}, {})


@pytest.mark.parametrize(
    ("trading", "message"),
    [
        ({"size": "0.5,3"}, "percent takes a fraction in (0, 1], and 3 is not; write 0.03 for 3 %"),
        ({"size": "1:500:100", "size_type": "percent,shares"},
         "percent takes a fraction in (0, 1], and 401 is not; lower it, or choose size_type "
         "value or shares; or sweep the size types apart"),
        ({"size": 50},
         "percent takes a fraction in (0, 1], and 50 is not; write 0.5 for 50 %"),
    ],
)  # fmt: skip
def test_every_size_must_fit_every_size_type(trading, message):
    with pytest.raises(InputError) as caught:
        build_search_space(RULE, {}, trading)
    assert [(error.field, error.message) for error in caught.value.errors] == [
        ("trading.size", message)
    ]
    build_search_space(RULE, {}, {"size": "0.5,1", "size_type": "percent,shares"})
