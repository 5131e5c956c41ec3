"""What a scrape shows beyond this process: the work that is stored, the broker, the workers.

Nothing of it is kept here. Any web process answers the same, however many there are, as workers
and maintenance count into the database; see `tasks.measures`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from storage.counters import CounterKey
from storage.errors import SchemaError, StorageUnavailable
from storage.store import Store
from storage.watch import StoredWork
from tasks.logs import get_logger
from tasks.measures import MEASURES, PREFIX, Measure
from tasks.queue_depth import count_waiting
from tasks.settings import Settings

Counts = Mapping[CounterKey, float]


class _Families:
    """A collector of families that exist already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def render_platform(store: Store, settings: Settings) -> bytes:
    """Return the platform's metrics in Prometheus' text format.

    A database or broker that is down is itself a metric; what only it knows is left out then.
    """
    registry = CollectorRegistry(auto_describe=False)
    families = [*_read_database(store), *_read_broker(settings)]
    registry.register(_Families(families))
    return generate_latest(registry)


def _read_database(store: Store) -> list[Metric]:
    up = GaugeMetricFamily(f"{PREFIX}database_up", "Whether the database answered this scrape")
    try:
        work, counts = store.watch.look(), store.counters.load()
    except (StorageUnavailable, SchemaError) as error:
        get_logger(__name__).warning("metrics_without_database", reason=str(error))
        up.add_metric([], 0)
        return [up]
    up.add_metric([], 1)
    return [up, *_build_gauges(work), *(_build_family(item, counts) for item in MEASURES)]


def _read_broker(settings: Settings) -> list[Metric]:
    if not settings.broker_url:
        return []
    up = GaugeMetricFamily(f"{PREFIX}broker_up", "Whether the broker answered this scrape")
    waiting = count_waiting(settings)
    up.add_metric([], 0 if waiting is None else 1)
    if waiting is None:
        return [up]
    text = "Messages in the broker: waiting in a queue, or handed out and not acknowledged"
    depth = GaugeMetricFamily(f"{PREFIX}queue_messages", text, labels=["queue"])
    for queue, number in waiting.items():
        depth.add_metric([queue], number)
    return [up, depth]


def _build_gauges(work: StoredWork) -> list[Metric]:
    gauges: list[Metric] = []
    for name, counts in (("runs", work.runs), ("sweeps", work.sweeps), ("chunks", work.chunks)):
        gauge = GaugeMetricFamily(f"{PREFIX}{name}", f"Stored {name}", labels=["state"])
        for state, number in counts.items():
            gauge.add_metric([state], number)
        gauges.append(gauge)
    text = "Age of the oldest run that waits for a worker; 0 if none waits"
    oldest = GaugeMetricFamily(f"{PREFIX}oldest_queued_seconds", text)
    oldest.add_metric([], work.oldest_queued_seconds)
    return [*gauges, oldest]


def _build_family(measure: Measure, counts: Counts) -> Metric:
    name = PREFIX + measure.name
    if measure.bounds:
        histogram = HistogramMetricFamily(name, measure.text, labels=measure.label_names)
        for labels in measure.list_label_values():
            buckets, total = _read_histogram(measure, labels, counts)
            histogram.add_metric(labels, buckets, total)
        return histogram
    counter = CounterMetricFamily(name, measure.text, labels=measure.label_names)
    for labels in measure.list_label_values():
        counter.add_metric(labels, counts.get(CounterKey(measure.name, ",".join(labels), ""), 0.0))
    return counter


def _read_histogram(
    measure: Measure, labels: tuple[str, ...], counts: Counts
) -> tuple[list[tuple[str, float]], float]:
    """Return (upper bound, how many are not above it) for each bucket, and the sum of all."""
    joined = ",".join(labels)
    names = [*(f"{bound:g}" for bound in measure.bounds), "+Inf"]
    buckets: list[tuple[str, float]] = []
    so_far = 0.0
    for number, name in enumerate(names):
        so_far += counts.get(CounterKey(measure.name, joined, str(number)), 0.0)
        buckets.append((name, so_far))
    return buckets, counts.get(CounterKey(measure.name, joined, "sum"), 0.0)
