"""A platform that tests break: real processes, a real broker, a real database, and a supervisor.

Two workers of one process each, the web tier and maintenance run as `stock-backtest` runs them, and
what dies is started again, as whatever supervises them in production would.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import func, select, union_all

from cli.processes import build_web_arguments
from cli.up import find_free_port
from storage.database import create_database
from storage.models import runs
from storage.schema import upgrade_schema
from storage.store import Store
from storage.sweep_records import ENDED_SWEEP_STATES
from storage.sweep_tables import SWEEP_METRICS, sweep_blocks, sweep_chunks
from tasks.settings import Settings
from tests.support.chaos_outcome import Outcome
from tests.support.chaos_service import Service
from tests.support.datasets import add_aapl
from tests.support.mariadb import MariaDbServer
from tests.support.processes import is_alive, wait_until
from tests.support.valkey import Valkey
from tests.support.worker import build_service_environ

WORKERS = ("worker-a", "worker-b")
WINDOWS = tuple(range(5, 25))
# 500,000 combinations: a few seconds for the two of them, so that there is a middle to break into.
N_FEES = 50
_DISK_MIB = 1500
_MODULE = "tests.support.poisoned_command"


class Rig:
    """The platform and what is known of its undisturbed results."""

    def __init__(self, directory: Path, disk: Path, server: MariaDbServer | None) -> None:
        # Logs and the broker's file are not on the disk that runs full.
        self.directory, self.disk, self.server = directory, disk, server
        self.broker_directory = Path(tempfile.mkdtemp(prefix="valkey-", dir=directory))
        self.broker = Valkey(self.broker_directory, persistent=True)
        self.port = find_free_port({self.broker.port})
        self.settings = Settings(
            database_url=self._prepare_database(),
            broker_url=self.broker.url,
            bind=f"127.0.0.1:{self.port}",
            log_format="json",
            lease_seconds=4.0,
            shutdown_seconds=1.0,
            broker_timeout_seconds=1.0,
            worker_processes=2,
        )
        self.store = Store(create_database(self._own_url))
        self.services = {service.name: service for service in self._build_services()}
        self.outcomes: dict[str, Outcome] = {}
        self.run_hashes: dict[int, str] = {}
        self.sweep_hash = ""
        self._stop = threading.Event()
        self._guard: threading.Thread | None = None

    def _prepare_database(self) -> str:
        if self.server is None:
            self._own_url = f"sqlite:///{self.disk}/platform.db"
            service_url = self._own_url
        else:
            self._own_url = self.server.create_database()
            # Without the right to write to a read-only server, which the tests' own user has.
            service_url = self.server.create_plain_user(self._own_url)
        engine = create_database(self._own_url)
        upgrade_schema(engine)
        add_aapl(Store(engine))
        engine.dispose()
        return service_url

    def _build_services(self) -> Iterator[Service]:
        environ = build_service_environ(self.settings)
        web = build_web_arguments(replace(self.settings, web_threads=8), 1)
        web[-1] = "tests.support.breakable_web:create_app()"
        web.remove("-P")  # the tests are no installed package
        command = [sys.executable, "-m", _MODULE]
        log = self.directory
        yield Service("web", [sys.executable, *web], environ, log / "web.log")
        yield Service("maintenance", [*command, "maintenance"], environ, log / "maintenance.log")
        for name in WORKERS:
            argv = [*command, "worker", "--concurrency", "1", "--name", name]
            yield Service(name, argv, environ, log / f"{name}.log")

    # ---- living ----

    def start(self) -> None:
        self.broker.start()
        ready = threading.Event()
        # Children die with the thread that forks them: one thread starts and restarts all.
        self._guard = threading.Thread(target=self._supervise, args=(ready,), daemon=True)
        self._guard.start()
        ready.wait()
        self.wait_until_healthy()

    def _supervise(self, ready: threading.Event) -> None:
        for service in self.services.values():
            service.start()
        ready.set()
        while not self._stop.wait(0.2):
            for service in self.services.values():
                if service.has_ended and not service.stays_away:
                    service.start()
        for service in self.services.values():
            service.end()

    def stop(self) -> None:
        self._stop.set()
        if self._guard is not None:
            self._guard.join()
        with suppress(ProcessLookupError):
            self.broker.kill()
        self.store.engine.dispose()

    def wait_until_healthy(self) -> None:
        """Until everything runs, the page answers and both workers consume."""
        wait_until(lambda: self.call("GET", "/health/live")[0] == 200, 60, "the page answers")
        for name in WORKERS:
            wait_until(lambda name=name: self.check_worker(name), 60, f"{name} works")

    def check_worker(self, name: str) -> bool:
        from tasks.liveness import ask_worker

        status = ask_worker(self.settings, name)
        return status is not None and status.state in ("idle", "busy")

    def call(self, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
        """Return status and document; status 0 if nobody answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": key} if key else {})
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return 0, None
        finally:
            connection.close()

    def accept(self, path: str, body: Any, refused: Callable[[], None] = lambda: None) -> str:
        """Send a request as a careful client does: the same key until there is an answer."""
        key = uuid.uuid4().hex
        deadline = time.monotonic() + 180
        while True:
            status, document = self.call("POST", path, body, key)
            if status in (200, 201, 202):
                return str(document.get("run_id") or document["sweep_id"])
            assert status in (0, 503), document
            refused()
            assert time.monotonic() < deadline, "nobody accepts"
            time.sleep(0.2)

    def wait_for_holder(self, worker: str = "") -> tuple[str, int]:
        """Wait until a process holds a chunk or a run; return its worker's name and its pid.

        Of work that has not lost a worker yet: who kills one after the other would otherwise be the
        poison that the same work rightly fails of.
        """

        def find() -> str | None:
            held = [name for name in self._list_holders(0) if name.startswith(worker)]
            # A row names its worker for a while after that was killed.
            alive = [name for name in held if is_alive(int(name.rpartition("/")[2]))]
            return alive[0] if alive else None

        holder = wait_until(find, 60, "somebody computes", pause=0.002)
        assert holder is not None
        name, _, pid = holder.rpartition("/")
        return name.partition("@")[0], int(pid)

    def holds(self, pid: int) -> bool:
        """Whether a process holds a chunk or a run."""
        return any(
            name.endswith(f"/{pid}") for name in self._list_holders(self.settings.max_attempts)
        )

    def _list_holders(self, max_lost: int) -> list[str]:
        query = union_all(
            *(
                select(table.c.worker).where(table.c.state == "running", table.c.n_lost <= max_lost)
                for table in (sweep_chunks, runs)
            )
        )
        with self.store.engine.connect() as connection:
            return list(connection.scalars(query))

    def restart(self, name: str, **environ: str) -> None:
        """End a service and have it started again, with more in its environment."""
        service = self.services[name]
        before = service.pid
        service.extra_environ = environ
        service.end()
        wait_until(lambda: service.pid != before, 20, f"{name} is started again")

    def find_sweep(self) -> str:
        """The sweep of the case that runs."""
        [record] = self.store.sweeps.list().items
        return record.sweep_id

    def heal(self) -> None:
        """Let everything that stays away come back."""
        for service in self.services.values():
            service.stays_away = False

    def fill_disk(self, seconds: float) -> None:
        """Take every byte of the database's disk for so long."""
        ballast = self.disk / "ballast"
        end = time.monotonic() + seconds
        try:
            with ballast.open("wb", buffering=0) as file:
                while time.monotonic() < end:
                    try:
                        file.write(b"\0" * 1_000_000)
                    except OSError:  # full; whatever becomes free meanwhile is taken too
                        time.sleep(0.1)
        finally:
            ballast.unlink()

    # ---- checking ----

    def read_run_hash(self, run_id: str) -> str:
        """Everything a run has found, by one hash."""
        record = self.store.runs.get(run_id)
        assert record is not None
        assert record.state == "succeeded", (record.state, record.error)
        columns = self.store.runs.load_columns(run_id)
        assert columns is not None
        document = orjson.dumps(
            [record.metrics, self.store.runs.load_trades(run_id)], option=orjson.OPT_SORT_KEYS
        )
        digest = hashlib.sha256(document)
        for name in sorted(columns):
            digest.update(name.encode() + columns[name].tobytes())
        return digest.hexdigest()

    def wait_for_end(self, ids: Sequence[str], sweep_id: str, seconds: float) -> None:
        def all_ended() -> bool:
            counts = self.store.runs.counts()
            if counts["queued"] or counts["running"]:
                return False
            sweep = self.store.sweeps.get(sweep_id)
            assert sweep is not None
            return sweep.state in ENDED_SWEEP_STATES

        def describe() -> str:
            sweep = self.store.sweeps.chunks(sweep_id)
            return f"all ends: {self.store.runs.counts()}, {sweep}"

        deadline = time.monotonic() + seconds
        while not all_ended():
            assert time.monotonic() < deadline, describe()
            time.sleep(0.1)

    def check_sweep(self, sweep_id: str, outcome: Outcome) -> None:
        record = self.store.sweeps.get(sweep_id)
        assert record is not None
        assert record.state == "succeeded", record.error
        assert record.n_combinations == 10_000 * N_FEES
        self.sweep_hash = self.sweep_hash or str(record.result_sha256)
        assert record.result_sha256 == self.sweep_hash
        with self.store.engine.connect() as connection:
            chunk, block = sweep_chunks.c, sweep_blocks.c
            rows = connection.execute(select(sweep_chunks).order_by(chunk.first)).all()
            blocks = connection.scalar(
                select(func.count()).select_from(sweep_blocks).where(block.seq == 0)
            )
        assert {row.state for row in rows} == {"done"}
        assert [row.first for row in rows] == [0, *(row.stop for row in rows[:-1])]
        assert blocks == len(rows) * len(SWEEP_METRICS)
        outcome.n_chunks = len(rows)
        outcome.max_attempt = max(outcome.max_attempt, *(row.attempt for row in rows))
        outcome.n_lost += sum(row.n_lost for row in rows)

    def check_runs(
        self, accepted: dict[str, int], doomed: dict[str, str], outcome: Outcome
    ) -> None:
        """Each accepted run is there once, and found what it finds undisturbed."""
        with self.store.engine.connect() as connection:
            rows = connection.execute(select(runs.c.run_id, runs.c.attempt, runs.c.n_lost)).all()
        assert {row.run_id for row in rows} == {*accepted, *doomed}, "lost or doubled"
        for run_id, how in doomed.items():
            record = self.store.runs.get(run_id)
            assert record is not None
            assert record.state == "failed"
            assert record.error is not None
            assert (record.error["code"], record.error["exit"]) == ("attempts_exhausted", how)
            assert record.attempt == self.settings.max_attempts
        for run_id, window in accepted.items():
            found = self.read_run_hash(run_id)
            assert self.run_hashes.setdefault(window, found) == found
        # Charts follow their result; what was lost of them is drawn when that is noticed.
        wait_until(self.have_charts, 100, "every run has its charts")
        outcome.n_runs = len(rows)
        outcome.max_attempt = max(outcome.max_attempt, *(row.attempt for row in rows))
        outcome.n_lost += sum(row.n_lost for row in rows)

    def have_charts(self) -> bool:
        missing = runs.c.state == "succeeded", runs.c.has_charts.is_(False)
        with self.store.engine.connect() as connection:
            return connection.scalar(select(func.count()).where(*missing)) == 0

    def clear(self) -> None:
        """Forget all runs and sweeps, so that what is counted is of one case."""
        for row in self.store.sweeps.list().items:
            self.store.sweeps.delete(row.sweep_id)
        while self.store.sweeps.purge_deleted(5.0):
            pass
        with self.store.engine.connect() as connection:
            ids = connection.scalars(select(runs.c.run_id)).all()
        for run_id in ids:
            self.store.runs.delete(run_id)


@contextmanager
def run_rig(directory: Path, kind: str) -> Iterator[Rig]:
    """Run a platform over a database of one kind, ``sqlite`` or ``mariadb``."""
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(directory / "disk"))
        server = None
        if kind == "mariadb":
            # Commits must survive the death of the process, as they do with the server's defaults.
            options = ("--innodb-flush-log-at-trx-commit=2", "--max-connections=200")
            server = stack.enter_context(MariaDbServer(*options, directory=disk))
        rig = Rig(directory, disk, server)
        stack.callback(rig.stop)
        rig.start()
        yield rig


@contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """A disk of its own that can be filled, where this user may mount one; else a directory."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MIB}m", "tmpfs", str(directory)]
    is_mounted = os.geteuid() == 0 and subprocess.run(mount, check=False).returncode == 0
    try:
        yield directory
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(directory)], check=True)
