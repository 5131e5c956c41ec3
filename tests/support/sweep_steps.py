"""What may happen to a sweep in its model, how often, and which states it may change."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st

WORKERS = ("host-a/1", "host-a/2", "host-b/1")
# Every change of a sweep's and of a chunk's state, by the step that may make it: the tables in
# ARCHITECTURE.md.
SWEEP_TRANSITIONS: dict[str, set[tuple[str | None, str]]] = {
    "submit": {(None, "queued")},
    "claim": {("queued", "running")},
    "pause": {("queued", "paused"), ("running", "paused")},
    "resume": {("paused", "queued"), ("paused", "running")},
    "cancel": {(state, "cancelled") for state in ("queued", "running", "paused")},
    "retry": {("failed", "running")},
    "claim_finish": {("running", "failed")},
    "finish": {("running", "succeeded")},
    "fail_finish": {("running", "failed")},
    "abandon": {("queued", "failed"), ("running", "failed")},
}
CHUNK_TRANSITIONS: dict[str, set[tuple[str | None, str]]] = {
    "submit": {(None, "queued")},
    "claim": {("queued", "running")},
    "finish_chunk": {("running", "done"), (None, "queued")},
    "fail_chunk": {("running", "failed")},
    "return_chunk": {("running", "queued")},
    "report_lost": {("running", "queued"), ("running", "failed")},
    "expire": {("running", "queued"), ("running", "failed")},
    "pause": {("running", "queued")},
    "abandon": {("running", "queued")},
    "cancel": {("queued", "cancelled"), ("running", "cancelled")},
    "retry": {("failed", "queued")},
}
CHUNK_STEPS = ("finish_chunk", "heartbeat", "fail_chunk", "return_chunk", "report_lost")
# What ends a sweep comes up seldom, or there would soon be none left to happen to.
STEPS = (
    *4 * ("claim", "finish_chunk"),
    *3 * ("claim_finish", "finish", "resume", "retry"),
    *2 * ("expire", "pause", "report_lost", "return_chunk", "fail_chunk", "report_lost_finaliser"),
    *2 * ("return_finish",),
    *("heartbeat", "cancel", "take_messages", "release_overdue", "take_finish_message"),
    *("heartbeat_finish", "fail_finish", "submit_again", "abandon"),
)
PAIRS = st.tuples(st.just("at once"), *2 * [st.sampled_from(STEPS)])
PLANS = st.one_of(
    st.sampled_from([("alone", name) for name in STEPS]),
    st.sampled_from([("alone", name) for name in STEPS]),
    st.sampled_from(
        [
            ("submit",),
            *4 * [("workers compute",)],
            *3 * [("time passes", "expire"), ("time passes", "claim_finish")],
            *3 * [("time passes", "claim")],
            *3
            * [("finalised", "finish"), ("finalised", "fail_finish"), ("finalised late", "finish")],
            *2 * [("poisoned", "report_lost"), ("poisoned", "expire")],
            ("at once", "claim", "claim", "claim"),
            ("at once", "claim_finish", "claim_finish", "claim_finish"),
            *2 * [("at once", "pause", "finish_chunk", "claim")],
        ]
    ),
    PAIRS,
)
MAX_SWEEPS = 4
# Indexes from here on choose among everything, also among what is over.
LATE = 3


def list_transitions() -> set[tuple[Any, ...]]:
    """Every documented transition, as `SweepModel.seen` notes those that were taken."""
    return {
        (kind, name, *pair)
        for kind, table in (("sweep", SWEEP_TRANSITIONS), ("chunk", CHUNK_TRANSITIONS))
        for name, pairs in table.items()
        for pair in pairs
    }
