"""The model of sweeps: whatever happens in whatever order, each chunk is stored once and whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import hypothesis.strategies as st
from hypothesis.stateful import initialize, rule
from sqlalchemy import delete, func, select

from storage.store import Store
from storage.sweep_records import ChunkClaim, ChunkPlan, FinishClaim, NewSweep
from storage.sweep_tables import (
    SWEEP_METRICS,
    sweep_artifacts,
    sweep_blocks,
    sweep_chunks,
    sweeps,
)
from tests.support.model_base import EXITS, INDEX, LEASE_SECONDS, MAX_ATTEMPTS, Model, Step, write
from tests.support.storage_samples import add_dataset
from tests.support.sweep_counters import check_counters
from tests.support.sweep_samples import N_POSITIONS, build_result, build_sweep
from tests.support.sweep_steps import (
    CHUNK_STEPS,
    CHUNK_TRANSITIONS,
    LATE,
    MAX_SWEEPS,
    PLANS,
    SWEEP_TRANSITIONS,
    WORKERS,
)


class Rows(NamedTuple):
    """What the database says, by sweep and by (sweep, chunk)."""

    sweeps: dict[str, Any]
    chunks: dict[tuple[str, int], Any]


class SweepModel(Model):
    """One or two small sweeps, their chunks, tokens, and what became of them."""

    @initialize()
    def begin(self) -> None:
        write(self.stores[0], delete(sweeps))
        self.sha256 = add_dataset(self.stores[0])
        self.submitted: list[NewSweep] = []
        self.chunk_tokens: list[tuple[ChunkClaim, str]] = []
        self.finish_tokens: list[FinishClaim] = []
        self.n_returned: Counter[tuple[str, int]] = Counter()
        self.n_resumes: Counter[str] = Counter()
        self.n_retries: Counter[str] = Counter()
        self.n_handed_back: Counter[str] = Counter()
        self.winners: dict[tuple[str, int], int] = {}
        self.done_at_pause: dict[str, frozenset[int]] = {}
        self.rows = self.read()
        self.submit()

    @rule(plan=PLANS, index=INDEX, idx=st.integers(0, 3), how=EXITS)
    def happens(self, plan: tuple[str, ...], index: int, idx: int, how: str) -> None:
        kind, *names = plan
        if kind == "submit" and len(self.submitted) < MAX_SWEEPS:
            self.submit()
        elif kind == "alone":
            self.take(self.build(names[0], index, idx, how))
        elif kind == "at once":
            self.race([self.build(name, index, idx, how) for name in names])
        elif kind == "workers compute":
            self.compute(index, idx)
        elif kind.startswith("finalised"):
            self.compute(index, 0)
            self.take(self.build("claim_finish", index, 0, ""))
            if kind == "finalised late":
                self.end_leases(index)
                self.take(self.build("claim_finish", index, 0, ""))
                self.take(self.build(names[0], LATE, 0, ""))
            self.take(self.build(names[0], 0, 0, ""))
        elif kind == "poisoned":
            for _ in range(MAX_ATTEMPTS):
                self.take(self.build("claim", index, 0, ""))
                self.end_leases(index)
                self.take(self.build(names[0], 0, 0, how))
        elif kind == "time passes":
            self.end_leases(index)
            self.take(self.build(names[0], index, idx, how))

    def submit(self) -> None:
        new = build_sweep(self.sha256)

        def note(record: Any) -> None:
            self.submitted.append(new)

        self.take(Step("submit", lambda store: store.sweeps.insert(new), note))

    def compute(self, index: int, n_left: int) -> None:
        """Do what is queued, but for the last few chunks: most of a sweep is uneventful."""
        for idx in range(4 - n_left):
            before = len(self.chunk_tokens)
            self.take(self.build("claim", index, idx, ""))
            if len(self.chunk_tokens) > before:
                self.take(self.build("finish_chunk", 0, idx, ""))

    def end_leases(self, index: int) -> None:
        sweep_id = self.choose_sweep(index)
        number = select(sweeps.c.id).where(sweeps.c.sweep_id == sweep_id).scalar_subquery()
        chunk = sweep_chunks.c
        self.let_time_pass(sweep_chunks, chunk.sweep_number == number, chunk.state == "running")
        self.let_time_pass(sweeps, sweeps.c.sweep_id == sweep_id, sweeps.c.lease_until.is_not(None))

    def choose_sweep(self, index: int) -> str:
        """One that has not ended, if there is one."""
        ids = [new.sweep_id for new in self.submitted]
        open_ids = [
            sweep_id
            for sweep_id in ids
            if self.rows.sweeps[sweep_id].state not in ("succeeded", "cancelled")
        ]
        chosen = open_ids if open_ids and index < LATE else ids
        return chosen[-1 - index % len(chosen)]

    def is_held(self, token: ChunkClaim) -> bool:
        row = self.rows.chunks.get((token.sweep_id, token.idx))
        return row is not None and (row.state, row.attempt) == ("running", token.attempt)

    def build(self, name: str, index: int, idx: int, how: str) -> Step | None:
        sweep_id = self.choose_sweep(index)
        if name == "submit_again":
            new = self.submitted[-1 - index % len(self.submitted)]
            return Step(name, lambda store: store.sweeps.insert(new))
        if name == "claim":
            queued = [
                chunk.idx
                for (owner, _), chunk in sorted(self.rows.chunks.items())
                if owner == sweep_id and chunk.state == "queued"
            ]
            # Mostly what can be had; a message that comes late names anything.
            idx = queued[idx % len(queued)] if queued and index < LATE else idx
            worker = WORKERS[index % len(WORKERS)]
            return Step(
                name,
                lambda store: store.sweeps.claim_chunk(sweep_id, idx, worker, LEASE_SECONDS),
                lambda claim: claim and self.chunk_tokens.append((claim, worker)),
            )
        if name in CHUNK_STEPS:
            if not self.chunk_tokens:
                return None
            held = [pair for pair in self.chunk_tokens if self.is_held(pair[0])]
            late = [
                pair
                for pair in self.chunk_tokens
                if pair not in held
                and self.rows.chunks[pair[0].sweep_id, pair[0].idx].state == "running"
            ]
            tokens = (held if index < LATE else late) or self.chunk_tokens
            token, worker = tokens[-1 - index % len(tokens)]
            return self.build_chunk_step(name, token, worker, how)
        if name in ("finish", "fail_finish", "heartbeat_finish", "return_finish"):
            if not self.finish_tokens:
                return None
            late = [
                token
                for token in self.finish_tokens
                if self.rows.sweeps[token.sweep_id].stage == "finalising"
                and self.rows.sweeps[token.sweep_id].attempt != token.attempt
            ]
            tokens = (late if index >= LATE else None) or self.finish_tokens
            return self.build_finish_step(name, tokens[-1 - index % len(tokens)])
        return self.build_sweep_step(name, sweep_id, how)

    def build_chunk_step(self, name: str, token: ChunkClaim, worker: str, how: str) -> Step:
        sweep_id, idx, attempt = token.sweep_id, token.idx, token.attempt
        stop = 100 if idx == 0 else token.stop
        plan = ChunkPlan((400, 700, N_POSITIONS), 5000.0) if idx == 0 else None
        result = build_result(token.first, stop, excluded=idx)

        def note_return(returned: bool) -> None:
            self.n_returned[sweep_id, idx] += returned

        acts: dict[str, Callable[[Store], Any]] = {
            "finish_chunk": lambda store: store.sweeps.finish_chunk(token, result, plan),
            "fail_chunk": lambda store: store.sweeps.fail_chunk(token, {"code": "x"}),
            "return_chunk": lambda store: store.sweeps.return_chunk(token),
            "heartbeat": lambda store: store.sweeps.heartbeat_chunk(
                sweep_id, idx, attempt, LEASE_SECONDS
            ),
            "report_lost": lambda store: store.sweeps.report_lost_chunk(
                sweep_id, idx, worker, how, MAX_ATTEMPTS
            ),
        }

        def note_end(stored: bool) -> None:
            if stored:
                assert self.winners.setdefault((sweep_id, idx), attempt) == attempt

        if name == "return_chunk":
            return Step(name, acts[name], note_return)
        if name == "finish_chunk":
            return Step(name, acts[name], note_end)
        return Step(name, acts[name])

    def build_finish_step(self, name: str, token: FinishClaim) -> Step:
        sweep_id, attempt = token.sweep_id, token.attempt
        digest = f"{attempt:064d}"
        acts: dict[str, Callable[[Store], Any]] = {
            "finish": lambda store: store.sweeps.finish_sweep(
                sweep_id, attempt, digest, {"best": {"index": 7}}
            ),
            "fail_finish": lambda store: store.sweeps.fail_finish(sweep_id, attempt, {"code": "x"}),
            "heartbeat_finish": lambda store: store.sweeps.heartbeat_finish(
                sweep_id, attempt, LEASE_SECONDS
            ),
        }

        def note_return(returned: bool) -> None:
            self.n_handed_back[sweep_id] += returned

        if name == "return_finish":
            return Step(
                name, lambda store: store.sweeps.return_finish(sweep_id, attempt), note_return
            )
        return Step(name, acts[name])

    def build_sweep_step(self, name: str, sweep_id: str, how: str) -> Step:
        def pause(store: Store) -> bool:
            paused = store.sweeps.pause(sweep_id)
            if paused:
                # What is done the moment `pause` returns, whatever else goes on at that instant.
                letters = enumerate(store.sweeps.chunks(sweep_id))
                self.done_at_pause[sweep_id] = frozenset(
                    i for i, letter in letters if letter == "d"
                )
            return paused

        def resume(store: Store) -> bool:
            self.done_at_pause.pop(sweep_id, None)
            return store.sweeps.resume(sweep_id)

        def note_resume(resumed: bool) -> None:
            self.n_resumes[sweep_id] += resumed

        def note_retry(retried: bool) -> None:
            self.n_retries[sweep_id] += retried

        def note_finish(claim: FinishClaim | None) -> None:
            if claim is not None:
                self.finish_tokens.append(claim)

        return {
            "pause": Step(name, pause),
            "resume": Step(name, resume, note_resume),
            "cancel": Step(name, lambda store: store.sweeps.cancel(sweep_id)),
            "abandon": Step(
                name, lambda store: store.sweeps.abandon_sweep(sweep_id, {"code": "j"})
            ),
            "retry": Step(name, lambda store: store.sweeps.retry(sweep_id), note_retry),
            "expire": Step(name, lambda store: store.sweeps.expire_chunks(MAX_ATTEMPTS)),
            "take_messages": Step(name, lambda store: store.sweeps.take_messages(sweep_id)),
            "release_overdue": Step(name, lambda store: store.sweeps.release_overdue(0.0)),
            "take_finish_message": Step(
                name, lambda store: store.sweeps.take_finish_message(sweep_id, 0.0)
            ),
            "claim_finish": Step(
                name,
                lambda store: store.sweeps.claim_finish(
                    sweep_id, LEASE_SECONDS, MAX_ATTEMPTS, WORKERS[0]
                ),
                note_finish,
            ),
            "report_lost_finaliser": Step(
                name, lambda store: store.sweeps.report_lost_finaliser(sweep_id, WORKERS[0], how)
            ),
        }[name]

    def read(self) -> Rows:
        with self.stores[0].engine.connect() as connection:
            names = ("id", "sweep_id", "state", "stage", "attempt", "n_lost", "finished_at")
            names += ("result_sha256", "error", "n_excluded", "n_combinations")
            columns = [sweeps.c[name] for name in names]
            found = {row.sweep_id: row for row in connection.execute(select(*columns))}
            query = select(sweeps.c.sweep_id, *sweep_chunks.c).join(
                sweeps, sweeps.c.id == sweep_chunks.c.sweep_number
            )
            chunks = {(row.sweep_id, row.idx): row for row in connection.execute(query)}
        return Rows(found, chunks)

    def check_step(self, name: str, outcome: Any, before: Rows, after: Rows) -> None:
        for kind, table, old_rows, new_rows in (
            ("sweep", SWEEP_TRANSITIONS, before.sweeps, after.sweeps),
            ("chunk", CHUNK_TRANSITIONS, before.chunks, after.chunks),
        ):
            changed = False
            for key, new in new_rows.items():
                old = old_rows.get(key)
                if old is None or old.state != new.state:
                    changed = True
                    pair = (old.state if old else None, new.state)
                    assert pair in table.get(name, ()), (name, pair)
                    self.seen.add((kind, name, *pair))
            if isinstance(outcome, bool) and changed:
                assert outcome, name
        for (sweep_id, idx), new in after.chunks.items():
            old = before.chunks.get((sweep_id, idx))
            if new.state == "done" and old is not None and old.state != "done":
                assert before.sweeps[sweep_id].state == "running", "stored while not running"
        self.check_rows(before, after)

    def check_race(self, before: Rows, after: Rows) -> None:
        self.check_rows(before, after)

    def check_rows(self, before: Rows, after: Rows) -> None:
        assert set(after.sweeps) == {new.sweep_id for new in self.submitted}
        for sweep_id, old in before.sweeps.items():
            if old.state in ("succeeded", "cancelled"):
                assert after.sweeps[sweep_id] == old, "a terminal state changed"
        for key, old in before.chunks.items():
            if old.state in ("done", "cancelled"):
                assert after.chunks[key] == old, "what was stored changed"
        blocks, artifacts = self.count_results()
        for sweep_id, row in after.sweeps.items():
            mine = [
                chunk for (owner, _), chunk in sorted(after.chunks.items()) if owner == sweep_id
            ]
            self.check_sweep(row, mine, has_documents=row.id in artifacts)
            for chunk in mine:
                stored = blocks.get((row.id, chunk.idx), 0)
                # Chunk 0 has no status column, others one, as some of their points are excluded.
                whole = len(SWEEP_METRICS) + (chunk.idx > 0)
                assert stored == (whole if chunk.state == "done" else 0)
                self.check_chunk(sweep_id, chunk)

    def count_results(self) -> tuple[dict[tuple[int, int], int], set[int]]:
        block = sweep_blocks.c
        query = (
            select(block.sweep_number, block.idx, func.count())
            .where(block.seq == 0)
            .group_by(block.sweep_number, block.idx)
        )
        with self.stores[0].engine.connect() as connection:
            blocks = {(row[0], row[1]): row[2] for row in connection.execute(query)}
            artifacts = set(connection.scalars(select(sweep_artifacts.c.sweep_number)))
        return blocks, artifacts

    def check_sweep(self, row: Any, chunks: list[Any], *, has_documents: bool) -> None:
        states = Counter(chunk.state for chunk in chunks)
        succeeded = row.state == "succeeded"
        assert has_documents == (row.result_sha256 is not None) == succeeded
        assert (row.error is not None) == (row.state == "failed")
        assert (row.finished_at is not None) == (row.state in ("succeeded", "failed", "cancelled"))
        if succeeded:
            assert set(states) == {"done"}
            assert [chunk.first for chunk in chunks] == [0, *(c.stop for c in chunks[:-1])]
            assert chunks[-1].stop == N_POSITIONS
            assert row.n_excluded == sum(chunk.n_excluded for chunk in chunks)
            assert row.n_combinations == N_POSITIONS - row.n_excluded
            assert row.result_sha256 == f"{row.attempt:064d}"
        if row.state == "cancelled":
            assert not states.keys() & {"queued", "running"}
        if row.state == "paused":
            assert "running" not in states
            done = frozenset(chunk.idx for chunk in chunks if chunk.state == "done")
            assert done == self.done_at_pause.get(row.sweep_id, done), "done while paused"
        mine = [claim.attempt for claim in self.finish_tokens if claim.sweep_id == row.sweep_id]
        assert sorted(mine) == list(range(1, row.attempt + 1))
        assert row.n_lost <= MAX_ATTEMPTS
        if row.state == "running":
            assert row.n_lost < MAX_ATTEMPTS
        # Every retry begins the count anew.
        n_budgets = 1 + self.n_retries[row.sweep_id]
        spared = self.n_resumes[row.sweep_id] + self.n_handed_back[row.sweep_id]
        assert row.attempt <= MAX_ATTEMPTS * n_budgets + spared
        check_counters(self.stores[0], row.sweep_id, chunks)

    def check_chunk(self, sweep_id: str, chunk: Any) -> None:
        assert (chunk.lease_until is not None) == (chunk.state == "running")
        mine = [
            claim.attempt
            for claim, _ in self.chunk_tokens
            if (claim.sweep_id, claim.idx) == (sweep_id, chunk.idx)
        ]
        assert sorted(mine) == list(range(1, chunk.attempt + 1)), "an attempt was given out twice"
        if chunk.state == "done":
            assert chunk.attempt == self.winners[sweep_id, chunk.idx]
        assert chunk.n_lost <= MAX_ATTEMPTS
        if chunk.state in ("queued", "running"):
            assert chunk.n_lost < MAX_ATTEMPTS
