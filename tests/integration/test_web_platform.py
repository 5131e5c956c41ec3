"""The web tier with a real broker and a real worker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import wait_until
from tests.support.valkey import Valkey, run_valkey
from tests.support.web import RUN, Web, build_web
from tests.support.worker import run_worker, wait_for_run


@pytest.fixture
def broker() -> Iterator[Valkey]:
    with run_valkey() as server:
        yield server


@pytest.fixture
def web(tmp_path: Path, broker: Valkey) -> Web:
    return build_web(tmp_path, broker_url=broker.url, broker_timeout_seconds=1.0)


def test_without_a_worker_runs_are_accepted_and_health_says_degraded(web: Web) -> None:
    health = web.client.get("/health")
    assert health.status_code == 200
    assert (health.json["status"], health.json["workers"]) == ("degraded", 0)
    ready = web.client.get("/health/ready")
    assert (ready.status_code, ready.json["workers"]) == (200, None)
    assert web.client.post("/api/v1/runs", json=RUN).status_code == 202


def test_a_submission_that_waits_is_answered_when_the_worker_is_done(
    web: Web, tmp_path: Path
) -> None:
    with run_worker(web.settings, tmp_path):
        # The first run of a worker may have to compile the engine, longer than an answer waits.
        first = web.client.post("/api/v1/runs", json={**RUN, "params": {"window": 7}})
        assert wait_for_run(web.store, first.json["run_id"], 90).state == "succeeded"
        answer = web.client.post("/api/v1/runs?wait=30", json=RUN)
        assert (answer.status_code, answer.json["state"]) == (202, "succeeded")
        run = answer.json["links"]["self"]
        assert len(web.client.get(f"{run}/result").json["equity"]["time"]) == 300
        # Asked for at once: the charts follow the result, and the request waits for them.
        assert web.client.get(f"{run}/charts").status_code == 200
        # A busy worker may miss one ping of half a second.
        wait_until(lambda: web.client.get("/health").json["workers"] == 1, 20, "a worker's answer")
        assert web.client.get("/health/ready").json["status"] == "ok"
        cached = web.client.post("/api/v1/runs", json=RUN)
        assert (cached.status_code, cached.json["cached"]) == (200, True)


@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_a_broker_that_is_gone_or_silent_holds_up_nothing(
    web: Web, broker: Valkey, fault: str
) -> None:
    assert web.client.get("/health/ready").status_code == 200
    getattr(broker, fault)()
    started = time.monotonic()
    health = web.client.get("/health")
    assert (health.status_code, health.json["broker"]) == (503, "unreachable")
    assert web.client.post("/api/v1/runs", json=RUN).status_code == 202
    assert time.monotonic() - started < 12
    assert web.store.runs.counts()["queued"] == 1
    {"kill": broker.start, "pause": broker.resume}[fault]()
    assert web.client.get("/health/ready").status_code == 200
