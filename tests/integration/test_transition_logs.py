"""Each change of a state is one line in a log: the database's own triggers keep the other list."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.typing import EventDict

from tasks.execute import BarsCache, execute_run
from tasks.logs import configure_logging
from tasks.maintenance import run_maintenance_pass
from tasks.settings import Settings
from tasks.sweep_execute import EvaluatorCache, execute_chunk
from tasks.sweep_finish import execute_finish
from tests.support.web import RUN, Web, build_web

SWEEPS = "/api/v1/sweeps"
SWEEP = {"dataset": "WALK", "rule": "rsi", "space": {"window": "2:60", "oversold": "10:40"}}

TRIGGERS = """
CREATE TABLE changes (number INTEGER PRIMARY KEY, kind TEXT, id TEXT, chunk INTEGER,
    before TEXT, state TEXT);
CREATE TRIGGER new_run AFTER INSERT ON runs BEGIN
    INSERT INTO changes (kind, id, state) VALUES ('run', new.run_id, new.state); END;
CREATE TRIGGER next_run AFTER UPDATE OF state ON runs WHEN old.state <> new.state BEGIN
    INSERT INTO changes (kind, id, before, state)
    VALUES ('run', new.run_id, old.state, new.state); END;
CREATE TRIGGER new_sweep AFTER INSERT ON sweeps BEGIN
    INSERT INTO changes (kind, id, state) VALUES ('sweep', new.sweep_id, new.state); END;
CREATE TRIGGER next_sweep AFTER UPDATE OF state ON sweeps WHEN old.state <> new.state BEGIN
    INSERT INTO changes (kind, id, before, state)
    VALUES ('sweep', new.sweep_id, old.state, new.state); END;
CREATE TRIGGER new_chunk AFTER INSERT ON sweep_chunks BEGIN
    INSERT INTO changes (kind, id, chunk, state)
    SELECT 'chunk', sweep_id, new.idx, new.state FROM sweeps WHERE id = new.sweep_number; END;
CREATE TRIGGER next_chunk AFTER UPDATE OF state ON sweep_chunks WHEN old.state <> new.state BEGIN
    INSERT INTO changes (kind, id, chunk, before, state)
    SELECT 'chunk', sweep_id, new.idx, old.state, new.state
    FROM sweeps WHERE id = new.sweep_number; END;
