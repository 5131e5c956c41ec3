"""Kills, silences and stops what a seed draws, at instants that it draws."""

from __future__ import annotations

import collections
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil
import sqlalchemy.exc
from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy import Select, func, select

from storage.models import runs
from storage.store import Store
from storage.sweep_tables import sweep_chunks
from tasks.messages import send_chunk, send_finish, send_run
from tests.support.kills.clients import Clients
from tests.support.kills.platforms import Platform, Separate, kill

_CHUNKS_DONE = select(func.count()).where(sweep_chunks.c.state == "done")
_RUNS_DONE = select(func.count()).where(runs.c.state == "succeeded")


@dataclass
class Breaker:
    """Counts what it did: kills at once, and other disturbances."""

    platform: Platform
    clients: Clients
    store: Store
    rng: random.Random

    def __post_init__(self) -> None:
        self.kills: collections.Counter[str] = collections.Counter()
        self.others: collections.Counter[str] = collections.Counter()

    def run(self, n_kills: int, pause: float, log: Callable[[str], None]) -> None:
        """Disturb until so many were killed, with `pause` seconds in between on average."""
        weights: dict[Callable[[], bool], int] = {
            self.kill_child: 8,
            self.kill_worker: 4,
            self.kill_web: 5,
            self.kill_between: 2,
            self.kill_maintenance: 3,
            self.kill_broker: 3,
            self.kill_database: 2,
            self.freeze_one: 4,
            self.terminate_one: 3,
            self.send_twice: 3,
        }
        actions = [action for action, weight in weights.items() for _ in range(weight)]
        bag: list[Callable[[], bool]] = []
        n_logged = 0
        while (n_done := sum(self.kills.values())) < n_kills:
            if n_done >= n_logged + 10:
                n_logged = n_done
                sent = f"{len(self.clients.accepted)} runs, {len(self.clients.sweeps)} sweeps"
                log(f"{n_done} kills; {sent} and {len(self.clients.uploads)} uploads accepted")
            bag = bag or self.rng.sample(actions, len(actions))
            bag.pop()()
            time.sleep(self.rng.expovariate(1 / pause))
            # Now and then again at once, while all is down; else there must be something to break.
            if self.rng.random() < 0.75:
                self._wait_for_progress(40.0)

    def _read(self, query: Select[Any]) -> list[Any]:
        try:
            with self.store.engine.connect() as connection:
                return list(connection.scalars(query))
        except sqlalchemy.exc.DBAPIError:  # it is down: nothing is known
            return []

    def _wait_for_progress(self, seconds: float) -> None:
        def count() -> int:
            return sum(self._read(_CHUNKS_DONE)) + sum(self._read(_RUNS_DONE))

        before, deadline = count(), time.monotonic() + seconds
        while time.monotonic() < deadline and count() <= before:
            time.sleep(0.2)

    def _kill(self, pid: int | None, kind: str) -> bool:
        done = pid is not None and kill(pid)
        self.kills[kind] += done
        return done

    def _find_children(self, pid: int) -> list[int]:
        try:
            return [child.pid for child in psutil.Process(pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _list_pool(self) -> list[int]:
        pids = self.platform.pids()
        names = [name for name in pids if name.startswith("worker")]
        return [child for name in names for child in self._find_children(pids[name])]

    def _draw_worker(self) -> int | None:
        pids = self.platform.pids()
        return self.rng.choice([p for n, p in pids.items() if n.startswith("worker")] or [None])

    def kill_child(self) -> bool:
        """Kill a process of a worker's pool, mostly one that computes."""
        if self.rng.random() < 0.6:
            holders = [
                select(t.c.worker).where(t.c.state == "running") for t in (sweep_chunks, runs)
            ]
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline:
                held = {int(w.rpartition("/")[2]) for query in holders for w in self._read(query)}
                computing = held.intersection(self._list_pool())
                if computing:
                    time.sleep(self.rng.random() * 0.05)
                    return self._kill(computing.pop(), "pool process that computes")
                time.sleep(0.01)
        return self._kill(self.rng.choice(self._list_pool() or [None]), "pool process")

    def kill_worker(self) -> bool:
        """Kill a worker; its pool goes with it."""
        return self._kill(self._draw_worker(), "worker")

    def kill_web(self) -> bool:
        """Kill the web tier, or its one process, at any instant or during a submission."""
        pid = self.platform.pids().get("web")
        if pid is None:
            return False
        instant = self.rng.choice(("any", "submission", "submission", "upload"))
        if instant != "any":
            event = getattr(self.clients, "posting" if instant == "submission" else "uploading")
            event.clear()
            event.wait(12)
            time.sleep(self.rng.random() * (0.05 if instant == "submission" else 0.3))
        children = self._find_children(pid)
        if children and self.rng.random() < 0.4:
            return self._kill(children[0], f"web process ({instant})")
        return self._kill(pid, f"web ({instant})")

    def kill_between(self) -> bool:
        """Let the web tier die between commit and enqueue; only a web of ours knows how."""
        if not isinstance(self.platform, Separate):
            return self.kill_web()
        n_before, pid = self.clients.n_deadly, self.platform.pids()["web"]
        self.clients.deadly.set()
        deadline = time.monotonic() + 25
        while self.clients.n_deadly == n_before and time.monotonic() < deadline:
            time.sleep(0.1)
            if self.platform.pids()["web"] != pid:
                self.kills["web between commit and enqueue"] += 1
                return True
        return False

    def kill_maintenance(self) -> bool:
        """Kill the maintenance process."""
        return self._kill(self.platform.pids().get("maintenance"), "maintenance")

    def kill_broker(self) -> bool:
        """Kill the broker; it comes back with its data or without."""
        if not isinstance(self.platform, Separate):
            return self._kill(self.platform.pids().get("broker"), "broker without its data")
        with_data = self.rng.random() < 0.5
        self.platform.kill_broker(self.rng.random() * 3, with_data=with_data)
        self.kills[f"broker {'with' if with_data else 'without'} its data"] += 1
        return True

    def kill_database(self) -> bool:
        """Kill the database; where it is a file, all that has it open."""
        if isinstance(self.platform, Separate):
            self.platform.kill_database(self.rng.random() * 4)
            self.kills["database"] += 1
        else:
            self.platform.kill_up()
            self.kills["`up` with all its processes"] += 1
        return True

    def freeze_one(self) -> bool:
        """Let a process stand still for some seconds."""
        pids = {n: pid for n, pid in self.platform.pids().items() if n not in ("up", "flower")}
        servers = self.platform.freezable() if isinstance(self.platform, Separate) else {}
        if not pids | servers:
            return False
        name = self.rng.choice([*pids, *servers, *servers])
        pid, kind = (pids | servers)[name], name.partition("-")[0]
        children = self._find_children(pid) if name in pids else []
        if children and self.rng.random() < 0.6:
            pid, kind = self.rng.choice(children), f"{kind}'s process"
        if not kill(pid, signal.SIGSTOP):
            return False
        self.others[f"SIGSTOP of {kind}"] += 1
        time.sleep(self.rng.uniform(1, 10))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        return True

    def terminate_one(self) -> bool:
        """Ask a process to end."""
        pids = self.platform.pids()
        names = [name for name in pids if name.startswith("worker")] * 2
        names += [name for name in ("web", "maintenance") if name in pids]
        name = self.rng.choice(names or [""])
        done = name in pids and kill(pids[name], signal.SIGTERM)
        self.others[f"SIGTERM of {name.partition('-')[0]}"] += done
        return done

    def send_twice(self) -> bool:
        """Send messages of runs, chunks and finishers that may long be done."""
        settings = self.platform.settings()
        run_ids, sweep_ids = list(self.clients.accepted), list(self.clients.sweeps)
        if not settings.broker_url:
            return False
        with suppress(BrokerError):  # it is down: what was sent so far counts
            for run_id in self.rng.sample(run_ids, min(10, len(run_ids))):
                send_run(settings, run_id)
                self.others["duplicate messages"] += 1
            for sweep_id in self.rng.sample(sweep_ids, min(2, len(sweep_ids))):
                for idx in range(self.rng.randint(1, 15)):
                    send_chunk(settings, sweep_id, idx)
                send_finish(settings, sweep_id)
                self.others["duplicate messages"] += idx + 2
        return True
