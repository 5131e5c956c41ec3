"""Parsing bar files of strangers in a short-lived child process with limits.

The parent never imports pyarrow and never holds the decompressed file: it streams the bytes as they
arrive into the child, and receives compressed columns that go into the database as they are.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, ClassVar, Self

import numpy as np
import zstandard

from backtest.bars import Bars, DataWarning, Spacing
from backtest.errors import FieldError, InputError
from storage.bar_files import DEFAULT_LIMITS, FileLimits, describe_size_limit, validate_bar_path
from storage.cores import CORES_VARIABLE
from storage.sources import FetchOrder, SourceUnavailable

_LOG = logging.getLogger(__name__)
_ROOT = Path(__file__).resolve().parent.parent
_CHUNK = 1 << 18
# Only what a reader of files needs: no database, broker or secret of ours is in reach of a file.
_KEPT_ENVIRONMENT = (
    *("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZDIR", "PYTHONHOME"),
    CORES_VARIABLE,
)
# And what one that fetches needs of an operator's network.
_NETWORK_ENVIRONMENT = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy"),
    *("all_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE"),
)
# One thread and one heap: under a limit on address space every further one is a reservation.
_CHILD_ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONPATH": str(_ROOT),
}
# The child takes bytes at once; one that does not for this long has gone wrong.
_STALL_SECONDS = 30.0
# Decades of daily bars come in one answer; two or three are asked for.
_FETCH_SECONDS = 60.0
_MAX_HEADER_BYTES = 1 << 20
_MAX_COLUMN_BYTES_PER_BAR = 64  # seven values of eight bytes, should none of them compress
_KEPT_ERROR_BYTES = 8_192


@dataclass(frozen=True, slots=True)
class ParsedDataset:
    """A file of bars, parsed and ready to be stored.

    Parameters
    ----------
    sha256 : str
        See `backtest.bars.compute_dataset_hash`.
    n_bars : int
    first_ns, last_ns : int
        Times of the first and last bar, UTC ns.
    spacing : {"intraday", "daily", "weekly", "monthly"}
    periods_per_year : float
    has_adjustment : bool
        Whether the file has adjusted closes that differ from its closes.
    warnings : list of dict
        code, message, count, first of each `backtest.bars.DataWarning`.
    columns : dict of str to bytes
        zstd frames of little-endian arrays: ``timestamps`` int64, ``open``, ``high``, ``low``,
        ``close``, ``volume``, ``adj_factor`` float64.
    """

    sha256: str
    n_bars: int
    first_ns: int
    last_ns: int
    spacing: Spacing
    periods_per_year: float
    has_adjustment: bool
    warnings: list[dict[str, Any]]
    columns: dict[str, bytes]


class BarProcess:
    """A child process that parses one file: enter, `write` its bytes, `finish`.

    Parameters
    ----------
    file_name : str
        For messages only; nothing is opened by it.
    date_format : str, optional
        Of the date column, in ``strptime`` syntax.
    limits : FileLimits
        The child's memory and computing time are bounded in proportion.
    wall_seconds : float, optional
        Longest time from the last byte to the result; default in proportion to the limits.
    order : FetchOrder, optional
        Makes the child ask a source instead of reading bytes: `write` nothing.

    Notes
    -----
    The child reads everything before it writes anything, so neither side can wait for the other.
    Leaving the context ends the child, whatever happened, and collects it: no zombie, no orphan.
    """

    # What runs in the child.
    MODULE: ClassVar[str]

    def __init__(
        self,
        file_name: str,
        date_format: str | None = None,
        limits: FileLimits = DEFAULT_LIMITS,
        *,
        wall_seconds: float | None = None,
        order: FetchOrder | None = None,
    ) -> None:
        self._name = file_name
        self._limits = limits
        self._order = order
        cpu_seconds = _compute_cpu_seconds(limits)
        if wall_seconds is None:
            wall_seconds = 2.0 * cpu_seconds if order is None else _FETCH_SECONDS
        self._wall_seconds = wall_seconds
        self._config = {
            "name": file_name,
            "date_format": date_format,
            "order": None if order is None else asdict(order),
            "max_bytes": limits.max_bytes,
            "max_bars": limits.max_bars,
            "address_space_bytes": _compute_address_space(limits),
            "cpu_seconds": cpu_seconds,
            # The child's own alarm only matters when its parent is gone.
            "wall_seconds": int(self._wall_seconds) + 5,
        }
        self._n_bytes = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        kept = _KEPT_ENVIRONMENT + (() if self._order is None else _NETWORK_ENVIRONMENT)
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            # -P: the directory a person happens to be in must not provide the child's modules.
            [sys.executable, "-P", "-m", self.MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd="/",
            env=environment | _CHILD_ENVIRONMENT,
        )
        for pipe in self._pipes():
            os.set_blocking(pipe.fileno(), False)
        try:
            self._send(json.dumps(self._config).encode() + b"\n")
        except InputError:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        process = self._process
        if process is None:
            return
        process.kill()  # nothing happens to a child that has been waited for
        for pipe in self._pipes():
            pipe.close()
        process.wait()
        self._process = None

    def write(self, chunk: bytes | memoryview) -> None:
        """Pass on the next bytes of the file.

        Raises
        ------
        InputError
            If the file is larger than the limit.
        """
        self._n_bytes += len(chunk)
        if self._n_bytes > self._limits.max_bytes:
            raise InputError.of("file", self._name, describe_size_limit(self._limits))
        self._send(chunk)

    def _finish(self) -> tuple[dict[str, Any], bytes]:
        """Return the child's line of JSON and what follows it; errors as `IngestProcess.finish`."""
        process = self._running()
        process.stdin.close()  # type: ignore[union-attr]  # opened with a pipe
        output, errors = self._receive()
        if process.returncode != 0:
            raise self._explain_death(process.returncode, errors)
        header, _, body = output.partition(b"\n")
        answer: dict[str, Any] = json.loads(header)
        if "unavailable" in answer:
            raise SourceUnavailable(answer["unavailable"])
        if "errors" in answer:
            raise InputError(FieldError(*item) for item in answer["errors"])
        return answer, body

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("use the ingest process as a context manager")
        return self._process

    def _pipes(self) -> Iterator[IO[bytes]]:
        process = self._running()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                yield pipe

    def _send(self, data: bytes | memoryview) -> None:
        stdin = self._running().stdin
        assert stdin is not None  # noqa: S101  # opened with a pipe
        poll = select.poll()
        poll.register(stdin.fileno(), select.POLLOUT)
        rest = memoryview(data)
        while rest:
            if not poll.poll(_STALL_SECONDS * 1_000):
                raise InputError.of(
                    "file", self._name, "the reader does not respond; send it again"
                )
            try:
                rest = rest[os.write(stdin.fileno(), rest) :]
            except BrokenPipeError:
                return  # the child is gone; finish() tells why
            except BlockingIOError:
                continue

    def _receive(self) -> tuple[bytes, bytes]:
        """Return all that the child writes until it ends, or end it."""
        process = self._running()
        assert process.stdout is not None  # noqa: S101  # opened with pipes
        assert process.stderr is not None  # noqa: S101
        parts = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
        output, errors = parts.values()
        max_output = _MAX_HEADER_BYTES + _MAX_COLUMN_BYTES_PER_BAR * self._limits.max_bars
        deadline = time.monotonic() + self._wall_seconds
        poll = select.poll()
        for descriptor in parts:
            poll.register(descriptor, select.POLLIN)
        n_open = len(parts)
        while n_open:
            for descriptor, _ in poll.poll(max(0.0, deadline - time.monotonic()) * 1_000):
                chunk = os.read(descriptor, _CHUNK)
                parts[descriptor] += chunk
                if not chunk:
                    poll.unregister(descriptor)
                    n_open -= 1
            del errors[:-_KEPT_ERROR_BYTES]
            if time.monotonic() > deadline or len(output) > max_output:
                process.kill()
                process.wait()
                if self._order is not None:
                    raise SourceUnavailable(f"{self._order.source} took too long to answer")
                message = f"could not be read within {self._wall_seconds:g} s; split it"
                raise InputError.of("file", self._name, message)
        process.wait()
        return bytes(output), bytes(errors)

    def _explain_death(self, returncode: int, errors: bytes) -> Exception:
        if self._order is not None:
            # A source's own crash: its code is not ours, the operator has to look.
            self._log_death(returncode, errors)
            return SourceUnavailable(
                f"{self._order.source} failed; the server's log has the reason"
            )
        if returncode in (-signal.SIGXCPU, -signal.SIGALRM):
            message = "takes too long to read; split it, or write dates as YYYY-MM-DD"
            return InputError.of("file", self._name, message)
        self._log_death(returncode, errors)
        message = "crashed its reader; it is damaged, or not a file of bars"
        return InputError.of("file", self._name, message)

    def _log_death(self, returncode: int, errors: bytes) -> None:
        # Not the sender's business, but ours: a crash may be a bug.
        _LOG.error(
            "the reader of %r ended with code %d: %s",
            self._name,
            returncode,
            errors.decode(errors="replace"),
        )


