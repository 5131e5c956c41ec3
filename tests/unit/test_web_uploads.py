"""Multipart bodies are handed on as they arrive and refused as soon as they are wrong."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder

from backtest.errors import InputError
from webapp.problems import ProblemError
from webapp.uploads import receive_upload

BOUNDARY = "limit"
Part = tuple[str, str | None, bytes]


class CollectingSink:
    """Keeps what it is given, and how the bytes arrived."""

    def __init__(self, file_name: str, date_format: str | None) -> None:
        self.file_name, self.date_format = file_name, date_format
        self.chunks: list[bytes] = []
        self.is_closed = False

    def __enter__(self) -> CollectingSink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.is_closed = True

    def write(self, chunk: bytes) -> None:
        self.chunks.append(chunk)

    def finish(self) -> bytes:
        return b"".join(self.chunks)


def build_body(parts: list[Part]) -> bytes:
    body = b""
    for name, file_name, data in parts:
        file_part = f'; filename="{file_name}"' if file_name is not None else ""
        head = f'Content-Disposition: form-data; name="{name}"{file_part}'
        body += f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode()
        body += data + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def receive(
    body: bytes,
    limit: int = 1_000_000,
    content_type: str = f"multipart/form-data; boundary={BOUNDARY}",
) -> tuple[Any, list[CollectingSink]]:
    sinks: list[CollectingSink] = []

    def open_sink(file_name: str, date_format: str | None) -> CollectingSink:
        sinks.append(CollectingSink(file_name, date_format))
        return sinks[-1]

    builder = EnvironBuilder(
        method="POST",
        input_stream=io.BytesIO(body),
        content_type=content_type,
        content_length=len(body),
    )
    with Flask("test").request_context(builder.get_environ()):
        return receive_upload(open_sink, limit), sinks


def test_a_file_arrives_whole_with_its_symbol() -> None:
    data = bytes(range(256)) * 1000
    (symbol, file_name, got), sinks = receive(
        build_body([("symbol", None, b"ABC"), ("file", "a.csv", data)])
    )
    assert (symbol, file_name) == ("ABC", "a.csv")
    assert got == data
    assert sinks[0].is_closed


def test_the_symbol_may_follow_the_file() -> None:
    (symbol, _, got), _ = receive(build_body([("file", "a.csv", b"x"), ("symbol", None, b"ABC")]))
    assert (symbol, got) == ("ABC", b"x")


def test_a_large_file_arrives_in_small_pieces() -> None:
    data = b"2020-01-01,1,2,3,4,5\r\n" * 200_000
    (_, _, got), sinks = receive(
        build_body([("symbol", None, b"ABC"), ("file", "a.csv", data)]), limit=10_000_000
    )
    assert got == data
    assert max(len(chunk) for chunk in sinks[0].chunks) <= 4 * 64 * 1024


def test_the_date_format_reaches_the_sink() -> None:
    _, sinks = receive(
        build_body(
            [("date_format", None, b"%d.%m.%Y"), ("symbol", None, b"A"), ("file", "a.csv", b"x")]
        )
    )
    assert sinks[0].date_format == "%d.%m.%Y"


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("../../etc/passwd", "passwd"), (r"C:\\data\\a.csv", "a.csv"), ("", "upload")],
)
def test_only_the_last_part_of_a_file_name_is_kept(sent: str, kept: str) -> None:
    (_, file_name, _), _ = receive(build_body([("symbol", None, b"ABC"), ("file", sent, b"x")]))
    assert file_name == kept


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ([("file", "a.csv", b"x")], "symbol"),
        ([("symbol", None, b"ABC")], "file"),
        ([], "symbol"),
        ([("symbol", None, b"A B"), ("file", "a.csv", b"x")], "symbol"),
        ([("symbol", None, b"f" * 64), ("file", "a.csv", b"x")], "symbol"),
        ([("symbol", None, b"A"), ("file", "a", b"x"), ("file", "b", b"y")], "file"),
        ([("symbol", None, b"A"), ("symbol", None, b"B"), ("file", "b", b"y")], "symbol"),
        (
            [("symbol", None, b"A"), ("file", "a", b"x"), ("date_format", None, b"%Y")],
            "date_format",
        ),
        ([("symbol", None, b"A"), ("colour", None, b"red"), ("file", "a", b"x")], "colour"),
        ([("symbol", None, b"x" * 5000), ("file", "a", b"x")], "symbol"),
    ],
)
def test_a_missing_or_wrong_field_is_named(parts: list[Part], field: str) -> None:
    with pytest.raises(InputError) as caught:
        receive(build_body(parts))
    assert caught.value.errors[0].field == field


def test_a_file_beyond_the_limit_is_refused_while_it_arrives() -> None:
    body = build_body([("symbol", None, b"ABC"), ("file", "a.csv", b"x" * 200_001)])
    with pytest.raises(ProblemError) as caught:
        receive(body, limit=200_000)
    assert caught.value.status == 413


def test_a_body_whose_length_is_beyond_the_limit_is_refused_unread() -> None:
    stream_was_read: list[int] = []

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            stream_was_read.append(1)
            return super().read(size)

    builder = EnvironBuilder(
        method="POST",
        input_stream=Watched(b"x"),
        content_type=f"multipart/form-data; boundary={BOUNDARY}",
    )
    environ = {**builder.get_environ(), "CONTENT_LENGTH": "10000000"}
    with (
        Flask("test").request_context(environ),
        pytest.raises(ProblemError) as caught,
    ):
        receive_upload(CollectingSink, 1_000_000)
    assert caught.value.status == 413
    assert not stream_was_read


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: body[: len(body) // 2],
        lambda body: body.replace(b"Content-Disposition", b"Content-Nonsense"),
        lambda body: b"no boundary at all" * 10,
        lambda body: b"p" * 900_000,
        lambda body: body.replace(b"\r\n\r\n", b"\r\nX-Long: " + b"h" * 600_000 + b"\r\n\r\n", 1),
        lambda body: b"",
    ],
)
def test_a_damaged_body_is_a_400(damage: Callable[[bytes], bytes]) -> None:
    body = build_body([("symbol", None, b"ABC"), ("file", "a.csv", b"x" * 100)])
    with pytest.raises(ProblemError) as caught:
        receive(damage(body))
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("content_type", "status"),
    [("application/json", 415), ("text/csv", 415), ("multipart/form-data", 400)],
)
def test_another_media_type_is_refused(content_type: str, status: int) -> None:
    with pytest.raises(ProblemError) as caught:
        receive(b"{}", content_type=content_type)
    assert caught.value.status == status


def test_the_sink_is_closed_when_the_body_breaks_off() -> None:
    sinks: list[CollectingSink] = []

    def open_sink(file_name: str, date_format: str | None) -> CollectingSink:
        sinks.append(CollectingSink(file_name, date_format))
        return sinks[-1]

    body = build_body([("symbol", None, b"ABC"), ("file", "a.csv", b"x" * 500_000)])[:300_000]
    builder = EnvironBuilder(
        method="POST",
        input_stream=io.BytesIO(body),
        content_length=len(body),
        content_type=f"multipart/form-data; boundary={BOUNDARY}",
    )
    with Flask("test").request_context(builder.get_environ()), pytest.raises(ProblemError):
        receive_upload(open_sink, 1_000_000)
    assert sinks[0].is_closed
