"""How a sweep is cut into chunks, and handed to whatever executes them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from storage.sweep_records import ChunkPlan
from tasks.executors import get_executor
from tasks.settings import Settings

if TYPE_CHECKING:
    from storage.store import Store

# A chunk of work: long enough that its message and its rows cost a few percent, short enough that a
# pause, a single run and the end of the sweep do not wait. [seconds of one process]
_MIN_CHUNK_SECONDS, _MAX_CHUNK_SECONDS = 0.1, 0.5
_CHUNKS_PER_PROCESS = 8
# The memory of a chunk: 13 columns of float64, and as much again while they are compressed.
_MAX_CHUNK_POSITIONS = 200_000
# Rows that one sweep may have. Beyond some hours of work its chunks grow instead.
_MAX_CHUNKS = 20_000


def dispatch_sweep(store: Store, settings: Settings, sweep_id: str) -> bool:
    """Hand over what is due for a sweep now; return whether that worked.

    It is no error of the sender if not: it is logged, and maintenance tries again.
    """
    return get_executor(settings).send_sweep(store, sweep_id)


def dispatch_query(store: Store, settings: Settings, query_id: str) -> bool:
    """Hand over a question about a sweep's numbers; see `dispatch_sweep`."""
    return get_executor(settings).send_query(store, query_id)


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
