"""What is fuzzed: good inputs, how they are broken, and who reads them."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson

from rules.constraints import parse_constraint
from rules.spec import RunRequest, parse_run_request
from rules.sweep_request import SweepRequest, parse_sweep_request
from tests.support.fuzz_bytes import mutate_bytes, target_csv, target_parquet
from webapp.access_schemas import LoginRequest, TokenRequest
from webapp.api.presets import parse_preset
from webapp.api.sweep_presets import parse_sweep_preset
from webapp.app import build_routes
from webapp.bodies import build_run_payload, parse_json, validate_model
from webapp.dataset_schemas import DatasetPatch, DatasetUpload, FetchRequest
from webapp.schemas import PresetRequest, RunPatch
from webapp.sweep_preset_schemas import SweepPresetRequest

# Makes an input from a source of chance, and says how it is read.
Target = Callable[[random.Random], tuple[object, Callable[[], object]]]


# --- text ---

KINDS = {"fast": "int", "slow": "int", "level": "float", "kind": "choice", "on": "bool"}
_CONSTRAINTS = ["fast < slow", "2 * fast + 1 <= slow - 3 // 2", "1 < fast < slow != 7 % level"]
_CONSTRAINT_WORDS = [
    *("fast", "slow", "level", "kind", "on", "fats", "<", "<=", ">", ">=", "==", "!=", "=", ":="),
    *(
        "+",
        "-",
        "*",
        "/",
        "//",
        "%",
        "**",
        "(",
        ")",
        "((((",
        "[",
        "]",
        "{",
        "}",
        ",",
        ".",
        "~",
        "@",
    ),
    *("and", "or", "not", "in", "is", "if 1 else", "lambda:", "await", "*fast", "f'{fast}'", "'a'"),
    *("0", "1e999", "1j", "0x10", "1_000", "9" * 200, "True", "None", "...", "__import__('os')"),
    *("\n", "\t", "\\", "#", ";", "\x00", "\ufeff", "ｆast", "²", "\u2028", "-" * 60, "(" * 120),
]


def target_constraint(rng: random.Random) -> tuple[object, Callable[[], object]]:
    words: list[str] = rng.choice(_CONSTRAINTS).split(" ")
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        at = rng.randrange(len(words) + 1)
        if rng.random() < 0.3:
            del words[at : at + rng.choice((1, 2))]
        else:
            words[at : at + rng.randrange(2)] = [rng.choice(_CONSTRAINT_WORDS)]
    text = rng.choice((" ", " ", " ", "")).join(words)

    def parse() -> object:
        constraint = parse_constraint(text, KINDS)
        values = {"fast": np.array([1.0, np.nan, 3.0]), "slow": 2.0, "level": 0.0, "on": 1.0}
        assert parse_constraint(constraint.text, KINDS).text == constraint.text
        with np.errstate(all="raise"):
            return constraint.evaluate({name: values[name] for name in constraint.names})

    return text, parse


# --- JSON ---

_VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 10**18, -(10**17), 0.1, -0.0, 1e308, 5e-324, 1e18),
    *(
        "",
        " ",
        "x",
        "1",
        "0.1",
        "nan",
        "off",
        "true",
        "2:50",
        "2:50:0",
        "9:1",
        "2..5",
        "0.1:0.5:0.1",
    ),
    *("1:" + "9" * 30, "a,b", ",", "rsi", "RSI", "no-such-rule", "AAPL", "AAPL@1", "2020-01-01"),
    *("2020-13-01", "2020-01-01T00:00:00+25:00", "9999-99-99", "\u0000", "\u2028", "💥" * 20),
    *("x" * 5000, "../../etc/passwd", "<b>", "fast < slow", "long_short", "sharpe", "grid"),
    *([], {}, [[]], [None], [1, 2], ["a"] * 30, {"": 1}, {"a": {"b": {"c": []}}}, [1.5, "off"]),
    *({"method": "random", "n": 5}, {"method": "adaptive", "n": 0, "seed": -1}, [1e308] * 3),
]
_NAMES = [
    *("dataset", "datasets", "rule", "params", "trading", "space", "where", "objective", "search"),
    *(
        "window",
        "oversold",
        "fee_rate",
        "stop_loss",
        "size",
        "start",
        "end",
        "adjust",
        "force",
        "n",
    ),
    *(
        "tags",
        "note",
        "name",
        "method",
        "seed",
        "min_trades",
        "limit",
        "cursor",
        "sort",
        "",
        "__x__",
    ),
]
RUN = {
    "dataset": "AAPL",
    "rule": "rsi",
    "params": {"window": 14, "oversold": 30.0},
    "trading": {"fee_rate": 0.001, "stop_loss": 0.1, "size": 0.5},
    "start": "2020-01-01",
    "end": "2021-01-01",
    "tags": ["a"],
    "note": "n",
}
SWEEP = {
    "datasets": ["AAPL", "IBM"],
    "rule": "sma_cross",
    "space": {"fast": "2:9", "slow": [10, 20, 30]},
    "trading": {"fee_rate": [0.0, 0.001], "stop_loss": "off,0.02:0.1:0.02"},
    "where": ["fast < slow"],
    "objective": "sharpe",
    "min_trades": 1,
    "search": {"method": "random", "n": 10, "seed": 1},
    "tags": ["a"],
}
SWEEP_PRESET = {**{key: SWEEP[key] for key in ("datasets", "rule", "space", "where")}, "name": "s"}
PRESET = {**{key: RUN[key] for key in ("dataset", "rule", "params", "trading")}, "name": "mine"}


def mutate_json(rng: random.Random, document: Any) -> Any:
    """Return a copy of a JSON document with some of its places changed, lost or added."""
    changed = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        changed = _mutate_place(rng, changed)
    return changed


def _mutate_place(rng: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        choice = rng.random()
        if choice < 0.1:
            del value[key]
        elif choice < 0.2:
            value[rng.choice(_NAMES)] = _choose_value(rng)
        else:
            value[key] = _mutate_place(rng, value[key])
        return value
    if isinstance(value, list) and value and rng.random() < 0.6:
        at = rng.randrange(len(value))
        value[at] = _mutate_place(rng, value[at])
        return value * rng.choice((1, 1, 1, 40)) if len(value) < 50 else value
    choice = rng.random()
    if choice < 0.08:
        return [value]
    if isinstance(value, int | float) and choice < 0.3:  # as far as a parser lets it
        return value * rng.choice((-1, 0, 2, 1000, 1e30))
    if isinstance(value, str) and choice < 0.3:
        return value + str(rng.choice(_VALUES))[:40]
    return _choose_value(rng)


def _choose_value(rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice(_VALUES))  # what is put in may be changed by the next mutation


def _mutate_query(rng: random.Random, names: Sequence[str]) -> dict[str, str]:
    chosen = rng.sample(names, rng.randrange(len(names) + 1)) + rng.choices(
        _NAMES, k=rng.randrange(2)
    )
    return {name: str(rng.choice(_VALUES)) for name in chosen}


def build_model_targets() -> dict[str, Target]:
    """Return a target for every model that an operation of the API reads, and for raw bodies."""
    examples: dict[type[Any], tuple[Any, Callable[[Any], object]]] = {
        RunRequest: (RUN, parse_run_request),
        SweepRequest: (SWEEP, parse_sweep_request),
        PresetRequest: (PRESET, parse_preset),
        SweepPresetRequest: (SWEEP_PRESET, parse_sweep_preset),
        RunPatch: ({"tags": ["a"], "note": "n"}, _build_validator(RunPatch)),
        DatasetPatch: ({"symbol": "NEW", "tags": ["a"]}, _build_validator(DatasetPatch)),
        FetchRequest: (
            {"symbol": "^GSPC", "name": "SPX", "start": "2020-01-01", "end": "2021-01-01"},
            _build_validator(FetchRequest),
        ),
        LoginRequest: ({"token": "sbt_0123456789"}, _build_validator(LoginRequest)),
        TokenRequest: (
            {"name": "mine", "scope": "submit", "expires_days": 30},
            _build_validator(TokenRequest),
        ),
    }
    targets: dict[str, Target] = {"json_body": _target_json_body, "run_form": _target_run_form}
    for route in build_routes():
        if route.query is not None:
            targets[route.query.__name__] = _build_query_target(route.query)
        # Uploads are streamed and not read by their model; tests of uploads take them apart.
        if route.body is not None and route.body is not DatasetUpload:
            if route.body not in examples:
                raise LookupError(f"no example of {route.body.__name__}: add one")
            example, read = examples[route.body]
            targets[route.body.__name__] = _build_body_target(example, read)
    return targets


def _build_validator(model: type[Any]) -> Callable[[Any], object]:
    return lambda payload: validate_model(model, payload)


def _build_query_target(model: type[Any]) -> Target:
    names = list(model.model_fields)

    def target(rng: random.Random) -> tuple[object, Callable[[], object]]:
        payload = _mutate_query(rng, names)
        return payload, lambda: validate_model(model, payload)

    return target


def _build_body_target(example: Any, read: Callable[[Any], object]) -> Target:
    def target(rng: random.Random) -> tuple[object, Callable[[], object]]:
        payload = mutate_json(rng, example)
        if not isinstance(payload, dict):  # refused before any model sees it
            payload = {"dataset": payload}
        return payload, lambda: read(payload)

    return target


_BODIES = [orjson.dumps(document) for document in (RUN, SWEEP, PRESET)]
_BODY_WORDS = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b'"',
        b"\\u0000",
        b"\\ud800",
        b"\\",
        b"NaN",
        b"-Infinity",
    ),
    *(b"1e999", b"9" * 5000, b"-0", b"tru", b"null", b"\xff", b"\xed\xa0\x80", b"[" * 3000),
    *(b'"a":1,"a":2', b"\xef\xbb\xbf", b"\x00", b"//", b"0.1e-400", b"01"),
]


def _target_json_body(rng: random.Random) -> tuple[object, Callable[[], object]]:
    data = mutate_bytes(rng, _BODIES, _BODY_WORDS)
    return data, lambda: parse_json(data)


def _target_run_form(rng: random.Random) -> tuple[object, Callable[[], object]]:
    fields = {"dataset": "AAPL", "rule": "rsi", "params.window": "5", "fee_rate": "0.1"}
    fields |= _mutate_query(
        rng, ["dataset", "rule", "params.window", "trading.size", "adjust", "."]
    )
    tags = [str(rng.choice(_VALUES)) for _ in range(rng.randrange(3))]
    return fields, lambda: parse_run_request(build_run_payload(fields, tags))


def list_targets() -> dict[str, Target]:
    """Return every target by its name."""
    return {
        "csv": target_csv,
        "parquet": target_parquet,
        "constraint": target_constraint,
        **build_model_targets(),
    }