class IngestProcess(BarProcess):
    """Parses one file, or fetches, into a dataset that is ready to be stored."""

    MODULE = "storage.ingest_child"

    def finish(self) -> ParsedDataset:
        """Return what the child parsed.

        Raises
        ------
        InputError
            On field ``file`` or ``date_format``: what the file refuses, or that reading it took
            more time or memory than a file of bars needs. On the fields of an order.
        SourceUnavailable
            If the ordered source does not answer.
        """
        answer, body = self._finish()
        columns, start = {}, 0
        for column, size in answer["sizes"].items():
            columns[column] = body[start : start + size]
            start += size
        return ParsedDataset(**answer["dataset"], columns=columns)


class PreviewProcess(BarProcess):
    """Parses one file, or fetches, and tells what it would be stored as."""

    MODULE = "tasks.preview_child"

    def finish(self) -> dict[str, Any]:
        """Return the preview; see `tasks.preview_child`, and `IngestProcess.finish` for errors."""
        return self._finish()[0]


def _compute_cpu_seconds(limits: FileLimits) -> int:
    """Return the CPU time within which any acceptable file is read.

    The precise reading passes 12 MB of text a second on a 2.5 GHz core; a third of that is assumed.
    """
    return 15 + limits.max_text_bytes // (4 << 20)


