"""A proxy before a MySQL server that lets commits through and loses some of the answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_COM_QUERY = 3
_PACKET_HEADER = 4


class CuttingProxy:
    """Forwards bytes both ways; after every so many COMMITs it cuts before the answer.

    The server has done what it was told, and the client cannot know.
    """

    def __init__(self, target_port: int, cut_every: int) -> None:
        self._target_port, self._cut_every = target_port, cut_every
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.n_commits = self.n_cut = 0
        self._lock = threading.Lock()

    def serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:  # closed
                return
            try:
                target = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                client.close()
                continue
            silenced = threading.Event()
            for work in (self._forward_queries, self._forward_answers):
                threading.Thread(target=work, args=(client, target, silenced), daemon=True).start()

    def close(self) -> None:
        # A thread in `accept` does not notice that its socket is closed; a shutdown it does.
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _forward_queries(
        self, client: socket.socket, target: socket.socket, silenced: threading.Event
    ) -> None:
        with suppress(OSError), client, target:
            while data := client.recv(65536):
                cut = self._is_commit(data) and self._take_turn()
                if cut:
                    silenced.set()
                target.sendall(data)
                if cut:
                    # The answer says that it is done; nobody hears it.
                    target.settimeout(5)
                    target.recv(65536)
                    return

    def _forward_answers(
        self, client: socket.socket, target: socket.socket, silenced: threading.Event
    ) -> None:
        with suppress(OSError):
            while True:
                # Looked at, not taken: what is silenced belongs to the other thread.
                if not target.recv(1, socket.MSG_PEEK) or silenced.is_set():
                    return
                client.sendall(target.recv(65536))

    @staticmethod
    def _is_commit(data: bytes) -> bool:
        body = data[_PACKET_HEADER:]
        return bool(body) and body[0] == _COM_QUERY and body[1:].upper() == b"COMMIT"

    def _take_turn(self) -> bool:
        with self._lock:
            self.n_commits += 1
            cut = self.n_commits % self._cut_every == 0
            self.n_cut += cut
            return cut


@contextmanager
def run_proxy(target_port: int, cut_every: int) -> Iterator[CuttingProxy]:
    proxy = CuttingProxy(target_port, cut_every)
    threading.Thread(target=proxy.serve, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.close()
