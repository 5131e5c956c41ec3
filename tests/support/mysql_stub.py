"""The part of a MySQL 8 server that asks for a password as `caching_sha2_password` does."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.tls import Authority

_PROTOCOL_41, _SECURE, _PLUGIN_AUTH, _SSL = 1 << 9, 1 << 15, 1 << 19, 1 << 11
_SALT = bytes(range(1, 21))
_FULL_AUTHENTICATION = b"\x01\x04"
_GIVE_KEY, _KEY = b"\x02", b"\x01-----BEGIN PUBLIC KEY-----"
_OK = b"\x00\x00\x00\x02\x00\x00\x00"


class MySqlStub:
    """Greets, asks for the whole password, notes it, and hangs up.

    Parameters
    ----------
    authority : Authority or None
        Whose certificate it has; without one it offers no TLS.
    """

    def __init__(self, authority: Authority | None) -> None:
        self._authority = authority
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.said: list[tuple[bool, bytes]] = []  # whether through TLS, and what
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError, struct.error), client:
                self._greet(client)

    def _greet(self, client: socket.socket) -> None:
        flags = _PROTOCOL_41 | _SECURE | _PLUGIN_AUTH | (_SSL if self._authority else 0)
        low, high = flags & 0xFFFF, flags >> 16
        _send(
            client,
            0,
            b"\x0a8.0.40\x00"
            + struct.pack("<I8sxHBHHB10x", 7, _SALT[:8], low, 45, 2, high, 21)
            + _SALT[8:]
            + b"\x00caching_sha2_password\x00",
        )
        number, _ = _receive(client)
        if self._authority is None:
            self._ask(client, number)
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._authority.certificate, self._authority.key)
        with context.wrap_socket(client, server_side=True) as inside:
            number, _ = _receive(inside)
            self._ask(inside, number)

    def _ask(self, client: socket.socket, number: int) -> None:
        _send(client, number + 1, _FULL_AUTHENTICATION)
        number, answer = _receive(client)
        self.said.append((self._authority is not None, answer))
        _send(client, number + 1, _KEY if answer == _GIVE_KEY else _OK)


def _send(client: socket.socket, number: int, body: bytes) -> None:
    client.sendall(struct.pack("<I", len(body))[:3] + bytes([number]) + body)


def _receive(client: socket.socket) -> tuple[int, bytes]:
    head = _read(client, 4)
    return head[3], _read(client, int.from_bytes(head[:3], "little"))


def _read(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = client.recv(size - len(data))
        if not part:
            raise ConnectionError
        data += part
    return data


@contextmanager
def run_mysql_stub(authority: Authority | None) -> Iterator[MySqlStub]:
    stub = MySqlStub(authority)
    try:
        yield stub
    finally:
        stub.close()
