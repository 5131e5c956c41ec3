"""Settings of gunicorn, read by it from this module (``--config python:cli.gunicorn_config``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from backtest.errors import InputError
from tasks.executors import get_executor
from tasks.exposure import choose_mode
from tasks.logs import configure_logging
from tasks.process_guard import die_with_parent
from tasks.process_memory import limit_heap_growth
from tasks.settings import PREFIX, load_settings


class GunicornLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own lines through our handler, in our format."""

    def setup(self, cfg: Any) -> None:
        """Configure logging in place of gunicorn, which would attach handlers of its own."""
        super().setup(cfg)
        configure_logging(load_settings(), "web")
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True


logger_class = GunicornLogger
worker_class = "cli.web_worker.PatientWorker"
# Open at a time, in each process; beyond it the oldest that says nothing makes room.
worker_connections = 512
# Whose word on https is taken.
forwarded_allow_ips = load_settings().trusted_proxies or "127.0.0.1,::1"
# Heartbeats of its processes, in memory: the web tier writes nothing to a disk.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  # gunicorn makes names of its own there
control_socket_disable = True
# Requests end long before; a process silent for this long hangs and is replaced. [seconds]
timeout = 60
graceful_timeout = 5
keepalive = 15
# The application logs each request itself, with its run_id.
accesslog = None


def on_starting(server: Any) -> None:
    """Refuse an address that the application was not told of: it decides by it who is asked.

    Raises
    ------
    InputError
        If an address is more open than the one in the settings.
    """
    settings = load_settings()
    told = choose_mode(settings, settings.bind)
    for address in server.address:
        bind = f"[{address[0]}]:{address[1]}" if isinstance(address, tuple) else f"unix:{address}"
        if choose_mode(settings, bind) != told:
            raise InputError.of(f"{PREFIX}BIND", settings.bind, f"is not what is bound: {bind}")


def post_fork(server: Any, worker: Any) -> None:
    """Tie each process to the main one, and keep it small."""
    die_with_parent(worker.ppid)
    limit_heap_growth()


def post_worker_init(worker: Any) -> None:
    """Let the executor begin what it does in the background, if it does anything."""
    get_executor(load_settings()).start()
