"""Flower behind a guard: a live view of workers and tasks that only its own users can open.

Flower answers any Host name and, with its API open, any origin. A page in the user's browser could
read the queue through DNS rebinding. This wrapper refuses both, and switches every control off:
history, cancelling and deleting belong to the page, where they reach the database.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from flower.app import Flower
from flower.options import default_options
from flower.urls import settings as flower_handler_settings
from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler

from tasks.celery_app import create_celery_app
from tasks.logs import configure_logging, get_logger
from tasks.settings import Settings, load_settings

_LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
_READS = frozenset({"GET", "HEAD"})
# Bounded memory: the oldest tasks and workers are forgotten. [entries]
_MAX_TASKS, _MAX_WORKERS = 10_000, 1_000
_OFFLINE_WORKERS_SECONDS = 300


class GuardedFlower(Flower):  # type: ignore[misc]  # Flower has no types
    """Flower that answers allowed Host names and origins only.

    Parameters
    ----------
    allowed_hosts : frozenset of str
        Host names without port, lower case.
    """

    def __init__(self, *args: Any, allowed_hosts: frozenset[str], **kwargs: Any) -> None:
        self.allowed_hosts = allowed_hosts
        super().__init__(*args, **kwargs)

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Route a request, or refuse it before Flower sees it."""
        reason = find_refusal(
            request.method or "",
            request.headers.get("Host", ""),
            request.headers.get("Origin"),
            request.headers.get("Sec-Fetch-Site"),
            self.allowed_hosts,
        )
        if reason is not None:
            return self.get_handler_delegate(request, _Refusal, {"reason": reason})
        return super().find_handler(request, **kwargs)


class _Refusal(RequestHandler):
    def initialize(self, reason: str) -> None:
        self.reason = reason

    def prepare(self) -> None:
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(self.reason + "\n")


def find_refusal(
    method: str,
    host: str,
    origin: str | None,
    fetch_site: str | None,
    allowed_hosts: frozenset[str],
) -> str | None:
    """Return why a request is refused, or None if it may pass.

    Parameters
    ----------
    method, host : str
        The request's method and its ``Host`` header.
    origin : str or None
        The ``Origin`` header; a page of another origin may neither write nor read.
    fetch_site : str or None
        The ``Sec-Fetch-Site`` header.
    """
    if _strip_port(host) not in allowed_hosts:
        return (
            f"This server does not answer to the host name {host!r}. "
            "Add it to STOCK_BACKTEST_ALLOWED_HOSTS if it is yours."
        )
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return f"Requests from the origin {origin!r} are refused."
    if method not in _READS and fetch_site not in (None, "same-origin", "none"):
        return "Writes from another site are refused."
    return None


def _strip_port(host: str) -> str:
    name, separator, port = host.strip().lower().rpartition(":")
    return name if separator and port.isdigit() else host.strip().lower()


def build_allowed_hosts(settings: Settings) -> frozenset[str]:
    """Return the host names of `settings` and the loopback ones."""
    names = (name.strip().lower() for name in settings.allowed_hosts.split(","))
    return _LOOPBACK_NAMES | {name for name in names if name}


def build_flower(settings: Settings, address: str, port: int) -> GuardedFlower:
    """Return Flower configured for `settings`; `start_http_server` then binds it."""
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
        allowed_hosts=build_allowed_hosts(settings),
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
    flower = build_flower(settings, arguments.address, arguments.port)
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
