"""Settings, read from the environment once into a frozen record."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import TracebackType
from typing import Any, Literal, get_args, get_type_hints

from backtest.errors import FieldError, InputError
from storage.sources import parse_source_names

PREFIX = "STOCK_BACKTEST_"
_AT_LEAST_ONE = (
    "session_hours",
    "max_login_failures",
    "web_threads",
    "max_waiting_questions",
    "kubernetes_parallelism",
    "kubernetes_deadline_seconds",
)
# What Kubernetes puts into the environment of pods for a Service that is named like us.
_SERVICE_LINK = re.compile(
    r"_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)=|_PORT(_\d+_(TCP|UDP|SCTP))?=\w+://|"
    r"_PORT_\d+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)="
)
# After `max_run_seconds` work has this long to record its failure before its process is ended.
HARD_LIMIT_GRACE_SECONDS = 30
Executor = Literal["celery", "kubernetes", "inline"]
LogFormat = Literal["console", "json"]
Auth = Literal["auto", "token", "dangerously-open"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of every process; variables are the names in capitals with `PREFIX`.

    Parameters
    ----------
    database_url, broker_url : str
        SQLAlchemy and Redis URLs; passwords in them are never logged.
    secret_key : str
        Signs the cookies of browsers that logged in, the same for all replicas of the web tier;
        without one there is no login.
    token : str
        What the command line shows to the platform that `--server` names.
    auth : {"auto", "token", "dangerously-open"}
        ``token`` asks everybody for a token; ``auto`` does so off loopback, and on loopback once a
        token was created; ``dangerously-open`` lets the whole network read and write.
    executor : {"celery", "kubernetes", "inline"}
        What executes a run; see `tasks.executors`.
    kubernetes_namespace : str
        Where Jobs are created; by default that of this pod, or of the kubeconfig.
    kubernetes_image : str
        Image of Jobs, by a tag that never moves or by its digest.
    kubernetes_parallelism : int
        Most pods that compute one sweep at a time.
    kubernetes_secret, kubernetes_config_map : str
        Where a Job's pod gets the database's URL (key ``database-url``) and its settings from.
    kubernetes_service_account : str
        As whom a Job's pod runs; no token of it is mounted.
    kubernetes_deadline_seconds : int
        How long a Job may take in all; waiting for a machine, which is no failure, counts.
    kubernetes_interval_seconds : float
        How often Jobs and runs are compared.
    bind : str
        Address of the web tier, ``host:port``.
    allowed_hosts : str
        Comma-separated Host names that are answered; loopback and the bind address always are.
    trusted_proxies : str
        Comma-separated addresses or networks whose word on the client's address and on https is
        taken; empty trusts proxies on this machine.
    session_hours : int
        How long a browser stays logged in.
    max_login_failures : int
        Wrong tokens that one address may send within five minutes.
    max_reads_per_minute, max_writes_per_minute : int
        Requests with one token; 0 sets no limit. Where nobody is asked for a token there is none.
    web_threads : int
        Threads of each web process; three quarters of them may wait for a worker at a time.
    client_timeout_seconds : float
        How long a client may take to send a request's head, or let its body stand still.
    log_format, log_level : str
        ``json`` is one object a line; ``console`` is for people.
    retention_days : int
        Finished runs older than this are purged; 0 keeps everything.
    audit_days : int
        Events of the audit log older than this are purged; 0 keeps everything.
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
    max_waiting_questions : int
        Questions about the numbers of sweeps that may wait for workers at a time; whoever asks one
        more is told to come back.
    notify_urls : str
        Apprise URLs, separated by commas or blanks, that are told when a sweep succeeds or fails;
        they hold secrets and are never logged. Empty tells nobody.
    fetch_sources : str
        Comma-separated public sources of bars that may be asked, as ``yahoo``: each is a plug-in
        that runs in a child process. Empty fetches nothing.
    worker_processes : int
        Processes of all workers together, by which sweeps are cut into chunks; 0 takes those of the
        worker that cuts, which is right where there is one.
    """

    # Not shown by repr(), which ends up in tracebacks and logs.
    database_url: str = field(default="", repr=False)
    broker_url: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    auth: Auth = "auto"
    executor: Executor = "celery"
    kubernetes_namespace: str = ""
    kubernetes_image: str = ""
    kubernetes_parallelism: int = 4
    kubernetes_secret: str = "stock-backtest-secrets"  # noqa: S105  # its name
    kubernetes_config_map: str = "stock-backtest-config"
    kubernetes_service_account: str = "stock-backtest-worker"
    kubernetes_deadline_seconds: int = 604_800
    kubernetes_interval_seconds: float = 2.0
    bind: str = "127.0.0.1:5000"
    allowed_hosts: str = ""
    trusted_proxies: str = ""
    session_hours: int = 12
    max_login_failures: int = 10
    max_reads_per_minute: int = 60_000
    max_writes_per_minute: int = 3_000
    web_threads: int = 16
    client_timeout_seconds: float = 10.0
    log_format: LogFormat = "console"
    log_level: LogLevel = "INFO"
    retention_days: int = 0
    audit_days: int = 365
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
    max_waiting_questions: int = 64
    worker_processes: int = 0
    notify_urls: str = ""
    fetch_sources: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources that may be asked."""
        return parse_source_names(self.fetch_sources)

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
        if not variable.startswith(PREFIX) or _SERVICE_LINK.search(f"{variable}={text}"):
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
    errors += _check_placeholders(values)
    errors += _check_ranges(values)
    if errors:
        raise InputError(errors)
    return Settings(**values)


# What a template has where a secret belongs.
_PLACEHOLDER = re.compile(r"replace[-_ ]?me|change[-_ ]?me", re.IGNORECASE)


def _check_placeholders(values: Mapping[str, Any]) -> list[FieldError]:
    message = "still holds the placeholder of its template; fill in the real value"
    return [
        FieldError(f"{PREFIX}{name.upper()}", "(hidden)", message)
        for name in ("database_url", "broker_url", "secret_key", "token", "notify_urls")
        if _PLACEHOLDER.search(str(values.get(name, "")))
    ]


def _check_ranges(values: Mapping[str, Any]) -> list[FieldError]:
    errors = [
        FieldError(f"{PREFIX}{name.upper()}", values[name], "must be at least 1")
        for name in _AT_LEAST_ONE
        if values.get(name, 1) < 1
    ]
    try:
        parse_source_names(str(values.get("fetch_sources", "")))
    except ValueError as error:
        errors.append(FieldError(f"{PREFIX}FETCH_SOURCES", values["fetch_sources"], str(error)))
    for network in filter(None, str(values.get("trusted_proxies", "")).split(",")):
        try:
            ipaddress.ip_network(network.strip(), strict=False)
        except ValueError:
            message = "list addresses or networks, separated by commas: 10.0.0.0/8,192.0.2.1"
            errors.append(FieldError(f"{PREFIX}TRUSTED_PROXIES", network, message))
    return errors


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


# scheme://user:password@host, wherever in a text; the user part may be empty (redis://:pw@host).
# A slash may be part of it, unless what stands before reads as a port.
# Each character is looked at a few times, however long the text and whoever wrote it: no part of
# the pattern can begin within what another try has passed over.
_AFTER_USER = re.compile(r"(?P<head>://[^\s:/@]*):(?!\d+(?:[/?#\s]|$))(?P<rest>\S+)")
_PASSWORD_IN_QUERY = re.compile(
    r"(?P<head>[?&][\w-]*(?:password|passwd|secret|token)=)[^&\s'\"]+", re.IGNORECASE
)
# What a token looks like, wherever it was pasted.
_TOKEN = re.compile(r"\bsbt_[\w-]{16,}")


def redact_text(text: str) -> str:
    """Return `text` with tokens and the passwords of URLs in it replaced by asterisks."""
    if "sbt_" in text:
        text = _TOKEN.sub("sbt_***", text)
    if "://" in text:
        text = _AFTER_USER.sub(_hide_password, text)
        text = _PASSWORD_IN_QUERY.sub(r"\g<head>***", text)
    return text


def _hide_password(match: re.Match[str]) -> str:
    password, _, host = match["rest"].rpartition("@")
    return f"{match['head']}:***@{host}" if password else match[0]


def redact_url(url: str) -> str:
    """Return `url` with its passwords, if any, replaced by asterisks; it need not be valid."""
    return redact_text(url)


def print_redacted(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    """Print a traceback as Python does, without the secrets that its messages quote."""
    text = "".join(traceback.format_exception(kind, error, trace))
    sys.stderr.write(redact_text(text))
