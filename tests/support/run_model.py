"""The model of runs: whatever happens in whatever order, each run ends once, with its result."""

from __future__ import annotations

from collections import Counter
from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis.stateful import initialize, rule
from sqlalchemy import delete, select

from storage.models import run_artifacts, runs
from storage.records import TERMINAL_STATES, Claim, NewRun
from storage.store import Store
from tests.support.model_base import EXITS, INDEX, LEASE_SECONDS, MAX_ATTEMPTS, Model, Step, write
from tests.support.storage_samples import add_dataset, build_run

WORKERS = ("host-a/1", "host-a/2", "host-b/1")
# Every change of a run's state, by the step that may make it: the table in ARCHITECTURE.md.
TRANSITIONS: dict[str, set[tuple[str | None, str]]] = {
    "submit": {(None, "queued")},
    "submit_again": set(),
    "claim": {("queued", "running"), ("running", "running"), ("running", "failed")},
    "finish": {("running", "succeeded")},
    "fail": {("running", "failed")},
    "give_back": {("running", "queued")},
    "report_lost": {("running", "queued"), ("running", "failed")},
    "expire": {("running", "queued"), ("running", "failed")},
    "cancel": {("queued", "cancelled"), ("running", "cancelled")},
    "abandon": {("queued", "failed"), ("running", "failed")},
    "heartbeat": set(),
    "mark_sent": set(),
}
# What ends a run comes up seldom, or there would soon be none left to happen to.
STEPS = (
    *4 * ("claim",),
    *3 * ("give_back",),
    *2 * ("report_lost", "expire", "heartbeat"),
    *("finish", "fail", "cancel", "abandon", "mark_sent", "submit_again"),
)
PAIRS = st.tuples(st.just("at once"), *2 * [st.sampled_from(STEPS)])
PLANS = st.one_of(
    st.sampled_from([("alone", name) for name in STEPS]),
    st.sampled_from(
        [
            *2 * [("submit",)],
            *(("time passes", name) for name in ("claim", "expire", "heartbeat", "finish")),
            ("at once", "claim", "claim", "claim"),
            *(("poisoned", name) for name in ("claim", "expire", "report_lost")),
        ]
    ),
    PAIRS,
)
MAX_RUNS = 8
# Indexes from here on choose among everything, also among what is over.
LATE = 3
Rows = dict[str, Any]