def _compute_address_space(limits: FileLimits) -> int:
    """Return the address space within which any acceptable file is read.

    Measured: interpreter, numpy and pyarrow map 0.3 GiB; the file is held once; a bar takes 220 to
    270 bytes while its columns are read, checked and compressed.
    """
    return (768 << 20) + 2 * limits.max_bytes + 300 * limits.max_bars


def ingest_bytes(
    data: bytes,
    file_name: str,
    date_format: str | None = None,
    limits: FileLimits = DEFAULT_LIMITS,
) -> ParsedDataset:
    """Parse a file that is in memory; see `IngestProcess`."""
    with IngestProcess(file_name, date_format, limits) as process:
        process.write(data)
        return process.finish()


def parse_local_file(
    path: str | os.PathLike[str],
    date_format: str | None = None,
    limits: FileLimits = DEFAULT_LIMITS,
) -> ParsedDataset:
    """Parse a file of this machine in a child process; see `IngestProcess`.

    Raises
    ------
    InputError
        Also if there is no such file.
    """
    name = validate_bar_path(path, limits)
    with open(path, "rb") as file, IngestProcess(name, date_format, limits) as process:
        while chunk := file.read(_CHUNK):
            process.write(chunk)
        return process.finish()


def unpack_bars(parsed: ParsedDataset) -> tuple[Bars, tuple[DataWarning, ...]]:
    """Return the bars and warnings of a parsed file."""
    decompressor = zstandard.ZstdDecompressor()
    arrays: dict[str, Any] = {
        name: np.frombuffer(decompressor.decompress(blob), "<i8" if name == "timestamps" else "<f8")
        for name, blob in parsed.columns.items()
    }
    bars = Bars(**arrays, spacing=parsed.spacing, periods_per_year=parsed.periods_per_year)
    return bars, tuple(DataWarning(**warning) for warning in parsed.warnings)
