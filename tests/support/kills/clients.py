"""Clients that do not give up, and a note of all that they were promised."""

from __future__ import annotations

import collections
import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.support.breakable_web import DEADLY_NOTE
from tests.support.kills.requests import RULES, SWEEPS, write_bars

OPEN_STATES = ("queued", "running", "paused")
_PATIENCE_SECONDS = 600.0


class Clients:
    """Everybody who asks the platform for something, each in a thread of its own."""

    def __init__(self, url: str, folder: Path, seed: int) -> None:
        self.url, self._folder = url, folder
        self.accepted: dict[str, dict[str, Any]] = {}
        self.sweeps: dict[str, str] = {}
        self.uploads: dict[str, Path] = {}
        self.answers: collections.Counter[str] = collections.Counter()
        self.n_keys = 0
        self.strange: list[str] = []
        # Set at each submission and upload, so that a kill can aim at it.
        self.posting, self.uploading = threading.Event(), threading.Event()
        # Asks for one run during which the web tier kills itself.
        self.deadly = threading.Event()
        self.n_deadly = 0
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        work = [self._submit_run] * 2 + [self._submit_burst, self._submit_sweep, self._upload]
        self._threads = [
            threading.Thread(target=self._keep_going, args=(item, seed * 10 + number))
            for number, item in enumerate(work)
        ]

    def start(self) -> None:
        """Start asking."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask for nothing new, and wait for all answers that are due."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _keep_going(self, work: Callable[[random.Random, httpx.Client], None], seed: int) -> None:
        rng = random.Random(seed)
        with httpx.Client(base_url=self.url, timeout=45, trust_env=False) as client:
            while not self._stopping.is_set():
                try:
                    work(rng, client)
                except Exception as error:  # noqa: BLE001 - a client that broke is a finding
                    self.strange.append(f"client: {error!r}")
                    self._stopping.wait(1)

    def ask(self, client: httpx.Client, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask until there is an answer other than that nobody is there."""
        started = time.monotonic()
        while True:
            try:
                answer = client.request(method, path, **options)
            except httpx.HTTPError as error:
                self.answers[type(error).__name__] += 1
            else:
                self.answers[f"{method} {answer.status_code}"] += 1
                if answer.status_code < 500:
                    return answer
                if answer.status_code != 503:
                    self._wonder(f"{method} {path}", answer)
            if time.monotonic() - started > _PATIENCE_SECONDS:
                raise RuntimeError(f"nobody answers {method} {path}")
            time.sleep(0.3)

    def _wonder(self, what: str, answer: httpx.Response) -> None:
        self.strange.append(f"{what}: {answer.status_code} {answer.text[:300]}")

    def _submit(
        self, client: httpx.Client, job: dict[str, Any], wait: float, note: str = ""
    ) -> None:
        with self._lock:
            self.n_keys += 1
        self.posting.set()
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        params = {"wait": wait} if wait else {}
        body = {**job, "force": True} | ({"note": note} if note else {})
        answer = self.ask(client, "POST", "/api/v1/runs", json=body, headers=headers, params=params)
        if answer.status_code not in (200, 202):
            self._wonder("run", answer)
            return
        run_id = answer.json()["run_id"]
        with self._lock:
            if run_id in self.accepted:
                self.strange.append(f"two keys, one run {run_id}")
            self.accepted[run_id] = job

    def _draw_job(self, rng: random.Random) -> dict[str, Any]:
        dataset = "BIG" if rng.random() < 0.06 else "AAPL"
        return {"dataset": dataset, **rng.choice(RULES)}

    def _submit_run(self, rng: random.Random, client: httpx.Client) -> None:
        with self._lock:
            is_deadly = self.deadly.is_set()
            self.deadly.clear()
        note = DEADLY_NOTE if is_deadly else ""
        self._submit(client, self._draw_job(rng), rng.choice((0, 0, 2, 10)), note)
        self.n_deadly += is_deadly
        self._stopping.wait(rng.expovariate(0.5))

    def _submit_burst(self, rng: random.Random, client: httpx.Client) -> None:
        query = {"state": "queued", "limit": 50}
        waiting = self.ask(client, "GET", "/api/v1/runs", params=query).json()["runs"]
        if len(waiting) < 15:
            with ThreadPoolExecutor(8) as pool:
                jobs = [self._draw_job(rng) for _ in range(8)]
                list(pool.map(lambda job: self._submit(client, job, 0), jobs))
        self._stopping.wait(rng.uniform(3, 12))

    def _submit_sweep(self, rng: random.Random, client: httpx.Client) -> None:
        answer = self.ask(client, "GET", "/api/v1/sweeps", params={"limit": 50})
        open_ = [item for item in answer.json()["sweeps"] if item["state"] in OPEN_STATES]
        for sweep in open_:
            if sweep["state"] == "paused":
                self.ask(client, "POST", f"/api/v1/sweeps/{sweep['sweep_id']}/resume")
        if len(open_) < 2:
            counts = collections.Counter(self.sweeps.values())
            name = min(SWEEPS, key=lambda item: (counts[item], rng.random()))
            headers = {"Idempotency-Key": uuid.uuid4().hex}
            body = {**SWEEPS[name], "force": True}
            answer = self.ask(client, "POST", "/api/v1/sweeps", json=body, headers=headers)
            if answer.status_code not in (200, 202):
                self._wonder("sweep", answer)
                return
            self.sweeps[answer.json()["sweep_id"]] = name
        elif rng.random() < 0.2:
            sweep_id = rng.choice(open_)["sweep_id"]
            self.ask(client, "POST", f"/api/v1/sweeps/{sweep_id}/pause")
            self.answers["paused"] += 1
        self._stopping.wait(rng.uniform(1, 5))

    def _upload(self, rng: random.Random, client: httpx.Client) -> None:
        symbol = f"UP{len(self.uploads)}"
        path = self._folder / f"{symbol}.csv"
        write_bars(path, rng.randint(500, 20_000), rng.randint(0, 10**6))
        self.uploading.set()
        answer = self.upload(client, symbol, path)
        if answer.status_code == 201:
            self.uploads[symbol] = path
        else:
            self._wonder("upload", answer)
        self._stopping.wait(rng.uniform(4, 12))

    def upload(self, client: httpx.Client, symbol: str, path: Path) -> httpx.Response:
        """Upload a file of bars under a symbol."""
        return self.ask(
            client,
            "POST",
            "/api/v1/datasets",
            data={"symbol": symbol},
            files={"file": (path.name, path.read_bytes())},
        )
