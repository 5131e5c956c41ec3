"""What the repository of sweeps takes and returns: plain frozen records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

SweepState = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
ChunkState = Literal["queued", "running", "done", "failed", "cancelled"]
QueryState = Literal["queued", "running", "done", "failed"]
SweepMethod = Literal["grid", "random", "adaptive"]
Floats = NDArray[np.float64]

SWEEP_STATES: tuple[SweepState, ...] = (
    "queued",
    "running",
    "paused",
    "succeeded",
    "failed",
    "cancelled",
)
# Nothing is computed any more; a failed sweep can be started again by `retry`.
ENDED_SWEEP_STATES = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class NewSweep:
    """A sweep to be stored as queued, with the chunk that measures.

    Parameters
    ----------
    sweep_id : str
        UUID4, chosen by the caller, so that inserting twice stores once.
    spec : dict
        ``SweepSpec.to_json_dict()``.
    datasets : tuple of (symbol, sha256)
        Every dataset that the sweep reads, the first one first.
    n_points : int
        Cells of the full grid; may exceed 64 bits.
    n_positions : int
        Positions to visit: the grid, or what a search draws from it.
    n_combinations : int or None
        Admitted points among them; None where counting them would take too long.
    n_bars : int
        Bars of the longest dataset as used.
    first_stop : int
        Where the first chunk ends at the latest.
    idempotency_key, request_hash
        As of `NewRun`.
    """

    sweep_id: str
    fingerprint: str
    spec: dict[str, Any]
    datasets: tuple[tuple[str, str], ...]
    rule: str
    method: SweepMethod
    objective: str
    min_trades: int
    n_points: int
    n_positions: int
    n_combinations: int | None
    n_bars: int
    first_stop: int
    tags: tuple[str, ...] = ()
    note: str = ""
    idempotency_key: str | None = None
    request_hash: str = ""


@dataclass(frozen=True, slots=True)
class SweepRecord:
    """A sweep without its numbers; times are aware and UTC.

    Parameters
    ----------
    stage : str
        ``measuring``, ``computing``, ``finalising``, or empty before the start and after the end.
    symbol : str
        Of the only dataset, or of all, joined by commas and cut to the column's length.
    n_combinations, n_excluded, n_failed : int or None
        Exact once the sweep has succeeded; before that `n_combinations` is what was counted when
        it was submitted, if it could be, and the others are in `SweepProgress`.
    rate : float or None
        Positions per second of one process, as the first chunk measured it.
    seconds : float or None
        From the first claim to the end, pauses included.
    warnings : tuple of dict
        ``code`` and ``message`` at least; known once the first chunk is done.
    error : dict or None
        Why the sweep failed: ``code``, ``message``, ``errors``, ``chunks``.
    attempt : int
        How often the finaliser was started; its fencing token.
    version : int
        Grows with every change of this record.
    """

    sweep_id: str
    state: SweepState
    stage: str
    fingerprint: str
    spec: dict[str, Any]
    symbol: str
    rule: str
    method: SweepMethod
    objective: str
    min_trades: int
    n_points: int
    n_positions: int
    n_combinations: int | None
    n_excluded: int | None
    n_failed: int | None
    n_bars: int
    rate: float | None
    result_sha256: str | None
    warnings: tuple[dict[str, Any], ...]
    error: dict[str, Any] | None
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempt: int
    tags: tuple[str, ...]
    note: str
    version: int

    @property
    def seconds(self) -> float | None:
        """Wall time from the first claim to the end."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class SweepFilter:
    """Which sweeps to list.

    Parameters
    ----------
    sort : {"-submitted_at", "submitted_at"}
    limit : int
        1 to 200.
    cursor : str or None
        `SweepPage.next_cursor` of the page before, with the same sort and filters.
    """

    state: str | None = None
    symbol: str | None = None
    rule: str | None = None
    tag: str | None = None
    sort: str = "-submitted_at"
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class SweepPage:
    """A page of sweeps; `next_cursor` is None on the last one."""

    items: tuple[SweepRecord, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """Where a sweep stands, counted over the rows of its chunks.

    Parameters
    ----------
    n_chunks, n_done, n_failed, n_queued, n_running, n_cancelled : int
        Chunks. Until the first one has measured there is only that one.
    n_positions, n_positions_done : int
        Positions, excluded points among them.
    n_combinations_done, n_excluded_done, n_failed_done : int
        Of the positions done: admitted, excluded, and admitted but not computable.
    rate : float or None
        Positions per second by all processes over the last seconds; None while unknown.
    eta_seconds : float or None
        Time left at that rate; None unless running with a known rate.
    """

    n_chunks: int
    n_done: int
    n_failed: int
    n_queued: int
    n_running: int
    n_cancelled: int
    n_positions: int
    n_positions_done: int
    n_combinations_done: int
    n_excluded_done: int
    n_failed_done: int
    rate: float | None
    eta_seconds: float | None

    @property
    def fraction(self) -> float:
        """Share of the positions that is done, 0 to 1."""
        return self.n_positions_done / self.n_positions if self.n_positions else 1.0


@dataclass(frozen=True, slots=True)
class SweepPulse:
    """What tells one answer to a poll from another; see `etag`."""

    state: SweepState
    version: int
    n_done: int
    n_running: int
    n_queued: int
    n_failed: int

    @property
    def etag(self) -> str:
        """Differs whenever the answer does."""
        counts = (self.n_done, self.n_running, self.n_queued, self.n_failed)
        return ".".join(map(str, (self.version, *counts)))


@dataclass(frozen=True, slots=True)
class BestRow:
    """One of the best combinations of a chunk; undefined metrics are NaN."""

    position: int
    point: int
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class ChunkClaim:
    """The right to compute a chunk until the lease ends; `attempt` is the token that proves it.

    Parameters
    ----------
    first, stop : int
        Positions [first, stop). The first chunk of a grid may end anywhere before `stop`.
    n_positions : int
        Of the whole sweep.
    starts_sweep : bool
        Whether the sweep was queued before this claim.
    """

    sweep_id: str
    idx: int
    attempt: int
    first: int
    stop: int
    method: SweepMethod
    n_positions: int
    spec: dict[str, Any]
    starts_sweep: bool = False


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What a chunk leaves behind.

    Parameters
    ----------
    stop : int
        First position that was not computed.
    points : array of int64, shape (n,)
        Grid cell of each position.
    metrics : array of float64, shape (n, 13)
        In the order of `HEADLINE_METRICS`; NaN where undefined.
    status : array of uint8, shape (n,)
        0 ok, 1 excluded, 2 not finite, 3 rule failed.
    seconds : float
        Time spent on computing.
    keep_points : bool
        Store the points, because nothing but this row knows them.
    """

    stop: int
    points: NDArray[np.int64]
    metrics: Floats
    status: NDArray[np.uint8]
    seconds: float
    keep_points: bool = False


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """What follows the first chunk, or the batch before.

    Parameters
    ----------
    stops : sequence of int
        End of each further chunk; each begins where the one before ends.
    rate : float or None
        Positions per second of one process.
    warnings : tuple of dict
        What the evaluator found to say.
    """

    stops: tuple[int, ...]
    rate: float | None = None
    warnings: tuple[dict[str, Any], ...] | None = None


class Messages(NamedTuple):
    """What is to be sent for a sweep now.

    Parameters
    ----------
    chunks : tuple of int
        Indexes of chunks, marked as sent.
    is_complete : bool
        No chunk is left to compute: the finaliser is due.
    """

    chunks: tuple[int, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class FinishClaim:
    """The right to finalise a sweep until the lease ends; `attempt` is the token."""

    sweep_id: str
    attempt: int
    spec: dict[str, Any]


@dataclass(frozen=True, slots=True)
class QueryRecord:
    """A question about a sweep's numbers that a worker answers.

    Parameters
    ----------
    n_chunks_done : int
        Chunks that the answer covers, or, before it is there, had been done when it was asked.
    result : object
        The answer once `state` is ``done``; JSON-safe.
    error : dict or None
        ``code``, ``message``, ``errors`` once `state` is ``failed``.
    """

    query_id: str
    sweep_id: str
    kind: str
    args: dict[str, Any]
    state: QueryState
    attempt: int
    n_chunks_done: int
    result: Any
    error: dict[str, Any] | None
