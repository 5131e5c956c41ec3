"""What is fuzzed: good inputs, how they are broken, and who reads them."""

from __future__ import annotations

import copy
import io
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from rules.constraints import parse_constraint
from rules.spec import RunRequest, parse_run_request
from rules.sweep_request import SweepRequest, parse_sweep_request
from storage.bar_files import FileLimits, load_bar_source
from webapp.access_schemas import LoginRequest, TokenRequest
from webapp.api.presets import parse_preset
from webapp.api.sweep_presets import parse_sweep_preset
from webapp.app import build_routes
from webapp.bodies import build_run_payload, parse_json, validate_model
from webapp.dataset_schemas import DatasetPatch, DatasetUpload, FetchRequest
from webapp.schemas import PresetRequest, RunPatch
from webapp.sweep_preset_schemas import SweepPresetRequest

LIMITS = FileLimits(max_bytes=1 << 20, max_bars=10_000)

# Makes an input from a source of chance, and says how it is read.
Target = Callable[[random.Random], tuple[object, Callable[[], object]]]


# --- bytes ---


def mutate_bytes(rng: random.Random, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """Return one of `seeds` after some cuts, repeats, flips and words put in."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 1, 2, 5))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 1, 2, 4, 16, 200)))
        choice = rng.randrange(7)
        if choice == 0:
            data[at:end] = b""
        elif choice == 1:
            data[at:at] = data[at:end] * rng.choice((1, 1, 2, 50))
        elif choice == 2:
            data[at:at] = rng.choice(words)
        elif choice == 3:
            data[at:end] = rng.choice(words)
        elif choice == 4 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif choice == 5 and at < len(data):
            data[at] = rng.randrange(256)
        elif choice == 6 and rng.random() < 0.2:
            other = rng.choice(seeds)
            data[at:] = other[rng.randrange(len(other)) :]
    return bytes(data[: LIMITS.max_bytes])


def _build_texts() -> list[bytes]:
    rows = [(f"2021-01-{4 + i:02d}", 100 + i, 102 + i, 99 + i, 101 + i, 1000) for i in range(5)]
    comma = "\n".join(["Date,Open,High,Low,Close,Volume", *(",".join(map(str, r)) for r in rows)])
    german = [
        f"{day[8:]}.{day[5:7]}.{day[:4]};{o},5;{h},5;{low},5;{c},5" for day, o, h, low, c, _ in rows
    ]
    german.append("31.01.2021;105,5;107,5;104,5;106,5")  # says which number is the month
    intraday = [
        f"2021-01-04T{9 + i:02d}:30:00Z\t{o}\t{h}\t{low}\t{c}"
        for i, (_, o, h, low, c, _) in enumerate(rows)
    ]
    epochs = [
        f"{1_600_000_000 + 86_400 * i},{o},{h},{low},{c},{c}"
        for i, (_, o, h, low, c, _) in enumerate(rows)
    ]
    return [
        comma.encode(),
        comma.replace("\n", "\r\n").encode("utf-8-sig"),
        comma.encode("utf-16"),  # refused as it is
        "\n".join(
            ["Date;Open;High;Low;Close", *german, "31.01.2021;105,5;107,5;104,5;106,5"]
        ).encode(),
        "\n".join(["timestamp\topen\thigh\tlow\tclose", *intraday]).encode(),
        "\n".join(["Date,Open,High,Low,Close,Adj Close", *epochs]).encode(),
        comma.replace("101", '"101.5"').encode(),
    ]


_TEXT_WORDS = [
    *(b",", b";", b"\t", b"\n", b"\r", b"\r\n", b'"', b'""', b"'", b" ", b"\x00", b"\xff", b"\xfe"),
    *(b"nan", b"NaN", b"inf", b"-inf", b"1e999", b"-0", b"1e-320", b"9" * 400, b"0x10", b"1_0"),
    *(b"1.5.5", b"1,000.5", b"1.000,5", b"null", b"None", b"#N/A", b"--", b"-", b"+1", b"=1+1"),
    *(b"2021-13-45", b"0000-00-00", b"9999-12-31", b"1677-09-21", b"2262-04-12", b"31/02/2021"),
    *(b"2021-01-05T00:00:00+99:00", b"2021-01-05 24:00", b"20210105", b"1609459200000000000"),
    *(
        b"Date",
        b"Open",
        b"Close",
        b"Adj Close",
        b"Volume",
        b"\xef\xbb\xbf",
        b"\x1f\x8b\x08",
        b"PAR1",
    ),
    *(b"\xe2\x80\xa8", b"\xc2\xa0", "١٢".encode(), "é".encode("latin-1"), b"x" * 5000, b"\n" * 300),
]


def _build_parquets() -> list[bytes]:
    n = 6
    # [days] * [hours / day] * [seconds / hour] * [ns / s] = [ns]
    days = np.arange(n, dtype=np.int64) * 24 * 3600 * 10**9 + 1_609_459_200 * 10**9
    close = 100.0 + np.arange(n)
    prices = {"open": close, "high": close + 1, "low": close - 1, "close": close}
    dates = {
        "date": pa.array(days, pa.timestamp("ns", "UTC")),
        "Date": pa.array(np.datetime_as_string(days.view("M8[ns]"), unit="D")),
        "timestamp": pa.array(days // 10**9),
    }
    found = []
    for number, (name, values) in enumerate(dates.items()):
        table = pa.table({name: values, **prices, "volume": np.full(n, 1000 + number)})
        for options in ({"compression": "none", "use_dictionary": False}, {"compression": "zstd"}):
            sink = io.BytesIO()
            pq.write_table(table, sink, **options)
            found.append(sink.getvalue())
    return found


_PARQUET_WORDS = [
    *(b"PAR1", b"\x00", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff" * 10, b"\x00" * 8, b"\x15\x00"),
    *(
        b"\x15\xfe\xff\xff\xff\x0f",
        b"\x19\xfc",
        b"\x18\x04open",
        b"\x1c\x15\x04",
        b"\x29\xfc\xff\x0f",
    ),
]
TEXTS, PARQUETS = _build_texts(), _build_parquets()


def read_bars(data: bytes) -> int:
    """Read bytes as the product's child process does, and look at what it accepted."""
    bars = load_bar_source(lambda: io.BytesIO(data), "fuzzed", None, LIMITS).bars
    assert 1 <= bars.n_bars <= LIMITS.max_bars
    assert np.all(bars.timestamps[1:] > bars.timestamps[:-1])  # a difference may overflow
    for name in ("open", "high", "low", "close"):
        values = getattr(bars, name)
        assert np.all(np.isfinite(values) & (values > 0)), name
    assert np.all(bars.low <= bars.high)
    return int(bars.n_bars)


def target_csv(rng: random.Random) -> tuple[object, Callable[[], object]]:
    data = mutate_bytes(rng, TEXTS, _TEXT_WORDS)
    return data, lambda: read_bars(data)


def target_parquet(rng: random.Random) -> tuple[object, Callable[[], object]]:
    data = mutate_bytes(rng, PARQUETS, _PARQUET_WORDS)
    return data, lambda: read_bars(data)


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
