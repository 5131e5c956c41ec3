"""Which messages of a sweep are in the broker: a few at a time, whatever the sweep's size.

Whoever finishes a chunk sends the next ones, so that nobody waits for a planner; maintenance does
the same for every sweep in case that nobody did. The database decides which chunk is sent by whom.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kombu.exceptions import OperationalError

from storage.sweep_records import ChunkPlan
from tasks.logs import bind_sweep, get_logger
from tasks.messages import send_chunk, send_finish, send_query
from tasks.settings import Settings, redact_text

if TYPE_CHECKING:
    from storage.store import Store

log = get_logger(__name__)

# A chunk of work: long enough that its message and its rows cost a few percent, short enough that a
# pause, a single run and the end of the sweep do not wait. [seconds of one process]
_MIN_CHUNK_SECONDS, _MAX_CHUNK_SECONDS = 0.1, 0.5
_CHUNKS_PER_PROCESS = 8
# The memory of a chunk: 13 columns of float64, and as much again while they are compressed.
_MAX_CHUNK_POSITIONS = 200_000
# Rows that one sweep may have. Beyond some hours of work its chunks grow instead.
_MAX_CHUNKS = 20_000

# A finaliser or an answer that does not begin within this long is sent for again.
RESEND_SECONDS = 5.0


def dispatch_sweep(store: Store, settings: Settings, sweep_id: str) -> bool:
    """Send what is due for a sweep now; return whether the broker took it.

    A broker that is down is not an error of the sender: it is logged, and maintenance tries again.
    """
    if settings.executor == "inline":
        _execute_inline(store, settings, sweep_id)
        return True
    due = store.sweeps.take_messages(sweep_id)
    sent = 0
    try:
        for idx in due.chunks:
            send_chunk(settings, sweep_id, idx)
            sent += 1
        if due.is_complete and store.sweeps.take_finish_message(sweep_id, RESEND_SECONDS):
            send_finish(settings, sweep_id)
    except (OperationalError, OSError) as error:
        with bind_sweep(sweep_id):
            log.warning("chunks_not_sent", error=redact_text(str(error)))
        store.sweeps.unmark_sent(sweep_id, due.chunks[sent:])
        return False
    return True


def dispatch_query(store: Store, settings: Settings, query_id: str) -> bool:
    """Send a question to the workers unless that was done just now; see `dispatch_sweep`."""
    if settings.executor == "inline":
        from tasks.execute import BarsCache
        from tasks.sweep_finish import execute_query

        execute_query(store, settings, query_id, BarsCache())
        return True
    if not store.sweeps.take_query_message(query_id, RESEND_SECONDS):
        return True
    try:
        send_query(settings, query_id)
    except (OperationalError, OSError) as error:
        log.warning("query_not_sent", error=redact_text(str(error)))
        return False
    return True


def plan_chunks(first: int, n_positions: int, rate: float, processes: int) -> ChunkPlan:
    """Cut what is left of a sweep into chunks of equal size.

    Parameters
    ----------
    first : int
        First position that is not computed yet.
    rate : float
        Positions per second of one process.
    processes : int
        How many of them there are.

    Returns
    -------
    ChunkPlan
        Chunks of min(0.5 s, total / (8 x processes)) of work, but of 0.1 s at least.
    """
    left = n_positions - first
    if left <= 0:
        return ChunkPlan((), rate)
    seconds = left / rate / (_CHUNKS_PER_PROCESS * processes)  # [positions] / [positions / s]
    seconds = min(max(seconds, _MIN_CHUNK_SECONDS), _MAX_CHUNK_SECONDS)
    size = min(max(1, round(rate * seconds)), _MAX_CHUNK_POSITIONS)
    n_chunks = min(math.ceil(left / size), _MAX_CHUNKS)
    return ChunkPlan(
        tuple(first + left * number // n_chunks for number in range(1, n_chunks + 1)), rate
    )


def _execute_inline(store: Store, settings: Settings, sweep_id: str) -> None:
    """Compute a sweep in this process: for tests and scripts without a broker."""
    from tasks.execute import BarsCache
    from tasks.sweep_execute import EvaluatorCache, execute_chunk
    from tasks.sweep_finish import execute_finish

    cache = EvaluatorCache(BarsCache())
    while True:
        due = store.sweeps.take_messages(sweep_id)
        for idx in due.chunks:
            execute_chunk(store, settings, sweep_id, idx, "inline", cache, 1)
        if not due.chunks:
            break
    if due.is_complete:
        execute_finish(store, settings, sweep_id, cache)
