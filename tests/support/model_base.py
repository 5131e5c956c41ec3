"""What the models of runs and of sweeps share: stores of their own, steps, races, time that passes.

A model draws random steps and takes each against a real database, alone or several at the same
instant from threads with connections of their own, as processes have. After every step it reads the
rows and holds them against what must be true at any time. It knows what one step may change; of a
race it knows only that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from sqlalchemy import Table, delete, update

from storage.database import create_database
from storage.models import metadata
from storage.store import Store
from tests.support.storage_samples import run_at_once

MAX_ATTEMPTS = 3
LEASE_SECONDS = 3600.0
# Threads of a race.
N_STORES = 3
# Chooses among what there is at that moment, the newest most often, so that steps meet on one row.
INDEX = st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3, 4, 5])
EXITS = st.sampled_from(["signal 9 (SIGKILL)", "signal 11 (SIGSEGV)", "exit code 1"])


@dataclass(frozen=True)
class Step:
    """One thing that somebody does, ready to be done on any connection."""

    name: str
    act: Callable[[Store], Any]
    # Told what came of it, once, from the model's own thread.
    note: Callable[[Any], None] = lambda outcome: None


class Model(RuleBasedStateMachine):
    """A machine over open stores; subclasses build steps and check rows."""

    stores: Sequence[Store]
    # Transitions that single steps took, over all examples.
    seen: set[tuple[Any, ...]]
    # What the database said after the last step.
    rows: Any

    def take(self, step: Step | None) -> None:
        """Take one step alone, and check what it changed."""
        if step is None:
            return
        before = self.rows
        outcome = step.act(self.stores[0])
        step.note(outcome)
        self.rows = self.read()
        self.check_step(step.name, outcome, before, self.rows)

    def race(self, steps: Sequence[Step | None]) -> None:
        """Take several steps at the same instant, each on connections of its own."""
        ready = [step for step in steps if step is not None]
        if not ready:
            return
        before = self.rows
        pairs = list(zip(ready, self.stores, strict=False))
        outcomes = run_at_once(lambda pair: pair[0].act(pair[1]), pairs)
        for step, outcome in zip(ready, outcomes, strict=True):
            step.note(outcome)
        self.rows = self.read()
        self.check_race(before, self.rows)

    def let_time_pass(self, table: Table, *conditions: Any) -> None:
        """End leases by the only clock that counts, that of the rows."""
        long_ago = datetime(2000, 1, 1, tzinfo=UTC)
        write(self.stores[0], update(table).where(*conditions).values(lease_until=long_ago))
        self.rows = self.read()

    def read(self) -> Any:
        raise NotImplementedError

    def check_step(self, name: str, outcome: Any, before: Any, after: Any) -> None:
        raise NotImplementedError

    def check_race(self, before: Any, after: Any) -> None:
        raise NotImplementedError


def write(store: Store, statement: Any) -> None:
    with store.engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(statement)


def clear(store: Store) -> None:
    for table in reversed(metadata.sorted_tables):
        write(store, delete(table))


@contextmanager
def open_stores(url: str) -> Iterator[Sequence[Store]]:
    stores = [Store(create_database(url)) for _ in range(N_STORES)]
    try:
        clear(stores[0])
        yield stores
    finally:
        for store in stores:
            store.engine.dispose()


def run_model(
    model: type[Model], url: str, *, n_examples: int, repeat: bool
) -> set[tuple[Any, ...]]:
    """Run a model against a database; return the transitions that were taken.

    Parameters
    ----------
    repeat : bool
        The same interleavings every time, for a suite that must not change by itself; otherwise
        others each time.
    """
    with open_stores(url) as stores:
        bound = type(model.__name__, (model,), {"stores": stores, "seen": set()})
        run_state_machine_as_test(
            bound,
            settings=settings(
                max_examples=n_examples,
                stateful_step_count=60,
                derandomize=repeat,
                database=None,
                deadline=None,
                print_blob=True,
                # Races need not happen again: explaining a failure is left to its steps.
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            ),
        )
    return bound.seen
