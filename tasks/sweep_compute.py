"""Positions of a sweep in, headline metrics out: what workers and the command line compute with.

Knows neither queue nor database. A single run of any combination (`tasks.compute`) gives the same
numbers; the same bars, rule and settings go into both.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.sweep_columns import HEADLINE_METRICS, STATUS_EXCLUDED
from backtest.bars import Bars, DataWarning, build_bars, compute_dataset_hash
from rules.base_rule import get_rule, list_rules
from rules.sweep_spec import SweepRequest, SweepSpec, parse_sweep_request, pin_sweep_request
from tasks.compute import build_dataset_ref
from tasks.logs import get_logger
from tasks.sweep_market import SweepMarket

log = get_logger(__name__)

FloatArray = NDArray[np.float64]
LoadBars = Callable[[str], tuple[Bars, Sequence[DataWarning]]]

# A tile is what is computed at a stroke: large against the cost of a few dozen numpy calls, small
# against memory; its time, about 10 ms of daily bars, is how fast a sweep can be stopped.
_TILE_POINTS = 16_384
_TILE_STEPS = 128_000_000  # bars x points
# Datasets are kept until their bars, tables and rows take about this much.
_MARKET_BYTES = 128 * 2**20
_BYTES_PER_BAR = 200


@dataclass(frozen=True, slots=True)
class SweepBlock:
    """Results of consecutive positions.

    Parameters
    ----------
    first : int
        The first position.
    points : ndarray of int64, shape (n,)
        Index of each in the search space.
    metrics : ndarray of float64, shape (n, 13)
        `HEADLINE_METRICS`, column by column in memory; NaN where undefined, excluded or failed.
    status : ndarray of uint8, shape (n,)
        Codes of `adapters.sweep_columns`.
    """

    first: int
    points: NDArray[np.int64]
    metrics: FloatArray
    status: NDArray[np.uint8]

    @property
    def n_excluded(self) -> int:
        """Points that a constraint leaves out."""
        return int(np.count_nonzero(self.status == STATUS_EXCLUDED))

    @property
    def n_combinations(self) -> int:
        """Points that are combinations, failed ones included."""
        return self.status.size - self.n_excluded

    @property
    def n_failed(self) -> int:
        """Combinations without results."""
        return int(np.count_nonzero(self.status > STATUS_EXCLUDED))


class SweepEvaluator:
    """Computes any positions of a sweep; threads may share one.

    Parameters
    ----------
    spec : SweepSpec
    load : callable
        ``load(sha256)`` returns the whole dataset as stored, before adjustment, and what was
        noticed when it was read.

    Raises
    ------
    LookupError
        If the rule is not registered.
    """

    def __init__(self, spec: SweepSpec, load: LoadBars) -> None:
        rule = get_rule(spec.rule)
        if rule is None:
            raise LookupError(f"rule {spec.rule!r} is not registered")
        self._spec, self._rule, self._load = spec, rule, load
        self._space, self._order = spec.build_space(), spec.build_order()
        longest = max(dataset.n_bars for dataset in spec.datasets)
        self._tile = max(1, min(_TILE_POINTS, _TILE_STEPS // longest))
        self._lock = threading.Lock()
        self._markets: OrderedDict[int, SweepMarket] = OrderedDict()
        # Of each dataset used so far, what its file told, until somebody asks or it is dropped.
        self._from_file: dict[int, Sequence[DataWarning]] = {}
        self._data_warnings: dict[int, list[dict[str, Any]]] = {}
        self.has_hook = bool(rule.signal_parts())

    @property
    def warnings(self) -> list[dict[str, Any]]:
        """What a person should know: about the rule, and about the datasets used so far."""
        found: list[dict[str, Any]] = []
        if not self.has_hook:
            message = (
                f"rule {self._spec.rule} has no sweep hook: it is computed once for each of its "
                "parameter sets, which is slower"
            )
            warning = DataWarning("rule_without_hook", message, 1, None)
            found.append(asdict(warning))
        with self._lock:
            for dataset in list(self._from_file):
                self._note_warnings(dataset)
            for dataset in sorted(self._data_warnings):
                found += self._data_warnings[dataset]
        return found

    def prepare(self) -> None:
        """Load the datasets, as many as are kept, and what their combinations share."""
        for dataset in range(len(self._spec.datasets)):
            self._get_market(dataset)
            if len(self._markets) <= dataset:
                return

    def evaluate(
        self,
        first: int,
        stop: int,
        points: NDArray[np.int64] | None = None,
        on_tile: Callable[[], None] | None = None,
    ) -> SweepBlock:
        """Compute the positions [first, stop).

        Parameters
        ----------
        first, stop : int
        points : ndarray of int64, shape (stop - first,), optional
            Points at these positions; needed if the search is adaptive.
        on_tile : callable, optional
            Called now and then, at least every 16,384 positions; it may raise to stop.

        Raises
        ------
        InputError
            If the date range holds no bars of a dataset.

        Notes
        -----
        A combination that cannot be computed fails alone. The bits of a result depend neither on
        `first` and `stop` nor on what was computed before.
        """
        n = stop - first
        # Column-major: results are stored and compressed metric by metric.
        metrics = np.empty((n, len(HEADLINE_METRICS)), order="F")
        status = np.zeros(n, dtype=np.uint8)
        visited = np.empty(n, dtype=np.int64)
        for start in range(0, n, self._tile):
            tile = slice(start, min(start + self._tile, n))
            if points is None:
                visited[tile] = self._order.points(first + tile.start, first + tile.stop)
            else:
                visited[tile] = points[tile]
            self._evaluate_tile(visited[tile], metrics[tile], status[tile])
            if on_tile is not None:
                on_tile()
        return SweepBlock(first, visited, metrics, status)

    def _evaluate_tile(
        self, points: NDArray[np.int64], metrics: FloatArray, status: NDArray[np.uint8]
    ) -> None:
        """Fill the rows of some points."""
        admitted = self._space.admitted(points)
        digits = self._space.digits(points)
        status[~admitted] = STATUS_EXCLUDED
        metrics[~admitted] = np.nan
        several = len(self._spec.datasets) > 1
        datasets = np.unique(digits[0, admitted]).tolist() if several else [0]
        for dataset in datasets:
            chosen = admitted & (digits[0] == dataset) if several else admitted
            if chosen.all():
                metrics[:], status[:] = self._get_market(dataset).compute(digits)
            elif chosen.any():
                found = self._get_market(dataset).compute(digits[:, chosen])
                metrics[chosen], status[chosen] = found

    def _get_market(self, number: int) -> SweepMarket:
        with self._lock:
            market = self._markets.get(number)
            if market is None:
                dataset = self._spec.datasets[number]
                bars, from_file = self._load(dataset.sha256)
                market = SweepMarket(self._spec, self._rule, dataset, bars)
                if number not in self._data_warnings:
                    self._from_file[number] = from_file
            self._markets[number] = market
            self._markets.move_to_end(number)
            while len(self._markets) > 1 and self._count_bytes() > _MARKET_BYTES:
                dropped = next(iter(self._markets))
                self._note_warnings(dropped)
                del self._markets[dropped]
            return market

    def _note_warnings(self, number: int) -> None:
        """Write down what to say of a dataset; with the lock held."""
        from_file = self._from_file.pop(number, None)
        if from_file is None:
            return
        several = len(self._spec.datasets) > 1
        prefix = f"{self._spec.datasets[number].symbol}: " if several else ""
        self._data_warnings[number] = [
            {**asdict(item), "message": prefix + item.message}
            for item in self._markets[number].collect_warnings(from_file)
        ]

    def _count_bytes(self) -> int:
        return sum(_BYTES_PER_BAR * market.n_bars for market in self._markets.values())


def read_objective(spec: SweepSpec, block: SweepBlock) -> FloatArray:
    """Return the objective of each position, shape (n,); NaN also where it may not be ranked."""
    objective = block.metrics[:, HEADLINE_METRICS.index(spec.objective)].copy()
    n_trades = block.metrics[:, HEADLINE_METRICS.index("n_trades")]
    objective[~(n_trades >= spec.min_trades)] = np.nan
    return objective


def build_local_sweep_spec(
    request: SweepRequest, datasets: Sequence[tuple[str, Bars]]
) -> SweepSpec:
    """Pin a request to bars in memory.

    Parameters
    ----------
    datasets : sequence of (str, Bars)
        Symbol and whole dataset, in the order of the request.
    """
    refs = [
        build_dataset_ref(
            symbol,
            compute_dataset_hash(bars),
            bars.n_bars,
            int(bars.timestamps[0]),
            int(bars.timestamps[-1]),
            bars.spacing,
            adjusted=request.adjust and bars.has_adjustment,
        )
        for symbol, bars in datasets
    ]
    return pin_sweep_request(request, refs)


def warm_sweep_kernels(names: Sequence[str] = ()) -> list[str]:
    """Load, or compile once per machine, what sweeps of every registered rule, or of `names`, need.

    Computes two combinations of each on made-up bars: cheap once kernels are cached on disk.
    Returns the rules that could not be computed.
    """
    n_bars = 300
    # [days] * [hours / day] * [seconds / hour] * [ns / second] = [ns]
    timestamps = np.arange(n_bars, dtype=np.int64) * 24 * 3600 * 1_000_000_000
    close = 100.0 + 10.0 * np.sin(np.arange(n_bars) / 5.0)
    loaded = build_bars(timestamps, close, close + 1.0, close - 1.0, close)
    failed = []
    for rule in list_rules():
        name = rule.metadata.name
        if names and name not in names:
            continue
        try:
            request = parse_sweep_request(
                {"dataset": "WARM", "rule": name, "trading": {"stop_loss": "off,0.05"}}
            )
            spec = build_local_sweep_spec(request, [("WARM", loaded[0])])
            SweepEvaluator(spec, lambda _: loaded).evaluate(0, 2)
        except Exception:  # of a rule that somebody added: its own sweeps fail, others go on
            log.exception("rule_not_warmed", rule=name)
            failed.append(name)
    return failed
