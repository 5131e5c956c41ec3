"""A certificate authority for one test, and TLS in front of a server that has none."""

from __future__ import annotations

import select
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread


@dataclass(frozen=True)
class Authority:
    """Files of an authority and of the certificate that it gave to 127.0.0.1."""

    ca: Path
    certificate: Path
    key: Path


def make_authority(folder: Path) -> Authority:
    """Make a certificate for 127.0.0.1 with the machine's openssl."""
    folder.mkdir(exist_ok=True)

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(
        *("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"),
        *("-subj", "/CN=authority of a test", "-addext", "keyUsage=critical,keyCertSign"),
    )
    openssl(
        *("req", *new_key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=127.0.0.1"),
        *("-addext", "subjectAltName=IP:127.0.0.1"),
    )
    openssl(
        *("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key"),
        *("-out", "certificate.pem", "-days", "2", "-copy_extensions", "copy"),
    )
    return Authority(folder / "ca.pem", folder / "certificate.pem", folder / "key.pem")


@contextmanager
def tls_in_front(port: int, authority: Authority) -> Iterator[int]:
    """Accept TLS on a free port and pass what is inside to `port`; gives the free port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.key)
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[Thread] = []

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            thread = Thread(target=carry, args=(client,), daemon=True)
            thread.start()
            threads.append(thread)

    def carry(client: socket.socket) -> None:
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", port)) as server,
            context.wrap_socket(client, server_side=True) as inside,
        ):
            _pump(inside, server)
        client.close()

    acceptor = Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(5)


def _pump(inside: ssl.SSLSocket, server: socket.socket) -> None:
    ends = {inside: server, server: inside}
    while True:
        readable, _, _ = select.select(list(ends), [], [], 10)
        if not readable:
            return
        for end in readable:
            data = end.recv(65536)
            if not data:
                return
            ends[end].sendall(data)
