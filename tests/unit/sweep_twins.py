"""Slow, obvious twins of the analyses of sweeps, and small sweeps to compare them on."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from adapters.sweep_columns import (
    HEADLINE_METRICS,
    METRIC_SIGN,
    STATUS_EXCLUDED,
    ColumnChunk,
    MemoryColumns,
)
from rules.spec import DatasetRef, TradingSpec
from rules.sweep_spec import SweepSpec

PARAMS = {"window": 14, "oversold": 30.0, "overbought": 70.0, "trigger": "enter_zone"}
LEVELS: dict[str, list[Any]] = {
    "window": ["3", "2,5,3", "4:2:-1", "2:5"],
    "oversold": ["30", "20:40:10", "20.5,10.25"],
    "trigger": [["enter_zone"], ["exit_zone", "enter_zone"]],
    "stop_loss": ["off", "off,0.1,0.05", "0.1,off"],
    "direction": [["long_only"], ["long_only", "short_only", "long_short"]],
}
TRADING = ("stop_loss", "direction")


class GappyColumns(MemoryColumns):
    """Columns of a sweep of which some chunks are still to come."""

    def __init__(self, *args: Any, missing: frozenset[int] = frozenset(), **rest: Any) -> None:
        super().__init__(*args, **rest)
        self.missing = missing

    def read(self, names: Sequence[str]) -> Iterator[ColumnChunk]:
        for i, chunk in enumerate(super().read(names)):
            if i not in self.missing:
                yield chunk


@dataclass
class Sweep:
    spec: SweepSpec
    columns: GappyColumns
    rows: list[dict[str, Any]]  # position, point, status, values (by axis), digits, every metric

    def eligible(self, metric: str, min_trades: int = 0) -> list[dict[str, Any]]:
        return [
            row
            for row in self.rows
            if not math.isnan(row[metric]) and (min_trades <= 0 or row["n_trades"] >= min_trades)
        ]

    def rank(self, metric: str, sign: int, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return sorted(rows, key=lambda row: (-sign * row[metric], row["position"]))


def build_spec(
    space: dict[str, Any], *, n_datasets: int = 1, method: str = "grid", n: int = 0, **rest: Any
) -> SweepSpec:
    datasets = [
        DatasetRef(
            symbol=f"S{i}", sha256=f"{i:064x}", n_bars=9, start="2000", end="2001", adjusted=True
        ).model_dump()
        for i in range(n_datasets)
    ]
    search: dict[str, Any] = {"method": method}
    if method != "grid":
        search["n"] = max(n, 1)
    return SweepSpec.from_json(
        {
            "datasets": datasets,
            "rule": "rsi",
            "space": {name: value for name, value in space.items() if name not in TRADING},
            "trading_space": {name: value for name, value in space.items() if name in TRADING},
            "params": PARAMS,
            "trading": TradingSpec().model_dump(),
            "where": [],
            "objective": "sharpe",
            "min_trades": 0,
            "search": search,
            "start": None,
            "end": None,
            "n_positions": n,
            "n_combinations": None,
            **rest,
        }
    )


def build_sweep(
    spec: SweepSpec,
    points: Sequence[int],
    status: Sequence[int],
    metrics: dict[str, Any],
    chunk_size: int = 65_536,
    missing: frozenset[int] = frozenset(),
) -> Sweep:
    point_array, status_array = np.array(points, dtype=np.int64), np.array(status, dtype=np.uint8)
    arrays = {name: np.array(metrics[name], dtype=np.float64) for name in HEADLINE_METRICS}
    for values in arrays.values():
        values[status_array != 0] = np.nan
    space = spec.build_space()
    digits = space.digits(point_array)
    rows = [
        {
            "position": i,
            "point": point,
            "status": status[i],
            "values": space[point],
            "digits": dict(zip([axis.name for axis in space.axes], digits[:, i], strict=True)),
            **{name: float(values[i]) for name, values in arrays.items()},
        }
        for i, point in enumerate(points)
        if i // chunk_size not in missing
    ]
    columns = GappyColumns(point_array, status_array, arrays, chunk_size, missing=missing)
    return Sweep(spec, columns, rows)


@st.composite
def sweeps(draw: st.DrawFn, min_axes: int = 0) -> Sweep:
    """Small sweeps with ties, gaps, undefined, excluded and failed combinations."""
    names = draw(
        st.lists(st.sampled_from(list(LEVELS)), min_size=min_axes, max_size=3, unique=True)
    )
    space = {name: draw(st.sampled_from(LEVELS[name][1:])) for name in names}
    method = draw(st.sampled_from(["grid", "random", "adaptive"]))
    n_datasets = draw(st.integers(1, 2))
    n_points = build_spec(space, n_datasets=n_datasets).build_space().n_points
    points = list(range(n_points))
    if method != "grid":
        points = draw(st.permutations(points))[: draw(st.integers(1, n_points))]
    n = len(points)
    spec = build_spec(space, n_datasets=n_datasets, method=method, n=n)
    seed = draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    n_levels = draw(st.sampled_from([2, 5, 1000]))
    metrics = {name: rng.integers(-n_levels, n_levels, n) / 8.0 for name in HEADLINE_METRICS}
    metrics["n_trades"] = rng.integers(0, 4, n).astype(np.float64)
    for name in HEADLINE_METRICS[:-1]:
        metrics[name][rng.random(n) < draw(st.sampled_from([0.0, 0.3]))] = np.nan
    weights = draw(st.sampled_from([(1, 0, 0, 0), (0.6, 0.2, 0.1, 0.1), (0.2, 0.8, 0, 0)]))
    status = rng.choice(4, size=n, p=weights).tolist()
    chunk_size = draw(st.sampled_from([3, 8, 1000]))
    missing = draw(st.sampled_from([frozenset(), frozenset({0}), frozenset({1, 3})]))
    return build_sweep(spec, points, status, metrics, chunk_size, missing)


def twin_levels(sweep: Sweep, name: str) -> list[Any]:
    """Levels of an axis in the order of the page: numbers ascending, `off` last."""
    axis = next(axis for axis in sweep.spec.build_space().axes if axis.name == name)
    if not axis.is_ordered:
        return list(axis)
    return sorted(axis, key=lambda value: math.inf if value is None else value)


def twin_heatmap(
    sweep: Sweep, x: str, y: str, metric: str, other: str, pins: dict[str, Any], min_trades: int
) -> tuple[list[list[Any]], ...]:
    sign = METRIC_SIGN[metric]
    pool = sweep.eligible(metric, min_trades)
    if other == "fixed":
        best = sweep.rank(metric, sign, pool)[:1]
        values = best[0]["values"] if best else sweep.spec.build_space()[0]
        held = {name: pins.get(name, values[name]) for name in values if name not in (x, y)}
        pool = [row for row in pool if all(row["values"][name] == held[name] for name in held)]
    shown, index, n = [], [], []
    for level_y in twin_levels(sweep, y):
        for grid in (shown, index, n):
            grid.append([])
        for level_x in twin_levels(sweep, x):
            cell = [r for r in pool if r["values"][x] == level_x and r["values"][y] == level_y]
            n[-1].append(len(cell))
            if not cell:
                shown[-1].append(None)
                index[-1].append(None)
                continue
            if other == "median":
                value = statistics.median(row[metric] for row in cell)
                chosen = min(cell, key=lambda r: (abs(r[metric] - value), r["position"]))
            else:
                chosen = sweep.rank(metric, sign, cell)[0]
                value = chosen[metric]
            shown[-1].append(value)
            index[-1].append(chosen["point"])
    return shown, index, n


def twin_plateau(sweep: Sweep, objective: str, min_trades: int) -> dict[str, Any] | None:
    sign = METRIC_SIGN[objective]
    space = sweep.spec.build_space()
    visited = {row["point"]: row for row in sweep.rows if row["status"] != STATUS_EXCLUDED}
    eligible = {row["point"] for row in sweep.eligible(objective, min_trades)}
    steps = {}
    for axis, stride in zip(space.axes, space.strides, strict=True):
        if axis.is_ordered:
            levels = twin_levels(sweep, axis.name)
            digits = [axis.index(level) for level in levels]
            steps[axis.name] = (digits, stride)
    found = []
    for point in eligible:
        row, neighbours = visited[point], []
        for name, (digits, stride) in steps.items():
            at = digits.index(row["digits"][name])
            others = [other for other in (at - 1, at + 1) if 0 <= other < len(digits)]
            neighbours += [point + (digits[other] - digits[at]) * stride for other in others]
        held = [p for p in neighbours if p in visited]
        if held:
            values = [visited[p][objective] * sign if p in eligible else -math.inf for p in held]
            score = statistics.median([row[objective] * sign, *values])
            found.append((-score, row["position"], row, len(held)))
    if not found or min(found)[0] == math.inf:
        return None
    score, position, row, n_neighbours = min(found, key=lambda item: item[:2])
    return {
        "position": position,
        "point": row["point"],
        "score": -score * sign,
        "value": row[objective],
        "n_neighbours": n_neighbours,
    }


def twin_importance(sweep: Sweep, metric: str, min_trades: int) -> dict[tuple[str, ...], float]:
    rows = sweep.eligible(metric, min_trades)
    values = [row[metric] for row in rows]
    mean = sum(values) / len(values)
    total = sum((value - mean) ** 2 for value in values)

    def spread(names: tuple[str, ...]) -> float:
        cells: dict[Any, list[float]] = {}
        for row in rows:
            cells.setdefault(tuple(row["digits"][name] for name in names), []).append(row[metric])
        return sum(len(c) * (sum(c) / len(c) - mean) ** 2 for c in cells.values())

    names = [axis.name for axis in sweep.spec.build_space().axes]
    parts: dict[tuple[str, ...], float] = {(name,): spread((name,)) for name in names}
    for one, two in itertools.combinations(names, 2):
        joint = spread((one, two))
        parts[one, two] = max(0.0, joint - parts[one,] - parts[two,])
    whole = max(total, sum(parts.values()))
    return {names: part / whole for names, part in parts.items()}
