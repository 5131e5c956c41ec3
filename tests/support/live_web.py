"""A web application that listens: for clients that speak HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from typing import TYPE_CHECKING

from werkzeug.serving import WSGIRequestHandler, make_server

from tests.support.web import Web

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class _QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: the application logs its requests itself."""


def _close_when_sent(app: WSGIApplication) -> WSGIApplication:
    """Close what an answer reads from as soon as it is sent or dropped.

    Werkzeug's server reads on before it closes, and forgets to close where a browser that went
    elsewhere has reset the connection.
    """

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        response = app(environ, start_response)
        with closing(response) if hasattr(response, "close") else nullcontext():
            yield from response

    return answer


@contextmanager
def serving(web: Web) -> Iterator[str]:
    """Serve an application on a free loopback port; gives its URL."""
    app = _close_when_sent(web.app)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_QuietHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
