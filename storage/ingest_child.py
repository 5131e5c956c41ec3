"""The child process of `storage.ingest`: one file in, columns or errors out, then the end.

Standard input is one line of JSON (name, date format, limits) and the file's bytes, or in their
place an order for a source; standard output is one line of JSON and the compressed columns.
Everything is read before anything is written.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from backtest.errors import FieldError, InputError
from storage.bar_files import FileLimits, describe_size_limit, load_bar_source
from storage.cores import use_all_cores
from storage.sources import FetchOrder, SourceUnavailable, load_source

if TYPE_CHECKING:
    from storage.bar_columns import LoadedBars

Answer = tuple[dict[str, Any], list[bytes]]

_CHUNK = 1 << 20
_ZSTD_LEVEL = 1


def run_child(build_answer: Callable[[LoadedBars, dict[str, Any]], Answer]) -> int:
    """Parse the file on standard input, or fetch what is ordered, and write the answer.

    Parameters
    ----------
    build_answer : callable
        Takes the bars and the configuration; returns what goes into the line of JSON, and the
        blobs that follow it.
    """
    stdin = sys.stdin.buffer
    config = json.loads(stdin.readline())
    use_all_cores()
    limit_resources(config["address_space_bytes"], config["cpu_seconds"])
    limits = FileLimits(config["max_bytes"], config["max_bars"])
    blobs: list[bytes] = []
    try:
        data = _read_all(stdin, config["name"], limits)
        signal.alarm(config["wall_seconds"])
        loaded = _fetch(config) if config["order"] else _parse(data, config, limits)
        answer, blobs = build_answer(loaded, config)
    except InputError as error:
        answer = _describe_errors(error.errors)
    except SourceUnavailable as error:
        answer = {"unavailable": str(error)}
    except MemoryError:
        message = "takes more memory to read than a file of bars does; split it"
        answer = _describe_errors([FieldError("file", config["name"], message)])
    stdout = sys.stdout.buffer
    stdout.write(json.dumps(answer).encode() + b"\n")
    for blob in blobs:
        stdout.write(blob)
    stdout.flush()
    return 0


def limit_resources(address_space_bytes: int, cpu_seconds: int) -> None:
    """Bound what a hostile file can make this process take: memory, time, files, core dumps."""
    # A second between the signal that is reported as such and the one that cannot be held off.
    for kind, soft, hard in (
        (resource.RLIMIT_AS, address_space_bytes, address_space_bytes),
        (resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1),
        (resource.RLIMIT_FSIZE, 0, 0),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_NOFILE, 64, 64),
    ):
        allowed = resource.getrlimit(kind)[1]
        if allowed != resource.RLIM_INFINITY:
            soft, hard = min(soft, allowed), min(hard, allowed)
        resource.setrlimit(kind, (soft, hard))


def _read_all(stdin: BinaryIO, name: str, limits: FileLimits) -> bytearray:
    data = bytearray()
    while chunk := stdin.read(_CHUNK):
        data += chunk
        if len(data) > limits.max_bytes:
            raise InputError.of("file", name, describe_size_limit(limits))
    return data


def _parse(data: bytearray, config: dict[str, Any], limits: FileLimits) -> LoadedBars:
    # Here, not above: it takes a tenth of a second in which the first bytes already arrive.
    import pyarrow as pa

    def open_source() -> BinaryIO:
        # Shares the bytes, and has the methods of a binary file.
        return cast(BinaryIO, pa.BufferReader(pa.py_buffer(data)))

    return load_bar_source(open_source, config["name"], config["date_format"], limits)


def _fetch(config: dict[str, Any]) -> LoadedBars:
    from backtest.bars import build_bars
    from storage.bar_columns import FileFacts, LoadedBars

    order = FetchOrder(**config["order"])
    fetched = load_source(order.source).fetch(order)
    values = {
        name: getattr(fetched, name)
        for name in ("open", "high", "low", "close", "volume", "adj_close")
    }
    roles = ["date", *(name for name, column in values.items() if column is not None)]
    if len(fetched.timestamps) > config["max_bars"]:
        message = f"has more than {config['max_bars']:,} bars; ask for a shorter period"
        raise InputError.of("symbol", order.symbol, message)
    bars, warnings = build_bars(fetched.timestamps, **values)
    kind = f"fetched from {order.source}"
    places = {name: idx for idx, name in enumerate(roles)}
    return LoadedBars(bars, warnings, FileFacts(kind, tuple(roles), places, "as delivered"))


def pack_dataset(loaded: LoadedBars, config: dict[str, Any]) -> Answer:
    """Return the facts of a dataset, and its columns as they are stored."""
    import numpy as np
    import zstandard

    from backtest.bars import COLUMNS

    bars = loaded.bars
    compressor = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
    blobs: dict[str, bytes] = {}
    for name in COLUMNS:
        kind = "<i8" if name == "timestamps" else "<f8"
        array = np.ascontiguousarray(getattr(bars, name), dtype=kind)
        blobs[name] = compressor.compress(array.data)
    sizes = {name: len(blob) for name, blob in blobs.items()}
    return {"dataset": describe_dataset(loaded), "sizes": sizes}, list(blobs.values())


def describe_dataset(loaded: LoadedBars) -> dict[str, Any]:
    """Return the facts of a dataset; see `storage.ingest.ParsedDataset`."""
    from backtest.bars import compute_dataset_hash

    bars = loaded.bars
    return {
        "sha256": compute_dataset_hash(bars),
        "n_bars": bars.n_bars,
        "first_ns": int(bars.timestamps[0]),
        "last_ns": int(bars.timestamps[-1]),
        "spacing": bars.spacing,
        "periods_per_year": bars.periods_per_year,
        "has_adjustment": bars.has_adjustment,
        "warnings": [asdict(warning) for warning in loaded.warnings],
    }


def _describe_errors(errors: tuple[FieldError, ...] | list[FieldError]) -> dict[str, Any]:
    return {"errors": [[error.field, error.value, error.message] for error in errors]}


def leave(exit_code: int) -> None:
    """End this process."""
    sys.stdout.flush()
    sys.stderr.flush()
    # Not through the interpreter's end: on a busy machine a thread of pyarrow may outlive what it
    # works on there, and the process would abort after everything was said.
    os._exit(exit_code)


if __name__ == "__main__":
    leave(run_child(pack_dataset))
