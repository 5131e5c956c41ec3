"""What is counted, under which name: workers add, `/metrics` reads.

Each metric has a fixed set of label values, so that it costs a fixed number of rows, and a scrape
shows all of them from the start, zeros included: a rate needs a first value.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from storage.counters import CounterKey

if TYPE_CHECKING:
    from storage.store import Store

PREFIX = "stock_backtest_"


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric.

    Parameters
    ----------
    name : str
        Without the common prefix and without Prometheus' suffix.
    labels : tuple of (str, tuple of str)
        Names, each with all its values.
    bounds : tuple of float
        Upper ends of a histogram's buckets; empty for a plain count.
    """

    name: str
    text: str
    labels: tuple[tuple[str, tuple[str, ...]], ...]
    bounds: tuple[float, ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels, in order."""
        return tuple(name for name, _ in self.labels)

    def list_label_values(self) -> list[tuple[str, ...]]:
        """Return every combination of label values."""
        return list(product(*(values for _, values in self.labels)))


RUN_SECONDS = Measure(
    "run_seconds",
    "Time from the claim of a run to its end, charts included",
    (("outcome", ("succeeded", "failed", "cancelled", "lost")),),
    (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0),
)
CHUNK_SECONDS = Measure(
    "chunk_seconds",
    "Time from the claim of a sweep's chunk to its end",
    (("outcome", ("done", "failed", "lost")),),
    (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 10.0, 60.0, 600.0),
)
SWEEP_SECONDS = Measure(
    "sweep_finish_seconds",
    "Time that the finaliser of a sweep took",
    (("outcome", ("succeeded", "failed", "lost")),),
    (0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0),
)
ATTEMPTS = Measure(
    "attempts",
    "Claims of work; again: it had been claimed before",
    (("kind", ("run", "chunk", "finish")), ("again", ("no", "yes"))),
)
DUPLICATES = Measure(
    "duplicate_deliveries",
    "Messages that found their work done, ended or in other hands",
    (("kind", ("run", "chunk", "finish")),),
)
REPAIRS = Measure(
    "maintenance_actions",
    "What maintenance put right",
    (
        (
            "action",
            (
                "run_requeued",
                "run_given_up",
                "run_sent_again",
                "chunk_requeued",
                "chunk_given_up",
                "chunk_released",
                "purged",
            ),
        ),
    ),
)
NOTICES = Measure(
    "notices",
    "Messages about ended sweeps",
    (("outcome", ("sent", "failed")),),
)

MEASURES = (
    RUN_SECONDS,
    CHUNK_SECONDS,
    SWEEP_SECONDS,
    ATTEMPTS,
    DUPLICATES,
    REPAIRS,
    NOTICES,
)


def count(store: Store, measure: Measure, *labels: str, n: int = 1) -> None:
    """Add `n` to a plain count."""
    if n:
        store.counters.add(_build_key(measure, labels, ""), n)


def observe(store: Store, measure: Measure, seconds: float, *labels: str) -> None:
    """Put one duration into a histogram."""
    bucket = bisect_left(measure.bounds, seconds)
    store.counters.add(_build_key(measure, labels, str(bucket)))
    store.counters.add(_build_key(measure, labels, "sum"), seconds)


def _build_key(measure: Measure, labels: tuple[str, ...], part: str) -> CounterKey:
    for (name, values), value in zip(measure.labels, labels, strict=True):
        if value not in values:
            raise ValueError(f"{measure.name} knows no {name} {value!r}")
    return CounterKey(measure.name, ",".join(labels), part)
