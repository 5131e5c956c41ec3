"""What must be true once all that was accepted has ended."""

from __future__ import annotations

import collections
import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import redis
import sqlalchemy.exc
from sqlalchemy import func, select

from backtest.bars import compute_dataset_hash
from storage.bar_files import load_bar_file
from storage.models import runs
from storage.store import Store
from storage.sweep_records import ENDED_SWEEP_STATES, SweepRecord
from storage.sweep_tables import SWEEP_METRICS, sweep_blocks, sweep_chunks, sweeps
from tests.support.kills.clients import Clients
from tests.support.kills.platforms import Platform
from tests.support.kills.requests import Truth

QUEUES = ("runs", "sweeps", "reports")
# Nothing may stand still for longer while work is left. [s]
QUIET_SECONDS = 240.0
Log = Callable[[str], None]


class QueueWatch(threading.Thread):
    """Notes how many messages wait, now and at most."""

    def __init__(self, platform: Platform) -> None:
        super().__init__(daemon=True)
        self._platform = platform
        self.most: collections.Counter[str] = collections.Counter()
        self.now: dict[str, int] = {}
        self.stopping = threading.Event()

    def run(self) -> None:
        while not self.stopping.wait(0.5):
            # Away, coming back, or without an address at present: there is nothing to note.
            with (
                suppress(redis.RedisError, ValueError),
                redis.Redis.from_url(self._platform.settings().broker_url, socket_timeout=1) as it,
            ):
                self.now = {name: int(it.llen(name)) for name in QUEUES}
                for name, n_waiting in self.now.items():
                    self.most[name] = max(self.most[name], n_waiting)

    def is_drained(self, seconds: float) -> bool:
        """Whether no message waits any more, within a time."""
        deadline = time.monotonic() + seconds
        while any(self.now.values()) and time.monotonic() < deadline:
            time.sleep(1)
        return bool(self.now) and not any(self.now.values())


def wait_for_end(store: Store, clients: Clients, log: Log) -> bool:
    """Wait for as long as anything changes; whether all has ended."""
    last: Any = None
    since = time.monotonic()
    while True:
        try:
            counts = store.runs.counts()
            states = {sweep_id: _get_sweep(store, sweep_id).state for sweep_id in clients.sweeps}
            chunks = [store.sweeps.chunks(sweep_id) for sweep_id in clients.sweeps]
        except sqlalchemy.exc.DBAPIError as error:
            log(f"reading: {error!r}")
            time.sleep(1)
            continue
        _resume_paused(states, clients)
        n_runs = counts["queued"] + counts["running"]
        n_sweeps = sum(state not in ENDED_SWEEP_STATES for state in states.values())
        if n_runs == n_sweeps == 0:
            return True
        seen = (counts["queued"], counts["running"], tuple(chunks))
        if seen != last:
            last, since = seen, time.monotonic()
        if time.monotonic() - since > QUIET_SECONDS:
            log(f"stuck: {counts} {states} {chunks}")
            return False
        time.sleep(2)


def _get_sweep(store: Store, sweep_id: str) -> SweepRecord:
    record = store.sweeps.get(sweep_id)
    assert record is not None, f"sweep {sweep_id} is gone"
    return record


def _resume_paused(states: dict[str, str], clients: Clients) -> None:
    with httpx.Client(base_url=clients.url, timeout=45, trust_env=False) as client:
        for sweep_id in [key for key, state in states.items() if state == "paused"]:
            clients.ask(client, "POST", f"/api/v1/sweeps/{sweep_id}/resume")


def _same(found: Iterable[str], log: Log) -> bool:
    """Whether nothing was found wrong; shows the first few."""
    wrong = list(found)
    for text in wrong[:5]:
        log(f"  {text}")
    return not wrong


def check_all(store: Store, clients: Clients, truth: Truth, log: Log) -> dict[str, bool]:
    """Return what was checked, and whether it holds."""
    with store.engine.connect() as connection:
        columns = (runs.c.run_id, runs.c.state, runs.c.attempt, runs.c.n_lost, runs.c.error)
        rows = connection.execute(select(*columns)).all()
    log(f"runs: {max(r.attempt for r in rows)} attempts and {max(r.n_lost for r in rows)} lost")
    ids = [row.run_id for row in rows]
    with httpx.Client(base_url=clients.url, timeout=60, trust_env=False) as client:
        return {
            "every accepted run is there once, and no other": (
                sorted(ids) == sorted(clients.accepted) and len(ids) == clients.n_keys
            ),
            "every run succeeded": _same((str(r) for r in rows if r.state != "succeeded"), log),
            "every result is the command line's": _same(_compare_runs(client, clients, truth), log),
            "every upload is there in one version": _same(_compare_uploads(client, clients), log),
            "every sweep has the hash of one process": _same(
                _compare_sweeps(store, clients, truth), log
            ),
            "chunks cover each sweep once, with all columns, as its counters say": _same(
                _compare_chunks(store, client, clients, log), log
            ),
            "every run has its charts": _wait_for_charts(store, 120),
        }


