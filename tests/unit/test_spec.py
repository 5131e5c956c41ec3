"""Run requests: one canonical form, every fault at once, each with its remedy."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backtest.errors import InputError
from rules.base_rule import list_rules
from rules.spec import (
    RunRequest,
    TradingSpec,
    coerce_text,
    coerce_text_fields,
    describe_validation_error,
    parse_run_request,
)

BASE = {"dataset": "AAPL", "rule": "rsi"}


def parse(**changes: Any) -> RunRequest:
    return parse_run_request({**BASE, **changes})


def list_errors(payload: object) -> list[tuple[str, str]]:
    with pytest.raises(InputError) as caught:
        parse_run_request(payload)
    return [(error.field, error.message) for error in caught.value.errors]


def test_a_request_is_completed_with_every_default():
    request = parse()
    assert request.params == {
        "window": 14, "oversold": 30.0, "overbought": 70.0, "trigger": "enter_zone",
    }  # fmt: skip
    assert request.trading == TradingSpec()
    assert request.model_dump(exclude={"params", "trading"}) == {
        **BASE, "start": None, "end": None, "adjust": True, "force": False, "tags": [], "note": "",
    }  # fmt: skip


def test_the_defaults_are_those_of_the_contract():
    assert TradingSpec().model_dump() == {
        "initial_cash": 100_000.0,
        "fee_rate": 0.001,
        "fee_fixed": 0.0,
        "slippage": 0.0,
        "size": 1.0,
        "size_type": "percent",
        "lot_size": 0.0,
        "direction": "long_only",
        "fill": "next_open",
        "stop_loss": None,
        "take_profit": None,
        "trailing_stop": None,
        "cash_rate": 0.0,
        "borrow_rate": 0.0,
        "periods_per_year": None,
        "risk_free": 0.0,
        "mar": 0.0,
    }


def test_whole_numbers_are_taken_where_a_fraction_is_asked_for():
    trading = parse(trading={"initial_cash": 5000, "fee_rate": 0, "size": 1}).trading
    assert (trading.initial_cash, trading.fee_rate, trading.size) == (5000.0, 0.0, 1.0)
    assert type(trading.initial_cash) is float


OFF = ", or leave it empty to switch it off"


@pytest.mark.parametrize(
    ("trading", "field", "message"),
    [
        ({"size": 50}, "size", "percent takes a fraction in (0, 1]; write 0.5 for 50 %"),
        ({"size": 1.5}, "size", "percent takes a fraction in (0, 1]; write 0.015 for 1.5 %"),
        ({"size": 500}, "size", "percent takes a fraction in (0, 1]"),
        (
            {"size": 0},
            "size",
            "must be above 0 and at most 1e15; with size_type percent a fraction, at most 1",
        ),
        ({"initial_cash": 0}, "initial_cash", "must be above 0 and at most 1e15"),
        ({"initial_cash": -5}, "initial_cash", "must be above 0 and at most 1e15"),
        ({"initial_cash": "1"}, "initial_cash", "must be a number, above 0 and at most 1e15"),
        ({"initial_cash": 10**400}, "initial_cash", "must be a number, above 0 and at most 1e15"),
        ({"fee_rate": -0.001}, "fee_rate", "must be at least 0 and below 1"),
        ({"fee_rate": 5}, "fee_rate", "must be at least 0 and below 1; write 0.05 for 5 %"),
        ({"fee_rate": "abc"}, "fee_rate", "must be a number, at least 0 and below 1"),
        ({"fee_rate": True}, "fee_rate", "must be a number, at least 0 and below 1"),
        ({"fee_rate": None}, "fee_rate", "must be a number, at least 0 and below 1"),
        ({"fee_rate": [0.1]}, "fee_rate", "must be a number, at least 0 and below 1"),
        ({"fee_rate": float("nan")}, "fee_rate", "must be a number, at least 0 and below 1"),
        ({"slippage": float("inf")}, "slippage", "must be a number, at least 0 and below 1"),
        ({"stop_loss": 0}, "stop_loss", f"must be above 0 and below 1{OFF}"),
        ({"stop_loss": 1}, "stop_loss", f"must be above 0 and below 1; write 0.01 for 1 %{OFF}"),
        ({"trailing_stop": "x"}, "trailing_stop", f"must be a number, above 0 and below 1{OFF}"),
        ({"take_profit": -1}, "take_profit", f"must be above 0 and at most 1000{OFF}"),
        (
            {"periods_per_year": 0},
            "periods_per_year",
            "must be at least 1 and at most 1e7, or leave it empty to derive it from the data",
        ),
        ({"mar": -1}, "mar", "must be above -1 and at most 10"),
        ({"mar": 20}, "mar", "must be above -1 and at most 10; write 0.2 for 20 %"),
        ({"mar": 1000}, "mar", "must be above -1 and at most 10"),
        ({"direction": "up"}, "direction", "must be one of long_only, long_short, short_only"),
        ({"fill": None}, "fill", "must be one of next_open, same_close, worst_of_bar"),
        ({"size_type": 1}, "size_type", "must be one of percent, value, shares"),
        ({"feerate": 1}, "feerate", "unknown field; remove it or correct its name"
                                    "; did you mean fee_rate?"),
        ({"zzz": 1}, "zzz", "unknown field; remove it or correct its name"),
    ],
)  # fmt: skip
def test_a_trading_value_is_refused_with_its_remedy(trading, field, message):
    assert list_errors({**BASE, "trading": trading}) == [(f"trading.{field}", message)]


def test_the_refused_value_is_named_as_it_was_sent():
    with pytest.raises(InputError) as caught:
        parse(trading={"fee_rate": "abc"})
    assert caught.value.errors[0].value == "abc"
    assert "trading.fee_rate = 'abc'" in str(caught.value)


@pytest.mark.parametrize(("size_type", "size"), [("value", 50), ("shares", 1000), ("percent", 1)])
def test_sizes_above_1_belong_to_value_and_shares(size_type, size):
    assert parse(trading={"size_type": size_type, "size": size}).trading.size == size


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"dataset": ""}, "dataset", "must not be empty"),
        ({"dataset": 5}, "dataset", "must be text"),
        ({"dataset": "x" * 200}, "dataset", "must have at most 128 characters"),
        ({"dataset": "\ud800"}, "dataset", "must be text in valid Unicode"),
        ({"rule": None}, "rule", "must be text"),
        ({"rule": []}, "rule", "must be text"),
        ({"rule": ""}, "rule", "must not be empty"),
        ({"params": None}, "params", "must be an object with named values"),
        ({"params": [14]}, "params", "must be an object with named values"),
        ({"trading": None}, "trading", "must be an object with named values"),
        ({"trading": "x"}, "trading", "must be an object with named values"),
        ({"adjust": 1}, "adjust", "must be true or false"),
        ({"force": "yes"}, "force", "must be true or false"),
        ({"tags": "a"}, "tags", "must be a list"),
        ({"tags": ["a", 1]}, "tags.1", "must be text"),
        ({"tags": [""]}, "tags.0", "must not be empty"),
        ({"tags": ["x" * 41]}, "tags.0", "must have at most 40 characters"),
        ({"tags": ["x"] * 21}, "tags", "must have at most 20 entries"),
        ({"note": {}}, "note", "must be text"),
        ({"fee_rate": 0}, "fee_rate", "unknown here; write it inside trading, as trading.fee_rate"),
        ({"dataste": 0}, "dataste", "unknown field; remove it or correct its name"
                                    "; did you mean dataset?"),
        ({"start": 20200101}, "start", "must be text"),
    ],
)  # fmt: skip
def test_a_field_of_the_request_is_refused_with_its_remedy(changes, field, message):
    assert list_errors({**BASE, **changes}) == [(field, message)]


def test_other_models_are_explained_without_the_fields_of_a_run():
    class Query(BaseModel):
        model_config = ConfigDict(extra="forbid")
        limit: int = Field(default=50, ge=5)

    def explain(model: type[BaseModel], **fields: Any) -> list[tuple[str, str]]:
        with pytest.raises(ValidationError) as caught:
            model.model_validate(fields)
        found = describe_validation_error(caught.value)
        return [(error.field, error.message) for error in found]

    assert explain(Query, limit=3) == [("limit", "must be at least 5")]
    assert explain(Query, limit="x") == [("limit", "must be a number")]
    assert explain(Query, dataste=1, fee_rate=2) == [
        ("dataste", "unknown field; remove it or correct its name"),
        ("fee_rate", "unknown field; remove it or correct its name"),
    ]
    assert explain(TradingSpec, fee_rate=-1, size=50) == [
        ("fee_rate", "must be at least 0 and below 1"),
        ("size", "percent takes a fraction in (0, 1]; write 0.5 for 50 %"),
    ]


def test_an_unknown_rule_is_answered_with_the_known_ones():
    [(field, message)] = list_errors({**BASE, "rule": "rsj", "params": {"window": "any"}})
    assert field == "rule"
    names = ", ".join(rule.metadata.name for rule in list_rules())
    assert message == f"no such rule; choose one of {names}; did you mean rsi?"
    assert message.endswith("; did you mean rsi?")


@pytest.mark.parametrize("payload", [None, [], "text", 5, True])
def test_a_body_that_is_no_object_is_refused(payload):
    assert list_errors(payload) == [("body", "send a JSON object")]


def test_what_is_missing_is_named():
    assert list_errors({}) == [
        ("dataset", "this field is required"),
        ("rule", "this field is required"),
    ]


def test_every_fault_of_every_part_is_reported_at_once():
    payload = {
        "rule": "macd",
        "params": {"fast": 30, "slow": 20, "signal": "x", "speed": 1},
        "trading": {"size": 50, "fee_rate": -1, "stop_loss": "no", "extra": 1},
        "start": "yesterday",
        "end": "2020-02-30",
        "adjust": "no",
        "tags": [1],
        "colour": "red",
    }
    assert sorted(field for field, _ in list_errors(payload)) == [
        "adjust",
        "colour",
        "dataset",
        "end",
        "params.fast",
        "params.signal",
        "params.speed",
        "start",
        "tags.0",
        "trading.extra",
        "trading.fee_rate",
        "trading.size",
        "trading.stop_loss",
    ]


def test_no_message_speaks_the_language_of_the_validation_library():
    values = [None, True, -1, 1e30, "", "x", [], {}, float("nan"), "y" * 3000, ["z" * 50] * 30]
    names = [*RunRequest.model_fields, *(f"trading.{name}" for name in TradingSpec.model_fields)]
    for name in names:
        outer, _, inner = name.partition(".")
        for value in values:
            payload = {**BASE, outer: {inner: value} if inner else value}
            try:
                parse_run_request(payload)
            except InputError as error:
                for item in error.errors:
                    assert item.message.startswith(
                        ("must ", "write a date", "percent takes", "no such rule")
                    ), item
                    assert not item.message.endswith(".")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("2020-01-31", "2020-01-31"),
        (" 2020-01-31 ", "2020-01-31"),
        ("20200131", "2020-01-31"),
        ("2020-01-31T09:30:00Z", "2020-01-31T09:30:00Z"),
        ("2020-01-31 09:30", "2020-01-31 09:30"),
        ("2020-01-31T09:30:00.5+02:00", "2020-01-31T09:30:00.5+02:00"),
        ("", None),
        ("  ", None),
        (None, None),
    ],
)
def test_dates_are_iso_8601(text, kept):
    request = parse(start=text, end=text)
    assert (request.start, request.end) == (kept, kept)


@pytest.mark.parametrize(
    "text", ["2020-13-01", "2020-02-30", "31.01.2020", "01/31/2020", "now", "2020", "2020-01-31T25"]
)
def test_a_malformed_date_is_refused_with_the_form_to_write(text):
    message = "write a date as YYYY-MM-DD or a time as YYYY-MM-DDTHH:MM:SSZ"
    assert list_errors({**BASE, "end": text}) == [("end", message)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("14", 14),
        ("-3", -3),
        ("+3", 3),
        ("14.0", 14.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        (" 0.1 ", 0.1),
        ("true", True),
        ("False", False),
        ("", None),
        ("  ", None),
        ("off", None),
        ("OFF", None),
        ("None", None),
        ("null", None),
        ("enter_zone", "enter_zone"),
        ("  text ", "text"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("-Infinity", "-Infinity"),
        ("1e999", "1e999"),
        ("9" * 5000, "9" * 5000),
        ("1_000", "1_000"),
        ("1,5", "1,5"),
        ("٣", "٣"),
        ("0x10", "0x10"),
        ("--5", "--5"),
        ("e5", "e5"),
    ],
)
def test_text_becomes_the_value_it_reads_as(text, value):
    read = coerce_text(text)
    assert read == value
    assert type(read) is type(value)


def test_fields_of_a_form_are_read_one_by_one():
    fields = {"window": "14", "stop_loss": "off", "trigger": "exit_zone"}
    assert coerce_text_fields(fields) == {"window": 14, "stop_loss": None, "trigger": "exit_zone"}


@given(st.integers(-(10**300), 10**300) | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_survives_being_written_and_read(value):
    assert coerce_text(repr(value)) == value


@given(st.text())
def test_any_text_can_be_read(text):
    value = coerce_text(text)
    assert value is None or isinstance(value, bool | int | float | str)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)
names = st.sampled_from([*RunRequest.model_fields, "x"])
trading = st.dictionaries(st.sampled_from([*TradingSpec.model_fields, "x"]), json_values)
params = st.dictionaries(st.sampled_from(["window", "oversold", "trigger", "x"]), json_values)


@given(st.dictionaries(names, json_values), st.none() | trading, st.none() | params)
def test_whatever_is_sent_is_accepted_or_refused_with_named_fields(body, trading, params):
    payload = {**BASE, **body}
    payload |= {"trading": trading} if trading is not None else {}
    payload |= {"params": params} if params is not None else {}
    try:
        request = parse_run_request(payload)
    except InputError as error:
        faults = error.errors
    else:
        faults = ()
        assert json.loads(request.model_dump_json())["rule"] == payload["rule"]
    assert all(item.field and item.message for item in faults)
