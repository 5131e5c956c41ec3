"""Counts of what happened, kept by the database for all processes together.

A scrape reaches one web process, and what it counts happens in workers that come and go: so each
process adds what it saw to rows that any other can read. They are for people who watch, and
nothing is decided by them: a process that is killed takes its last seconds with it.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import NamedTuple

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from storage.errors import SchemaError, StorageUnavailable
from storage.models import counters
from storage.repository import Repository

_FLUSH_SECONDS = 2.0


class CounterKey(NamedTuple):
    """One number.

    Parameters
    ----------
    name : str
        Of the metric.
    labels : str
        Values of its labels, joined by commas.
    part : str
        Empty for a plain count; of a histogram ``sum``, or the number of the bucket.
    """

    name: str
    labels: str
    part: str


class CounterRepository(Repository):
    """Adding to counts, and reading them; see `Repository`.

    Additions are collected in memory and written together, by a thread that ends once there is
    nothing left: a run adds five numbers, and a busy worker would otherwise wait for five locks.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._waiting: defaultdict[CounterKey, float] = defaultdict(float)
        self._timer: threading.Timer | None = None

    def add(self, key: CounterKey, amount: float = 1.0) -> None:
        """Count; stored within seconds, or by the next `flush`. Never raises, never waits."""
        with self._lock:
            self._waiting[key] += amount
            self._schedule()

    def flush(self) -> None:
        """Store what was counted.

        Raises
        ------
        StorageUnavailable
            If the database cannot be reached; nothing is lost, the next call stores it.
        """
        with self._flushing:  # who calls it while another thread writes waits for that
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            amounts = sorted(self._waiting.items())  # in one order: no two flushes can deadlock
            self._waiting.clear()

        def work(connection: Connection) -> None:
            for key, amount in amounts:
                _add(connection, key, amount)

        if not amounts:
            return
        try:
            try:
                self._write(work)
            except IntegrityError:  # another process inserted the same row just now
                self._write(work)
        except BaseException:
            with self._lock:
                for key, amount in amounts:
                    self._waiting[key] += amount
            raise

    def load(self) -> dict[CounterKey, float]:
        """Return all counts that are stored."""
        query = select(counters.c.name, counters.c.labels, counters.c.part, counters.c.value)
        rows = self._read(lambda connection: connection.execute(query).all())
        return {CounterKey(row.name, row.labels, row.part): row.value for row in rows}

    def _schedule(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(_FLUSH_SECONDS, self._flush_later)
            self._timer.daemon = True
            self._timer.start()

    def _flush_later(self) -> None:
        with self._lock:
            self._timer = None
        try:
            self.flush()
        except (StorageUnavailable, SchemaError):
            # Whoever needs the database says so; counts wait until it is back.
            with self._lock:
                self._schedule()


def _add(connection: Connection, key: CounterKey, amount: float) -> None:
    mine = (
        counters.c.name == key.name,
        counters.c.labels == key.labels,
        counters.c.part == key.part,
    )
    statement = update(counters).where(*mine).values(value=counters.c.value + amount)
    if connection.execute(statement).rowcount == 0:
        connection.execute(insert(counters).values(**key._asdict(), value=amount))