class RunModel(Model):
    """Runs on one dataset, their tokens, and what became of both."""

    @initialize()
    def begin(self) -> None:
        write(self.stores[0], delete(runs))
        self.sha256 = add_dataset(self.stores[0])
        self.submitted: list[NewRun] = []
        self.tokens: list[tuple[Claim, str]] = []
        self.n_given_back: Counter[str] = Counter()
        self.winners: dict[str, int] = {}
        self.rows = self.read()

    @rule(plan=PLANS, index=INDEX, how=EXITS)
    def happens(self, plan: tuple[str, ...], index: int, how: str) -> None:
        kind, *names = plan
        if kind == "submit" and len(self.submitted) < MAX_RUNS:
            self.take(self.build_submit(build_run(self.sha256)))
        elif kind == "alone":
            self.take(self.build(names[0], index, how))
        elif kind == "at once":
            self.race([self.build(name, index, how) for name in names])
        elif kind == "time passes" and self.submitted:
            self.end_lease(index)
            self.take(self.build(names[0], index, how))
        elif kind == "poisoned" and self.submitted:
            for _ in range(MAX_ATTEMPTS):
                self.take(self.build("claim", index, how))
                self.end_lease(index)
                self.take(self.build(names[0], index, how))

    def end_lease(self, index: int) -> None:
        run_id = self.choose_run(index)
        self.let_time_pass(runs, runs.c.run_id == run_id, runs.c.state == "running")

    def build_submit(self, new: NewRun) -> Step:
        def note(record: Any) -> None:
            assert record.run_id == new.run_id
            if new not in self.submitted:
                self.submitted.append(new)

        name = "submit_again" if new in self.submitted else "submit"
        return Step(name, lambda store: store.runs.insert(new), note)

    def build(self, name: str, index: int, how: str) -> Step | None:
        if not self.submitted:
            return None
        run_id = self.choose_run(index)
        if name == "submit_again":
            return self.build_submit(self.submitted[-1 - index % len(self.submitted)])
        if name == "claim":
            worker = WORKERS[index % len(WORKERS)]
            return Step(
                name,
                lambda store: store.runs.claim(run_id, worker, LEASE_SECONDS, MAX_ATTEMPTS),
                lambda claim: claim and self.tokens.append((claim, worker)),
            )
        if name == "cancel":
            return Step(name, lambda store: store.runs.cancel(run_id))
        if name == "abandon":
            return Step(name, lambda store: store.runs.abandon(run_id, {"code": "job_failed"}))
        if name == "mark_sent":
            return Step(name, lambda store: store.runs.mark_sent(run_id))
        if name == "expire":
            return Step(name, lambda store: store.runs.expire_leases(MAX_ATTEMPTS))
        if not self.tokens:
            return None
        # Mostly one that holds; else that of a worker that wakes up late while another has its run.
        held = [pair for pair in self.tokens if self.is_held(pair[0])]
        late = [
            pair
            for pair in self.tokens
            if pair not in held and self.rows[pair[0].run_id].state == "running"
        ]
        tokens = (held if index < LATE else late) or self.tokens
        token, worker = tokens[-1 - index % len(tokens)]
        return self.build_held(name, token, worker, how)

    def is_held(self, token: Claim) -> bool:
        row = self.rows[token.run_id]
        return (row.state, row.attempt) == ("running", token.attempt)

    def choose_run(self, index: int) -> str:
        """One that has not ended, if there is one."""
        ids = [new.run_id for new in self.submitted]
        open_ids = [id_ for id_ in ids if self.rows[id_].state not in TERMINAL_STATES]
        chosen = open_ids if open_ids and index < LATE else ids
        return chosen[-1 - index % len(chosen)]

    def build_held(self, name: str, token: Claim, worker: str, how: str) -> Step:
        run_id, attempt = token.run_id, token.attempt
        summary = {"metrics": {"n_trades": attempt}, "n_bars": 20}
        columns = {"equity": np.linspace(1.0, 2.0, 20)}

        def finish(store: Store) -> bool:
            return store.runs.finish(run_id, attempt, summary, [], columns)

        def note_end(ended: bool) -> None:
            if ended:
                assert self.winners.setdefault(run_id, attempt) == attempt

        def note_return(returned: bool) -> None:
            self.n_given_back[run_id] += returned

        return {
            "finish": Step(name, finish, note_end),
            "fail": Step(
                name, lambda store: store.runs.fail(run_id, attempt, {"code": str(attempt)})
            ),
            "give_back": Step(
                name, lambda store: store.runs.give_back(run_id, attempt), note_return
            ),
            "heartbeat": Step(
                name,
                lambda store: store.runs.heartbeat(run_id, attempt, LEASE_SECONDS, "engine", 0.5),
            ),
            "report_lost": Step(
                name, lambda store: store.runs.report_lost(run_id, worker, how, MAX_ATTEMPTS)
            ),
        }[name]

    def read(self) -> Rows:
        names = ("run_id", "state", "attempt", "n_lost", "worker", "lease_until", "finished_at")
        names += ("metrics", "error", "last_exit")
        with self.stores[0].engine.connect() as connection:
            rows = connection.execute(select(*(runs.c[name] for name in names))).all()
        return {row.run_id: row for row in rows}

    def check_step(self, name: str, outcome: Any, before: Rows, after: Rows) -> None:
        changed = [
            (old, new)
            for run_id, new in after.items()
            if (old := before.get(run_id)) is None
            or (old.state, old.attempt) != (new.state, new.attempt)
        ]
        for old, new in changed:
            pair = (old.state if old else None, new.state)
            assert pair in TRANSITIONS[name], (name, pair)
            self.seen.add((name, *pair))
        if name != "expire":
            assert len(changed) <= 1
        if isinstance(outcome, bool) and changed:
            assert outcome, name
        if name == "claim" and outcome is not None:
            assert after[outcome.run_id].attempt == outcome.attempt
        self.check_rows(before, after)

    def check_race(self, before: Rows, after: Rows) -> None:
        self.check_rows(before, after)

    def check_rows(self, before: Rows, after: Rows) -> None:
        assert set(after) == {new.run_id for new in self.submitted}
        for run_id, old in before.items():
            if old.state in TERMINAL_STATES:
                assert after[run_id] == old, "a terminal state changed"
        with self.stores[0].engine.connect() as connection:
            with_result = set(
                connection.scalars(
                    select(run_artifacts.c.run_id).where(run_artifacts.c.kind == "summary")
                )
            )
        for run_id, row in after.items():
            self.check_row(row, has_result=run_id in with_result)
        counts = Counter(row.state for row in after.values())
        assert self.stores[0].runs.counts() == {
            state: counts[state]
            for state in ("queued", "running", "succeeded", "failed", "cancelled")
        }

    def check_row(self, row: Any, *, has_result: bool) -> None:
        run_id = row.run_id
        assert has_result == (row.metrics is not None) == (row.state == "succeeded")
        assert (row.error is not None) == (row.state == "failed")
        assert (row.finished_at is not None) == (row.state in TERMINAL_STATES)
        assert (row.lease_until is not None) == (row.state == "running")
        if row.state == "succeeded":
            # It is that of the token that holds the row, and of the only one that was told so.
            assert row.metrics["n_trades"] == row.attempt == self.winners[run_id]
        # Each attempt was given to one worker, and their number is bounded.
        mine = sorted(claim.attempt for claim, _ in self.tokens if claim.run_id == run_id)
        assert mine == list(range(1, row.attempt + 1))
        assert row.attempt <= MAX_ATTEMPTS + self.n_given_back[run_id]
        assert row.n_lost <= MAX_ATTEMPTS
        if row.state in ("queued", "running"):
            assert row.n_lost < MAX_ATTEMPTS


def list_transitions() -> set[tuple[Any, ...]]:
    """Every documented transition, as `RunModel.seen` notes those that were taken."""
    return {(name, *pair) for name, pairs in TRANSITIONS.items() for pair in pairs}