def _compare_runs(client: httpx.Client, clients: Clients, truth: Truth) -> Iterable[str]:
    for run_id, job in clients.accepted.items():
        answer = clients.ask(client, "GET", f"/api/v1/runs/{run_id}/result")
        if answer.status_code != 200:
            yield f"{run_id} {answer.status_code} {answer.text[:200]}"
            continue
        found, expected = answer.json(), truth.compute_run(job)
        keys = (found.keys() | expected.keys()) - {"run_id"}
        different = [key for key in keys if found.get(key) != expected.get(key)]
        if different:
            yield f"{run_id} {job} differs in {different}"


def _compare_uploads(client: httpx.Client, clients: Clients) -> Iterable[str]:
    for symbol, path in clients.uploads.items():
        found = clients.ask(client, "GET", f"/api/v1/datasets/{symbol}").json()
        expected = compute_dataset_hash(load_bar_file(path)[0])
        if (found.get("version"), found.get("sha256")) != (1, expected):
            yield f"{symbol}: {found}"


def _compare_sweeps(store: Store, clients: Clients, truth: Truth) -> Iterable[str]:
    for sweep_id, name in clients.sweeps.items():
        record = _get_sweep(store, sweep_id)
        expected = truth.compute_sweep(name)
        if (record.state, record.result_sha256) != ("succeeded", expected):
            yield f"{name}: {record.state} {record.error} {record.result_sha256} not {expected}"


def _compare_chunks(
    store: Store, client: httpx.Client, clients: Clients, log: Log
) -> Iterable[str]:
    for sweep_id, name in clients.sweeps.items():
        key = select(sweeps.c.id).where(sweeps.c.sweep_id == sweep_id).scalar_subquery()
        of_sweep = select(sweep_chunks).where(sweep_chunks.c.sweep_number == key)
        whole = select(func.count()).where(
            sweep_blocks.c.sweep_number == key,
            sweep_blocks.c.seq == 0,
            sweep_blocks.c.kind.in_(SWEEP_METRICS),
        )
        with store.engine.connect() as connection:
            rows = connection.execute(of_sweep.order_by(sweep_chunks.c.first)).all()
            n_blocks = connection.scalar(whole)
        stops = [row.stop for row in rows]
        log(f"  {name}: {len(rows)} chunks, {max(row.attempt for row in rows)} attempts at most")
        if [row.first for row in rows] != [0, *stops[:-1]] or {r.state for r in rows} != {"done"}:
            yield f"{name}: {[(row.first, row.stop, row.state) for row in rows][:10]}"
        if n_blocks != len(rows) * len(SWEEP_METRICS):
            yield f"{name}: {n_blocks} columns of {len(rows)} chunks"
        view = clients.ask(client, "GET", f"/api/v1/sweeps/{sweep_id}").json()
        counters = (view["progress"], view["n_positions"], view["chunks"]["done"])
        if counters != (1.0, stops[-1], len(rows)):
            yield f"{name}: its counters say {counters}"


def _wait_for_charts(store: Store, seconds: float) -> bool:
    missing = select(func.count()).where(runs.c.state == "succeeded", runs.c.has_charts.is_(False))
    deadline = time.monotonic() + seconds
    while True:
        with store.engine.connect() as connection:
            n_missing = connection.scalar(missing)
        if not n_missing or time.monotonic() > deadline:
            return not n_missing
        time.sleep(1)


def check_logs(paths: Iterable[Path], log: Log) -> dict[str, bool]:
    """Whether each run and sweep ended once by the logs; shows what should not be in one."""
    ends: collections.Counter[str] = collections.Counter()
    odd: collections.Counter[str] = collections.Counter()
    for line in (line for path in paths for line in path.read_text(errors="replace").splitlines()):
        try:
            item = json.loads(line)
        except ValueError:
            odd[f"no JSON: {line[:120]}"] += 1
            continue
        if item.get("state") in ("succeeded", "failed"):
            ends[f"{item.get('run_id')} {item.get('sweep_id')} {item.get('chunk')}"] += 1
        if item.get("level") in ("error", "critical"):
            odd[re.sub(r"[0-9a-f-]{36}|\d+", "#", str(item.get("message")))[:160]] += 1
    for text, n_times in odd.most_common(15):
        log(f"  log x{n_times}: {text}")
    doubled = [f"{key}: {n} times" for key, n in ends.items() if n > 1]
    return {"nothing ended twice in the logs": _same(doubled, log)}
