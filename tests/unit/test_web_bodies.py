"""Strict JSON, and forms in the shape of JSON."""

from __future__ import annotations

import pytest

from webapp.bodies import build_run_payload, build_sweep_payload, parse_json
from webapp.problems import ProblemError


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"{", "line 1 column 2"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": Infinity}', "Infinity"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 400 + b"}", "too large"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"x": {"a": 1, "a": 2}}', "twice"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b"\xff\xfe{", "UTF-8"),
        (b"[" * 100_000, "deeply"),
        (b'{"a":' * 50_000, "deeply"),
    ],
)
def test_a_body_that_is_not_strict_json_is_a_400_that_says_why(body: bytes, word: str) -> None:
    with pytest.raises(ProblemError) as caught:
        parse_json(body)
    assert caught.value.status == 400
    assert word in caught.value.detail


def test_numbers_keep_their_type_and_every_bit() -> None:
    value = parse_json(b'{"a": 14, "b": 14.0, "c": 0.1, "d": -7, "e": 1e-310}')
    assert [type(item) for item in value.values()] == [int, float, float, int, float]
    assert value == {"a": 14, "b": 14.0, "c": 0.1, "d": -7, "e": 1e-310}


def test_an_integer_beyond_64_bits_is_read_as_a_float() -> None:
    assert parse_json(b"123456789012345678901234567890") == 1.2345678901234568e29


def test_a_whole_surrogate_pair_is_text() -> None:
    assert parse_json(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


def test_a_form_finds_the_place_of_every_field() -> None:
    payload = build_run_payload(
        {
            "dataset": "000001",
            "rule": "rsi",
            "window": "9",
            "params.oversold": "25",
            "fee_rate": "0.002",
            "trading.stop_loss": "off",
            "adjust": "on",
            "force": "false",
            "start": "2020-01-01",
            "end": "",
            "note": "123",
        },
        ["a, b", "c"],
    )
    assert payload == {
        "dataset": "000001",
        "rule": "rsi",
        "params": {"window": 9, "oversold": 25},
        "trading": {"fee_rate": 0.002, "stop_loss": None},
        "adjust": True,
        "force": False,
        "start": "2020-01-01",
        "note": "123",
        "tags": ["a", "b", "c"],
    }


def test_an_unknown_form_field_is_kept_so_that_validation_names_it() -> None:
    assert build_run_payload({"rule": "rsi", "widnow": "9"}, [])["widnow"] == "9"


def test_a_form_of_a_sweep_finds_the_place_of_every_field() -> None:
    payload = build_sweep_payload(
        {
            "datasets": ["AAPL, IBM", "MSFT"],
            "rule": ["rsi"],
            "window": ["2:30"],
            "space.oversold": [" 10,20 "],
            "stop_loss": ["off,0.1"],
            "trading.fee_rate": ["0.002"],
            "where": ["oversold < overbought", "window > 3"],
            "objective": ["calmar"],
            "min_trades": ["5"],
            "search.method": ["random"],
            "search.n": ["100"],
            "search.seed": ["x"],
            "adjust": ["on"],
            "force": ["false"],
            "end": [""],
            "tags": ["a, b"],
            "note": ["123"],
        }
    )
    assert payload == {
        "datasets": ["AAPL", "IBM", "MSFT"],
        "rule": "rsi",
        "space": {"window": "2:30", "oversold": "10,20"},
        "trading": {"stop_loss": "off,0.1", "fee_rate": "0.002"},
        "where": ["oversold < overbought", "window > 3"],
        "objective": "calmar",
        "min_trades": 5,
        # What is no number is left for validation to refuse in words.
        "search": {"method": "random", "n": 100, "seed": "x"},
        "adjust": True,
        "force": False,
        "tags": ["a", "b"],
        "note": "123",
    }


def test_an_unknown_field_of_a_sweep_is_kept_so_that_validation_names_it() -> None:
    assert build_sweep_payload({"rule": ["rsi"], "widnow": ["9"]}) == {"rule": "rsi", "widnow": "9"}
