"""Whether anything has changed about a run: the cheapest question there is.

Most requests are polls that end in 304. They read two numbers through a statement that is built
once, instead of a whole row with its documents.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, bindparam, func, select

from storage.database import run_transaction
from storage.models import runs

_STATE = select(runs.c.id, runs.c.state, runs.c.version).where(runs.c.run_id == bindparam("run_id"))
_AHEAD = select(func.count()).where(runs.c.state == "queued").where(runs.c.id < bindparam("number"))
_WAITING = select(func.count()).where(runs.c.state == "queued")


@dataclass(frozen=True, slots=True)
class RunPulse:
    """What tells one answer to a poll from another.

    Parameters
    ----------
    queue_position : int or None
        1 is next; None unless the run is queued.
    queue_length : int or None
        Runs that wait, this one among them; None unless the run is queued.
    """

    state: str
    version: int
    queue_position: int | None
    queue_length: int | None = None

    @property
    def etag(self) -> str:
        """Differs whenever the answer does; the queue changes without the run's version."""
        return f"{self.version}.{self.queue_position or 0}.{self.queue_length or 0}"


def load_pulse(engine: Engine, run_id: str) -> RunPulse | None:
    """Return the pulse of a run, or None if there is no such run.

    Raises
    ------
    StorageUnavailable
        If the database cannot be reached.
    """

    def work(connection: Connection) -> RunPulse | None:
        row = connection.execute(_STATE, {"run_id": run_id}).one_or_none()
        if row is None:
            return None
        if row.state != "queued":
            return RunPulse(row.state, row.version, None)
        position = 1 + (connection.scalar(_AHEAD, {"number": row.id}) or 0)
        # Runs may have left between the two counts; this one is still counted.
        length = max(position, connection.scalar(_WAITING) or 0)
        return RunPulse(row.state, row.version, position, length)

    return run_transaction(engine, work, writes=False)
