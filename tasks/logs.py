"""Structured logs of every process: our lines and those of libraries, in one format.

One pipeline serves both: structlog's loggers hand their events to the standard library, and one
handler renders them together with whatever Celery, gunicorn, SQLAlchemy or Werkzeug log. Context
bound with `bind_run` reaches each of them, so that every line of a run carries its ``run_id``.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
import structlog

from tasks.settings import print_redacted, redact_text

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

    from tasks.settings import Settings

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
_LINE_END = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")
# What JSON lets pass, and terminals or readers of lines may not.
_UNESCAPED = re.compile(r"[\x7f-\x9f\u2028\u2029]")

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
    # What nobody catches is printed by the interpreter, past all of this.
    sys.excepthook = print_redacted
    threading.excepthook = lambda args: print_redacted(
        args.exc_type, args.exc_value, args.exc_traceback
    )
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
        _escape,
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


def _escape(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Keep what was sent from looking like lines of ours, or from steering a terminal.

    JSON escapes by itself. A message of a library may have several lines; none but the first may
    begin where lines of ours do. A traceback is left as it is: its lines are indented.
    """
    for key, value in event.items():
        if isinstance(value, str) and key not in ("exception", "stack"):
            text = _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", value)
            if key == "event":
                event[key] = _LINE_END.sub("\n    ", text)
            else:
                event[key] = _LINE_END.sub(lambda match: repr(match[0])[1:-1], text)
    return event


def _render_json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    text = orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    return _UNESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
