"""Multipart uploads, handed on as they arrive: no file, and no whole body in memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, TypeVar

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from backtest.errors import FieldError, InputError
from storage.datasets import validate_symbol
from webapp.problems import ProblemError

_CHUNK_BYTES = 64 * 1024
# The decoder holds one chunk and a possible boundary; more means headers or a preamble that never
# end.
_MAX_HELD_BYTES = 4 * _CHUNK_BYTES
_MAX_PARTS = 8
_MAX_FIELD_BYTES = 4096
_FIELDS = ("symbol", "date_format")

Parsed = TypeVar("Parsed", covariant=True)


class FileSink(Protocol[Parsed]):
    """Takes a file's bytes piece by piece and returns what it parsed from them."""

    def __enter__(self) -> FileSink[Parsed]:
        """Start."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, whatever has arrived."""
        ...

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        ...

    def finish(self) -> Parsed:
        """Return the parsed file."""
        ...


Result = TypeVar("Result")
OpenSink = Callable[[str, str | None], FileSink[Result]]


@dataclass(slots=True)
class Upload:
    """What arrived so far of one upload."""

    fields: dict[str, str] = field(default_factory=dict)
    file_name: str | None = None


def receive_upload(open_sink: OpenSink[Result], max_file_bytes: int) -> tuple[str, str, Result]:
    """Stream the request's ``file`` part into a sink.

    Parameters
    ----------
    open_sink : callable
        Called with file name and date format (None if not sent) when the file's part begins.
    max_file_bytes : int
        Limit of the file, enforced while it streams.

    Returns
    -------
    symbol : str
    file_name : str
        Its last path component, at most 200 characters.
    result : object
        From the sink.

    Raises
    ------
    ProblemError
        415 for another media type, 400 for malformed multipart, 413 for a file beyond the limit.
    InputError
        For missing or bad fields; a date format must come before the file.
    """
    upload = Upload()
    events = _read_events(max_file_bytes)
    result: list[Result] = []
    for event in events:
        if isinstance(event, File):
            if event.name != "file":
                raise InputError.of(event.name or "", event.filename, "send the file as `file`")
            if upload.file_name is not None:
                raise InputError.of("file", event.filename, "send one file at a time")
            if "symbol" in upload.fields:  # refuse before the file has travelled
                validate_symbol(upload.fields["symbol"])
            upload.file_name = _clean_file_name(event.filename)
            with open_sink(upload.file_name, upload.fields.get("date_format")) as sink:
                _pump(events, sink, max_file_bytes)
                result.append(sink.finish())
        elif isinstance(event, Field):
            name = event.name or ""  # werkzeug lets a part without a name pass
            _keep_field(upload, name, _read_field(events, name))
    symbol = upload.fields.get("symbol")
    if symbol is None:
        raise InputError.of("symbol", None, "this field is required")
    if not result or upload.file_name is None:
        raise InputError.of("file", None, "this field is required; send CSV or Parquet")
    return validate_symbol(symbol), upload.file_name, result[0]


def _read_events(max_file_bytes: int) -> Iterator[Event]:
    """Yield the parts of the request's body as its bytes arrive."""
    if request.mimetype != "multipart/form-data":
        shown = request.mimetype or "no Content-Type"
        raise ProblemError(415, f"send multipart/form-data with symbol and file, not {shown}")
    boundary = request.mimetype_params.get("boundary", "")
    if not boundary:
        raise ProblemError(400, "the Content-Type names no multipart boundary")
    # The whole body: the file and what surrounds it.
    request.max_content_length = max_file_bytes + _MAX_HELD_BYTES
    decoder = MultipartDecoder(boundary.encode("latin-1", "replace"), max_parts=_MAX_PARTS)
    try:
        stream = request.stream
        while True:
            event = decoder.next_event()
            if isinstance(event, Epilogue):
                return
            if not isinstance(event, NeedData):
                yield event
                continue
            if len(decoder.buffer) > _MAX_HELD_BYTES:
                raise ProblemError(400, "the multipart body is malformed: a part never begins")
            decoder.receive_data(stream.read(_CHUNK_BYTES) or None)
    except RequestEntityTooLarge as error:
        raise _too_large(max_file_bytes) from error
    except (ValueError, AttributeError) as error:  # the decoder's words for a broken body
        raise ProblemError(400, "the multipart body is malformed or was cut off") from error


def _pump(events: Iterator[Event], sink: FileSink[object], max_file_bytes: int) -> None:
    n_bytes = 0
    for event in events:
        if not isinstance(event, Data):
            continue
        n_bytes += len(event.data)
        if n_bytes > max_file_bytes:
            raise _too_large(max_file_bytes)
        if event.data:
            sink.write(event.data)
        if not event.more_data:
            return


def _read_field(events: Iterator[Event], name: str) -> str:
    held = bytearray()
    for event in events:
        if not isinstance(event, Data):
            continue
        held += event.data
        if len(held) > _MAX_FIELD_BYTES:
            raise InputError.of(name, f"{len(held)} bytes", f"at most {_MAX_FIELD_BYTES} bytes")
        if not event.more_data:
            break
    return held.decode("utf-8", "replace").strip()


def _keep_field(upload: Upload, name: str, text: str) -> None:
    if name not in _FIELDS:
        raise InputError.of(name, text, f"unknown field; send {', '.join(_FIELDS)} and file")
    if name in upload.fields:
        raise InputError.of(name, text, "give it once")
    if name == "date_format" and text:
        if upload.file_name is not None:
            raise InputError.of(name, text, "send it before the file, which is read as it arrives")
        if len(text) > 40:
            raise InputError.of(name, text, "at most 40 characters")
    if text:
        upload.fields[name] = text


def _clean_file_name(name: str) -> str:
    last = re.split(r"[/\\]", name)[-1].strip()
    return "".join(char for char in last if char.isprintable())[:200] or "upload"


def _too_large(max_file_bytes: int) -> ProblemError:
    limit = f"{max_file_bytes / 1024 / 1024:g} MiB"
    return ProblemError(
        413,
        f"the file is larger than {limit}, the limit of this server",
        [FieldError("file", None, f"send at most {limit}")],
    )
