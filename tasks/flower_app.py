"""Flower behind a guard: a live view of workers and tasks that only its own users can open.

Flower answers any Host name and, with its API open, any origin. A page in the user's browser could
read the queue through DNS rebinding. This wrapper refuses both, asks for a token where the page
does (`tasks.flower_guard`), and switches every control off: history, cancelling and deleting belong
to the page, where they reach the database.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from flower.app import Flower
from flower.options import default_options
from flower.urls import settings as flower_handler_settings
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import OutputTransform, RequestHandler

from backtest.errors import InputError
from storage.access import TokenRepository
from storage.database import create_database
from storage.errors import StorageError
from tasks.celery_app import create_celery_app
from tasks.exposure import check_exposure
from tasks.flower_guard import Refusal, TokenGuard, build_allowed_hosts, find_refusal
from tasks.logs import configure_logging, get_logger
from tasks.settings import Settings, load_settings, redact_text

# Bounded memory: the oldest tasks and workers are forgotten. [entries]
_MAX_TASKS, _MAX_WORKERS = 10_000, 1_000
_OFFLINE_WORKERS_SECONDS = 300
# The one script that Flower writes into a page, and may. Styles stand in its markup.
_INLINE_SCRIPT = b"\nvar autorefresh = 1;\n"
_SCRIPT_HASH = base64.b64encode(hashlib.sha256(_INLINE_SCRIPT).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'self'; script-src 'self' 'sha256-{_SCRIPT_HASH}'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class GuardedFlower(Flower):  # type: ignore[misc]  # Flower has no types
    """Flower that answers allowed Host names and origins only.

    Parameters
    ----------
    allowed_hosts : frozenset of str
        Host names without port, lower case.
    guard : TokenGuard
        Asks for a token.
    """

    def __init__(
        self, *args: Any, allowed_hosts: frozenset[str], guard: TokenGuard, **kwargs: Any
    ) -> None:
        self.allowed_hosts = allowed_hosts
        self.guard = guard
        super().__init__(*args, **kwargs)
        self.add_transform(_Headers)

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Route a request, or refuse it before Flower sees it."""
        headers, method = request.headers, request.method or ""
        host = headers.get("Host", "")
        try:
            reason = find_refusal(
                method,
                host,
                headers.get("Origin"),
                headers.get("Sec-Fetch-Site"),
                self.allowed_hosts,
            )
            if reason is not None:
                raise Refusal(403, reason)
            header = headers.get("Authorization")
            forwarded = headers.get("X-Forwarded-For", "")
            peer = request.remote_ip or ""
            self.guard.check(method, request.path, host, peer, header, forwarded)
        except Refusal as refusal:
            return self.get_handler_delegate(request, _Refusing, {"refusal": refusal})
        return super().find_handler(request, **kwargs)


class _Refusing(RequestHandler):
    def initialize(self, refusal: Refusal) -> None:
        self.refusal = refusal

    def prepare(self) -> None:
        self.set_status(self.refusal.status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        if self.refusal.status == 401:
            self.set_header("WWW-Authenticate", 'Basic realm="stock-backtest", charset="UTF-8"')
        if self.refusal.status in (429, 503):
            self.set_header("Retry-After", "300" if self.refusal.status == 429 else "2")
        self.finish(self.refusal.reason + "\n")


class _Headers(OutputTransform):
    """Adds what browsers are told of every page; takes away what Flower tells other origins."""

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        for name, value in _HEADERS.items():
            headers[name] = value
        for name in [name for name in headers if name.startswith("Access-Control-")]:
            del headers[name]
        return status_code, headers, chunk


def build_flower(settings: Settings, address: str, port: int) -> GuardedFlower:
    """Return Flower configured for `settings`; `start_http_server` then binds it.

    Raises
    ------
    InputError
        If it would be open to the network.
    StorageError
        If that depends on the tokens, and they cannot be counted.
    """
    # Not the whole store, which loads numpy.
    url = settings.database_url
    tokens = TokenRepository(create_database(url)) if url else None
    mode = check_exposure(
        settings, "--address", address, lambda: tokens is not None and tokens.exist()
    )
    # Reading is open to whoever passes the guard; controls are off in any case.
    os.environ["FLOWER_UNAUTHENTICATED_API"] = "true"
    options = default_options
    options.address, options.port = address, port
    options.read_only = True
    options.persistent = False
    options.max_tasks, options.max_workers = _MAX_TASKS, _MAX_WORKERS
    options.purge_offline_workers = _OFFLINE_WORKERS_SECONDS
    return GuardedFlower(
        capp=create_celery_app(settings),
        options=options,
        allowed_hosts=build_allowed_hosts(settings, address),
        guard=TokenGuard(settings, mode, tokens),
        **flower_handler_settings,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Serve Flower until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5555)
    arguments = parser.parse_args(argv)
    settings = load_settings()
    configure_logging(settings, "flower")
    logging.getLogger("tornado.access").setLevel(logging.WARNING)
    try:
        flower = build_flower(settings, arguments.address, arguments.port)
    except (InputError, StorageError) as error:
        sys.stderr.write(f"error: {redact_text(str(error))}\n")
        return 2 if isinstance(error, InputError) else 3
    flower.start_http_server()
    get_logger(__name__).info("flower_ready", address=arguments.address, port=arguments.port)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    try:
        flower.start()
    except (KeyboardInterrupt, SystemExit):
        flower.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
