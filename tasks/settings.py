"""Settings, read from the environment once into a frozen record."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args, get_type_hints
from urllib.parse import urlsplit, urlunsplit

from backtest.errors import FieldError, InputError

PREFIX = "STOCK_BACKTEST_"
Executor = Literal["celery", "kubernetes", "inline"]
LogFormat = Literal["console", "json"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of every process; variables are the names in capitals with `PREFIX`.

    Parameters
    ----------
    database_url, broker_url : str
        SQLAlchemy and Redis URLs; passwords in them are never logged.
    secret_key : str
        Signs cookies; empty means that no cookies are signed.
    executor : {"celery", "kubernetes", "inline"}
        What executes a run.
    bind : str
        Address of the web tier, ``host:port``.
    allowed_hosts : str
        Comma-separated Host names that are answered; loopback and the bind address always are.
    log_format, log_level : str
        ``json`` is one object a line; ``console`` is for people.
    retention_days : int
        Finished runs older than this are purged; 0 keeps everything.
    lease_seconds : float
        A worker that has not reported for this long has lost its run.
    max_attempts : int
        How many workers may be lost on a run, or on a chunk of a sweep, before it fails for good.
    maintenance_interval_seconds : float
        How often maintenance looks for lost runs.
    broker_timeout_seconds : float
        How long one exchange with the broker may take before it counts as down.
    max_upload_mb, max_bars, max_body_kb, max_run_seconds : int
        Limits on files, bars per dataset, JSON bodies and one run's computing time.
    shutdown_seconds : float
        How long a worker that is told to stop lets its tasks go on; then they are handed back.
    database_patience_seconds : float
        How long a worker holds a result that the database does not take.
    max_tasks_per_process, max_process_mb : int
        A worker's process is replaced after so many tasks, or once its memory has been larger than
        this; 0 for never.
    max_combinations : int
        Largest sweep.
    notify_urls : str
        Apprise URLs, separated by commas or blanks, that are told when a sweep succeeds or fails;
        they hold secrets and are never logged. Empty tells nobody.
    worker_processes : int
        Processes of all workers together, by which sweeps are cut into chunks; 0 takes those of the
        worker that cuts, which is right where there is one.
    """

    database_url: str = ""
    broker_url: str = ""
    secret_key: str = ""
    executor: Executor = "celery"
    bind: str = "127.0.0.1:5000"
    allowed_hosts: str = ""
    log_format: LogFormat = "console"
    log_level: LogLevel = "INFO"
    retention_days: int = 0
    lease_seconds: float = 6.0
    maintenance_interval_seconds: float = 2.0
    broker_timeout_seconds: float = 2.0
    max_attempts: int = 3
    max_upload_mb: int = 256
    max_bars: int = 5_000_000
    max_body_kb: int = 256
    max_run_seconds: int = 600
    shutdown_seconds: float = 5.0
    database_patience_seconds: float = 60.0
    max_tasks_per_process: int = 10_000
    max_process_mb: int = 1024
    max_combinations: int = 100_000_000
    worker_processes: int = 0
    notify_urls: str = ""

    @property
    def max_upload_bytes(self) -> int:
        """Largest upload. [MiB] * [bytes / MiB] = [bytes]."""
        return self.max_upload_mb * 1024 * 1024

    @property
    def max_body_bytes(self) -> int:
        """Largest JSON or form body. [KiB] * [bytes / KiB] = [bytes]."""
        return self.max_body_kb * 1024


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from an environment mapping.

    Raises
    ------
    InputError
        With every variable that does not parse, and every unknown one with our prefix.
    """
    environ = os.environ if environ is None else environ
    hints = get_type_hints(Settings)
    known = {PREFIX + item.name.upper(): item.name for item in fields(Settings)}
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    for variable, text in environ.items():
        if not variable.startswith(PREFIX):
            continue
        name = known.get(variable)
        if name is None:
            errors.append(
                FieldError(variable, text, "unknown setting; `stock-backtest doctor` lists all")
            )
            continue
        try:
            values[name] = _parse_setting(hints[name], text)
        except ValueError as error:
            errors.append(FieldError(variable, text, str(error)))
    if values.get("executor") == "kubernetes":
        errors.append(
            FieldError(f"{PREFIX}EXECUTOR", "kubernetes", "is not available yet; write celery")
        )
    if errors:
        raise InputError(errors)
    return Settings(**values)


def _parse_setting(kind: Any, text: str) -> Any:
    choices = get_args(kind)
    if choices:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text
    if kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            raise ValueError(f"must be {'a whole number' if kind is int else 'a number'}") from None
        if not 0 <= value < float("inf"):
            raise ValueError("must not be negative")
        return value
    return text


def redact_url(url: str) -> str:
    """Return `url` with its password, if any, replaced by asterisks."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user = parts.username or ""
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:***@{host}"))
