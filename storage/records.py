"""What repositories take and return: plain frozen records, detached from any connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple, Protocol

RunState = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Heartbeat = Literal["ok", "cancelled", "lost"]
# What becomes of work whose process was seen to end: done again, given up, or not its any more.
LostRun = Literal["queued", "failed"] | None

TERMINAL_STATES: frozenset[str] = frozenset({"succeeded", "failed", "cancelled"})


class DatasetContent(Protocol):
    """What `datasets.add` needs of a parsed file.

    `columns` maps ``timestamps`` (int64 UTC nanoseconds), ``open``, ``high``, ``low``, ``close``,
    ``volume`` and ``adj_factor`` (float64) to zstd-compressed little-endian arrays of `n_bars`.
    """

    @property
    def sha256(self) -> str:
        """Hash of the bars before adjustment."""
        ...

    @property
    def n_bars(self) -> int:
        """Length of every column."""
        ...

    @property
    def first_ns(self) -> int:
        """First time stamp, UTC nanoseconds."""
        ...

    @property
    def last_ns(self) -> int:
        """Last time stamp, UTC nanoseconds."""
        ...

    @property
    def spacing(self) -> str:
        """One of intraday, daily, weekly, monthly."""
        ...

    @property
    def periods_per_year(self) -> float:
        """Bars per year."""
        ...

    @property
    def has_adjustment(self) -> bool:
        """Whether any adjustment factor differs from 1."""
        ...

    @property
    def warnings(self) -> Sequence[Mapping[str, Any]]:
        """Findings, JSON-safe."""
        ...

    @property
    def columns(self) -> Mapping[str, bytes]:
        """Compressed columns by name."""
        ...


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """One version of a symbol, and the content it points to.

    Parameters
    ----------
    id : str
        UUID of this version.
    version : int
        1 for the first upload of the symbol, then counting.
    sha256 : str
        Hash of the bars before adjustment; runs are pinned to it.
    first_ns, last_ns : int
        First and last time stamp. [UTC nanoseconds]
    warnings : tuple of dict
        Each with ``code``, ``message``, ``count``, ``first``.
    n_bytes : int
        What its bars take in the database, compressed.
    tags : tuple of str
        Of the symbol: all its versions have the same.
    """

    id: str
    symbol: str
    version: int
    sha256: str
    n_bars: int
    first_ns: int
    last_ns: int
    spacing: str
    periods_per_year: float
    has_adjustment: bool
    warnings: tuple[dict[str, Any], ...]
    file_name: str
    created_at: datetime
    n_bytes: int
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DatasetUses:
    """What stands on a dataset, newest first.

    Parameters
    ----------
    runs, sweeps : tuple of str
        Ids of the newest of them.
    n_runs, n_sweeps : int
        How many there are.
    """

    runs: tuple[str, ...]
    n_runs: int
    sweeps: tuple[str, ...]
    n_sweeps: int

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.n_runs or self.n_sweeps)


@dataclass(frozen=True, slots=True)
class PresetRecord:
    """A saved form: everything of a run but its result."""

    id: str
    name: str
    body: dict[str, Any]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be stored as queued.

    Parameters
    ----------
    run_id : str
        UUID4, chosen by the caller, so that inserting twice stores once.
    spec : dict
        ``RunSpec.to_json_dict()``; the dataset is taken from ``spec["dataset"]["sha256"]``.
    idempotency_key : str or None
        At most 255 characters.
    request_hash : str
        SHA-256 of the request that `idempotency_key` stands for.
    """

    run_id: str
    fingerprint: str
    spec: dict[str, Any]
    symbol: str
    rule: str
    tags: tuple[str, ...] = ()
    note: str = ""
    idempotency_key: str | None = None
    request_hash: str = ""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run without its result; times are aware and UTC.

    Parameters
    ----------
    progress : float
        Share of the work that is done, 0 to 1.
    metrics : dict or None
        The metrics of the summary once the run succeeded; undefined ones are None.
    error : dict or None
        Why the run failed, as given to `runs.fail`.
    attempt : int
        How often the run was started; the fencing token of its latest claim.
    has_charts : bool
        Whether the four charts are stored; they follow the result.
    version : int
        Grows with every change a reader can see, so that it makes an ETag. The position in the
        queue is not part of it.
    """

    run_id: str
    state: RunState
    progress: float
    stage: str
    fingerprint: str
    spec: dict[str, Any]
    symbol: str
    rule: str
    metrics: dict[str, Any] | None
    error: dict[str, Any] | None
    attempt: int
    submitted_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    tags: tuple[str, ...]
    note: str
    has_charts: bool
    version: int


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs to list, and how.

    Parameters
    ----------
    sort : str
        A name of `storage.run_list.SORT_KEYS`; a leading minus sorts descending. Runs without a
        value come last either way.
    limit : int
        1 to 200.
    cursor : str or None
        `Page.next_cursor` of the page before, with the same sort and filters.
    """

    state: str | None = None
    symbol: str | None = None
    rule: str | None = None
    tag: str | None = None
    sort: str = "-submitted_at"
    limit: int = 50
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of runs; `next_cursor` is None on the last one."""

    items: tuple[RunRecord, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to compute a run until the lease ends; `attempt` is the token that proves it."""

    run_id: str
    attempt: int
    spec: dict[str, Any]


class ExpiredLeases(NamedTuple):
    """Ids of runs whose worker fell silent: queued again, or failed for good."""

    requeued: tuple[str, ...]
    failed: tuple[str, ...]
