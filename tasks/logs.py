"""Structured logs of every process: our lines and those of libraries, in one format.

One pipeline serves both: structlog's loggers hand their events to the standard library, and one
handler renders them together with whatever Celery, gunicorn, SQLAlchemy or Werkzeug log. Context
bound with `bind_run` reaches each of them, so that every line of a run carries its ``run_id``.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

    from tasks.settings import Settings

# scheme://user:password@host, wherever in a text; the user part may be empty (redis://:pw@host).
_PASSWORD_IN_URL = re.compile(r"(?P<head>\b[\w+.-]+://[^\s:/@]*):(?P<password>[^\s/]+)@")

# Chatty at INFO without telling an operator anything.
_QUIET_LOGGERS = {
    "werkzeug": logging.WARNING,
    "alembic": logging.WARNING,
    "numba": logging.WARNING,
    "matplotlib": logging.WARNING,
    "kombu": logging.WARNING,
    "amqp": logging.WARNING,
    "asyncio": logging.WARNING,
}


def configure_logging(settings: Settings, service: str) -> None:
    """Route all logging of this process to standard error, in the format of `settings`.

    Parameters
    ----------
    settings : Settings
        `log_format` ``json`` writes one object a line, ``console`` a line for people;
        `log_level` is the least severe level written.
    service : str
        Name of the process in every line: ``web``, ``worker``, ``maintenance``, ``up``.

    Notes
    -----
    Safe to call again, for example in a forked process: the handler is replaced, not added.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(allow=("run_id",)),
        _add_celery_run_id,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _ServiceAdder(service),
    ]
    structlog.configure(
        processors=[
            *shared[:3],
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared[5:],
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[settings.log_level]
        ),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_build_renderers(settings),
            ],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.log_level)
    logging.captureWarnings(True)
    for name, level in _QUIET_LOGGERS.items():
        logging.getLogger(name).setLevel(level)


@contextmanager
def bind_run(run_id: str, **values: Any) -> Iterator[None]:
    """Put `run_id` (and `values`) into every line logged inside the block by this context."""
    with structlog.contextvars.bound_contextvars(run_id=run_id, **values):
        yield


@contextmanager
def bind_sweep(sweep_id: str, **values: Any) -> Iterator[None]:
    """Put `sweep_id` into every line, and as `run_id` too: one key finds whatever is looked for."""
    with bind_run(sweep_id, sweep_id=sweep_id, **values):
        yield


def get_logger(name: str) -> Any:
    """Return a structured logger: ``log.info("event_name", key=value)``."""
    return structlog.stdlib.get_logger(name)


def redact_text(text: str) -> str:
    """Return `text` with the password of every URL in it replaced by asterisks."""
    return _PASSWORD_IN_URL.sub(r"\g<head>:***@", text) if "://" in text else text


def _build_renderers(settings: Settings) -> list[Processor]:
    if settings.log_format == "json":
        return [
            structlog.processors.format_exc_info,
            _redact,
            structlog.processors.EventRenamer("message"),
            _render_json,
        ]
    return [
        structlog.processors.format_exc_info,
        _redact,
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        ),
    ]


class _ServiceAdder:
    """Processor that names the process in each line."""

    def __init__(self, service: str) -> None:
        self.service = service

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event.setdefault("service", self.service)
        return event


def _add_celery_run_id(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    # Celery logs "received" and "succeeded" in its main process, where nothing is bound; its
    # records carry the task's id, which is the run's.
    record = event.get("_record")
    data = getattr(record, "data", None)
    if isinstance(data, dict) and str(data.get("name", "")).startswith("stock_backtest."):
        event.setdefault("run_id", data.get("id"))
    return event


def _redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    return {key: _redact_value(value) for key, value in event.items()}


def _redact_value(value: Any) -> Any:
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {key: _redact_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redact_value(item) for item in value]
    if isinstance(value, int | float | None):
        return value
    return redact_text(str(value))


def _render_json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