"""


class _Vanished(BaseException):
    """Nobody handles it, as nobody handles the end of a process."""


def _vanish(store: Any, settings: Any, claim: Any, *_: Any) -> str:
    raise _Vanished(claim)


@dataclass
class Recorder:
    """What happened to states: as the database saw it, and as the logs say."""

    web: Web
    lines: list[EventDict]

    @property
    def store(self) -> Any:
        return self.web.store

    def execute(self, run_id: str, **changes: Any) -> str:
        settings = replace(self.web.settings, **changes)
        return execute_run(self.store, settings, run_id, "worker/1", BarsCache())

    def execute_and_die(self, run_id: str) -> bool:
        """Let a worker vanish in the middle: nothing but the claim was written."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tasks.execute._execute_claim", _vanish)
            with pytest.raises(_Vanished):
                self.execute(run_id)
        return True

    def claim_chunk_and_die(self, sweep_id: str) -> int:
        """As `execute_and_die`; returns the attempt."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tasks.sweep_execute._execute_claim", _vanish)
            with pytest.raises(_Vanished) as caught:
                execute_chunk(self.store, self.web.settings, sweep_id, 0, "worker/1", self.cache, 1)
        return int(caught.value.args[0].attempt)

    def end_leases(self) -> None:
        with self.store.engine.connect().execution_options(writes=True) as connection:
            past = "'2001-01-01 00:00:00.000000'"
            for table in ("runs", "sweep_chunks"):
                connection.exec_driver_sql(
                    f"UPDATE {table} SET lease_until = {past} WHERE state = 'running'"
                )
            connection.commit()

    def maintain(self) -> None:
        run_maintenance_pass(self.store, self.web.settings)

    def submit_sweep(self, **changes: Any) -> str:
        answer = self.web.client.post(SWEEPS, json={**SWEEP, "force": True, **changes})
        assert answer.status_code == 202, answer.json
        return str(answer.json["sweep_id"])

    def steer(self, sweep_id: str, action: str) -> None:
        answer = self.web.client.post(f"{SWEEPS}/{sweep_id}/{action}")
        assert answer.status_code == 200, answer.json

    def execute_chunks(self, sweep_id: str, first: int = 0) -> None:
        for idx in range(first, 1000):
            outcome = execute_chunk(
                self.store, self.web.settings, sweep_id, idx, "worker/1", self.cache, 1
            )
            if outcome == "duplicate":
                return

    def finish(self, sweep_id: str) -> str:
        return execute_finish(self.store, self.web.settings, sweep_id, self.cache)

    @property
    def cache(self) -> EvaluatorCache:
        return EvaluatorCache(BarsCache())

    def read_changes(self) -> list[Any]:
        with self.store.engine.connect() as connection:
            query = "SELECT kind, id, chunk, before, state FROM changes ORDER BY number"
            return list(connection.exec_driver_sql(query))

    def compare(self) -> None:
        """Fail unless lines and changes are the same, each as often as the other."""
        changed: Counter[tuple[Any, ...]] = Counter()
        planned = 0
        sweep_wide = False
        for row in self.read_changes():
            if row.kind != "chunk":
                changed[row.kind, row.id, row.state] += 1
                # Pause, cancel and retry move the sweep and all its open chunks with one line.
                sweep_wide = row.kind == "sweep" and (
                    row.state in ("paused", "cancelled")
                    or (row.before, row.state) == ("failed", "running")
                )
                continue
            sweep_wide = sweep_wide and row.before is not None
            sweep_wide = sweep_wide and row.state in ("queued", "cancelled")
            if sweep_wide:
                continue
            if row.before is None and row.chunk > 0:
                planned += 1
            else:
                changed["chunk", row.id, row.chunk, row.state] += 1
        said: Counter[tuple[Any, ...]] = Counter()
        said_planned = 0
        for line in self.lines:
            sweep_id = line.get("sweep_id")
            if "state" in line:
                kind = "run" if sweep_id is None else "sweep"
                said[kind, sweep_id or line["run_id"], line["state"]] += 1
            if line["event"] == "chunks_planned":
                said_planned += line["n_chunks"]
            elif "chunk_state" in line:
                said["chunk", sweep_id, line.get("chunk", 0), line["chunk_state"]] += 1
        assert said == changed
        assert said_planned == planned

    def list_states(self, id_: str) -> list[str]:
        return [row.state for row in self.read_changes() if row.id == id_ and row.kind != "chunk"]


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    # A broker that is not there: what would travel as a message is called by the test.
    web = build_web(tmp_path, max_attempts=2, broker_timeout_seconds=0.2)
    configure_logging(Settings(), "test")
    lines: list[EventDict] = []

    def keep(logger: Any, method: str, event: EventDict) -> EventDict:
        lines.append(dict(event))
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.contextvars.merge_contextvars, keep])
    connection = web.store.engine.raw_connection()
    connection.driver_connection.executescript(TRIGGERS)  # type: ignore[union-attr]
    connection.close()
    return Recorder(web, lines)


@pytest.fixture(autouse=True)
def _leave_logging_as_it_was() -> Any:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def submit(recorder: Recorder, **changes: Any) -> str:
    answer = recorder.web.client.post("/api/v1/runs", json={**RUN, "force": True, **changes})
    return str(answer.json["run_id"])


def test_a_run_that_succeeds_fails_or_is_cancelled_says_each_step_once(recorder: Recorder) -> None:
    done, slow, dropped = (submit(recorder) for _ in range(3))
    assert recorder.execute(done) == "succeeded"
    assert recorder.execute(done) == "duplicate"
    assert recorder.execute(slow, max_run_seconds=-1) == "failed"
    for _ in range(2):
        recorder.web.client.post(f"/api/v1/runs/{dropped}/cancel")
    assert recorder.list_states(done) == ["queued", "running", "succeeded"]
    assert recorder.list_states(slow) == ["queued", "running", "failed"]
    assert recorder.list_states(dropped) == ["queued", "cancelled"]
    recorder.compare()


def test_a_run_that_loses_its_workers_says_each_step_once(recorder: Recorder) -> None:
    by_maintenance, by_claim = submit(recorder), submit(recorder)
    for run_id in (by_maintenance, by_claim):
        assert recorder.execute_and_die(run_id)
    recorder.end_leases()
    recorder.maintain()
    assert recorder.list_states(by_maintenance) == ["queued", "running", "queued"]
    assert recorder.execute_and_die(by_maintenance)
    assert recorder.execute_and_die(by_claim)
    recorder.end_leases()
    assert recorder.execute(by_claim) == "duplicate"  # given up by who would have taken it
    recorder.maintain()
    for run_id in (by_maintenance, by_claim):
        assert recorder.list_states(run_id)[-1] == "failed"
    recorder.compare()


def test_a_sweep_that_is_steered_says_each_step_once(recorder: Recorder) -> None:
    sweep_id = recorder.submit_sweep()
    recorder.steer(sweep_id, "pause")
    recorder.steer(sweep_id, "resume")
    recorder.execute_chunks(sweep_id)
    recorder.steer(sweep_id, "pause")
    recorder.steer(sweep_id, "resume")
    assert recorder.finish(sweep_id) == "succeeded"
    assert recorder.finish(sweep_id) == "duplicate"
    steps = ["queued", "paused", "queued", "running", "paused", "running", "succeeded"]
    assert recorder.list_states(sweep_id) == steps
    dropped = recorder.submit_sweep()
    recorder.steer(dropped, "cancel")
    recorder.compare()


def test_a_sweep_whose_chunk_loses_its_workers_says_each_step_once(recorder: Recorder) -> None:
    sweep_id = recorder.submit_sweep()
    for _ in range(2):
        claim = recorder.claim_chunk_and_die(sweep_id)
        recorder.end_leases()
        recorder.maintain()
    assert claim == 2
    assert recorder.finish(sweep_id) == "failed"
    recorder.steer(sweep_id, "retry")
    recorder.execute_chunks(sweep_id)
    assert recorder.finish(sweep_id) == "succeeded"
    steps = ["queued", "running", "failed", "running", "succeeded"]
    assert recorder.list_states(sweep_id) == steps
    recorder.compare()
