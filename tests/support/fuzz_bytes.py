"""Files of bars that are fuzzed: good ones, how bytes are broken, and how they are read."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage.bar_files import FileLimits, load_bar_source

LIMITS = FileLimits(max_bytes=1 << 20, max_bars=10_000)


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
