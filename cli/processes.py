"""One process each, for production: `web`, `worker`, `maintenance`, `flower`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from dataclasses import replace

import click

from backtest.errors import InputError
from cli.failures import CheckFailed
from tasks.executors import check_executor
from tasks.exposure import AccessMode, check_exposure, check_secret_key
from tasks.settings import PREFIX, Settings, load_settings


@click.command()
@click.option("--processes", default=1, show_default=True, type=click.IntRange(1, 64))
@click.option("--threads", type=click.IntRange(1, 256), help="By default those of WEB_THREADS.")
def web(processes: int, threads: int | None) -> None:
    """Serve the page and the API with gunicorn."""
    settings = load_service_settings()
    if threads is not None:
        settings = replace(settings, web_threads=threads)
    check_executor(settings)
    check_access(settings)
    check_migrated(settings.database_url)
    environ = {**os.environ, f"{PREFIX}WEB_THREADS": str(settings.web_threads)}
    # By exec and not by import: the command line has loaded things that the web tier does without.
    os.execve(  # noqa: S606  # no shell is wanted
        sys.executable, [sys.executable, *build_web_arguments(settings, processes)], environ
    )


def check_access(settings: Settings) -> AccessMode:
    """Refuse to serve the page to the network without asking anybody who they are.

    Raises
    ------
    InputError
        Naming what is missing.
    StorageUnavailable, SchemaError
        If that depends on the tokens, and they cannot be counted.
    """
    mode = check_exposure(
        settings, f"{PREFIX}BIND", settings.bind, lambda: find_tokens(settings.database_url)
    )
    check_secret_key(settings, mode)
    if settings.auth == "dangerously-open":
        click.echo(
            f"WARNING: {PREFIX}AUTH=dangerously-open: whoever reaches {settings.bind} can read, "
            "change and delete everything.",
            err=True,
        )
    return mode


def find_tokens(database_url: str) -> bool:
    """Return whether a database holds a token, live or revoked."""
    from storage.database import create_database
    from storage.schema import check_schema
    from storage.store import Store

    database = create_database(database_url)
    try:
        check_schema(database)
        return Store(database).tokens.exist()
    finally:
        database.dispose()


def check_migrated(database_url: str) -> None:
    """Refuse a database of another schema, in one line and before anything is served.

    One that is away is no reason not to start: requests answer 503 until it is back.

    Raises
    ------
    SchemaError
        Naming the command to run.
    """
    from storage.database import create_database
    from storage.errors import StorageUnavailable
    from storage.schema import check_schema

    database = create_database(database_url)
    with contextlib.suppress(StorageUnavailable):
        check_schema(database)
    database.dispose()


def build_web_arguments(settings: Settings, processes: int) -> list[str]:
    """Return the interpreter's arguments that serve the page on `settings.bind`."""
    return [
        "-P",  # a directory named `webapp` where somebody happens to stand is not ours
        "-m",
        "gunicorn",
        "--config",
        "python:cli.gunicorn_config",
        "--bind",
        settings.bind,
        "--workers",
        str(processes),
        "--threads",
        str(settings.web_threads),
        "webapp.app:create_app()",
    ]


@click.command()
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1024),
    help="Processes; by default one per core.",
)
@click.option("--name", default="worker", show_default=True, help="Unique per broker and host.")
@click.option(
    "--check",
    is_flag=True,
    help="Ask the worker of this name on this machine whether it works; exit code 0 or 1.",
)
def worker(concurrency: int | None, name: str, check: bool) -> None:
    """Execute runs and sweeps from their queues, runs first."""
    settings = load_service_settings()
    if not settings.broker_url:
        raise InputError.of("STOCK_BACKTEST_BROKER_URL", None, "is not set; workers need a broker")
    if check:
        _check_worker(settings, name)
        return
    from tasks.worker import run_worker

    processes = concurrency or len(os.sched_getaffinity(0))
    sys.exit(run_worker(settings, concurrency=processes, name=name))


def _check_worker(settings: Settings, name: str) -> None:
    from tasks.liveness import ask_worker

    status = ask_worker(settings, name)
    if status is None:
        raise CheckFailed(f"no worker named {name} answers on this machine with these settings")
    if not status.is_live:
        raise CheckFailed(status.text)
    click.echo(status.text)


@click.command()
@click.option("--once", is_flag=True, help="Make one pass and end.")
def maintenance(once: bool) -> None:
    """Start lost runs again and send what never arrived; any number of these may run."""
    from storage.database import create_database
    from storage.schema import check_schema
    from storage.store import Store
    from tasks.logs import configure_logging
    from tasks.maintenance import maintain_forever, run_maintenance_pass
    from tasks.notify import check_urls

    settings = load_service_settings()
    configure_logging(settings, "maintenance")
    database = create_database(settings.database_url)
    check_schema(database)
    check_urls(settings.notify_urls)
    store = Store(database)
    if once:
        run_maintenance_pass(store, settings)
        return
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stop.set())
    maintain_forever(store, settings, stop)


@click.command()
@click.option("--address", default="127.0.0.1", show_default=True)
@click.option("--port", default=5555, show_default=True, type=click.IntRange(1, 65535))
def flower(address: str, port: int) -> None:
    """Serve Flower, a live view of workers and tasks, to whoever has a token."""
    settings = load_service_settings()
    check_exposure(settings, "--address", address, lambda: find_tokens(settings.database_url))
    check_migrated(settings.database_url)
    # By exec, as for the page: it stays as small as what it imports itself.
    command = [sys.executable, "-P", "-m", "tasks.flower_app"]
    os.execv(sys.executable, [*command, "--address", address, "--port", str(port)])  # noqa: S606  # as above


def load_service_settings() -> Settings:
    """Read the settings of a process that needs a database, and a broker if there are workers.

    Raises
    ------
    InputError
        If one of them is missing.
    """
    settings = load_settings()
    for name, value, example in (
        (
            "DATABASE_URL",
            settings.database_url,
            "mysql+pymysql://user:password@host/stock_backtest",
        ),
        ("BROKER_URL", settings.broker_url, "redis://:password@host:6379/0"),
    ):
        if not value and (name != "BROKER_URL" or settings.executor == "celery"):
            raise InputError.of(
                f"STOCK_BACKTEST_{name}",
                None,
                f"is not set; write for example {example}, or use `stock-backtest up`",
            )
    return settings
