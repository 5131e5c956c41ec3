"""What everything above an executor knows of it: how work is handed over, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from storage.store import Store

WorkKind = Literal["run", "sweep", "query"]
# A finaliser or an answer that does not begin within this long is sent for again.
RESEND_SECONDS = 5.0
# Work that is looked at in one pass of whatever repairs.
BATCH = 1000


class ExecutorUnavailable(Exception):
    """New work cannot be taken on now; nothing was stored, and the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class ExecutorHealth:
    """What an executor says of what it depends on.

    Parameters
    ----------
    broker : {"ok", "unreachable", "unused"}
        The message broker.
    workers : int or None
        Workers that answered; None if none are needed, or nobody could be asked.
    reasons : sequence of str
        A sentence for everything else that keeps accepted work waiting.
    """

    broker: str
    workers: int | None = None
    reasons: Sequence[str] = ()


class Executor(Protocol):
    """One way to get accepted work done; `tests/contract/test_executors.py` holds all to it.

    The database is the truth: an executor is told of work that is stored as queued, may be told any
    number of times, and may lose it; then it finds it again.
    """

    def check_ready(self) -> None:
        """Return if new work may be stored.

        Raises
        ------
        ExecutorUnavailable
            If it had better be refused than stored.
        """
        ...

    def send_run(self, store: Store, run_id: str) -> bool:
        """Hand over a queued run; False if that failed, which is logged and tried again later."""
        ...

    def send_sweep(self, store: Store, sweep_id: str) -> bool:
        """Hand over whatever is due of a sweep now; see `send_run`."""
        ...

    def send_query(self, store: Store, query_id: str) -> bool:
        """Hand over a question about a sweep's numbers; see `send_run`."""
        ...

    def find_lost_runs(self, store: Store) -> tuple[str, ...]:
        """Return queued runs that were handed over, and got lost on the way."""
        ...

    def repair_sweeps(self, store: Store) -> None:
        """Hand over again whatever of sweeps got lost on the way."""
        ...

    def forget(self, kind: WorkKind, work_id: str) -> None:
        """Note that work has ended or is no longer wanted: what executes it may go.

        Returns at once and raises nothing: it is called from requests.
        """
        ...

    def clear(self, kind: WorkKind, work_id: str) -> None:
        """Remove what is left of an earlier, failed execution, before work is queued again.

        Raises
        ------
        ExecutorUnavailable
            If that cannot be done now.
        """
        ...

    def start(self) -> None:
        """Begin what goes on in the background of each web process, if anything does."""
        ...

    def check_health(self, *, count_workers: bool) -> ExecutorHealth:
        """Ask what this executor depends on; `count_workers` may take a second or two."""
        ...

    def describe_log(self, kind: WorkKind, work_id: str) -> str:
        """Return where a person finds the log of what executed this work."""
        ...
