"""Everything that is computed about a finished sweep once and stored with it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.sweep_columns import (
    HEADLINE_METRICS,
    METRIC_SIGN,
    STATUS_EXCLUDED,
    STATUS_OK,
    ColumnChunk,
    SweepColumns,
)
from adapters.sweep_field import FieldBuilder, MetricField, build_scales, is_grid
from adapters.sweep_hash import ResultHasher
from adapters.sweep_heatmap import measure_heatmap
from adapters.sweep_importance import measure_importance
from adapters.sweep_marginals import measure_marginals
from adapters.sweep_parallel import sample_parallel
from adapters.sweep_plateau import Neighbourhood, Plateau, search_plateau
from adapters.sweep_ranking import pack_top
from adapters.sweep_rows import build_row
from adapters.sweep_tops import (
    TOP_ROWS,
    Eligibility,
    TopKeeper,
    TopRows,
    gather_tops,
    orient,
)

if TYPE_CHECKING:
    from rules.search_space import SearchSpace
    from rules.sweep_spec import SweepSpec


@dataclass(frozen=True)
class SweepSummary:
    """What the finaliser of a sweep stores.

    Attributes
    ----------
    result_sha256 : str
        Hash over all results.
    n_combinations, n_excluded, n_failed : int
        Positions that are combinations, that a constraint leaves out, and combinations without
        result (they are among the first).
    documents : mapping of str to dict or None
        JSON-safe, by kind: ``best`` and ``plateau`` (a row of `build_row` with ``score`` and
        ``n_neighbours``, None without one), ``heatmap`` (None with fewer than two axes),
        ``marginals``, ``importance``, ``parallel`` of the objective, and ``ranking.METRIC`` for
        every headline metric (see `build_ranking_page`).
    """

    result_sha256: str
    n_combinations: int
    n_excluded: int
    n_failed: int
    documents: Mapping[str, dict[str, Any] | None]


def build_sweep_summary(columns: SweepColumns, spec: SweepSpec) -> SweepSummary:
    """Analyse a finished sweep.

    Every metric is read twice: once for hash and ranks, once for the rows that were found; the
    objective is read before them, and analysed in a thread meanwhile. Both halves spend most of
    their time in code that holds no GIL, and when a sweep ends a core is idle as a rule. Memory is
    that of one chunk, one metric (in a temporary file where it is large) and the best rows.

    Parameters
    ----------
    columns : SweepColumns
        All results; read by the calling thread alone.
    spec : SweepSpec
        The sweep; its objective and `min_trades` are those of the documents.
    """
    eligibility = Eligibility(columns, spec.min_trades)
    counts, field = _read_objective(columns, spec, eligibility)
    with ThreadPoolExecutor(1, thread_name_prefix="analysis") as pool:
        analysing = pool.submit(_analyse, field, spec)
        if field.is_large:  # here memory is worth more than a few seconds
            wait([analysing])
        digest, keepers = _read_all(columns, eligibility)
        analysis = analysing.result()
    plateau, neighbourhood = analysis.plateau, analysis.neighbourhood
    positions = {name: keeper.positions() for name, keeper in keepers.items()}
    # The plateau's row is fetched with the others: every fetch reads all metrics.
    alone = [] if plateau is None else [plateau.position]
    rows = gather_tops(columns, {**positions, "plateau": np.array(alone, dtype=np.int64)})
    documents: dict[str, dict[str, Any] | None] = {
        "best": _build_best(spec, rows[spec.objective], neighbourhood),
        "plateau": _build_plateau(spec, plateau, rows["plateau"]),
        **analysis.documents,
    }
    for name, keeper in keepers.items():
        near = neighbourhood.score(positions[name])[0] * field.sign
        documents[f"ranking.{name}"] = pack_top(rows[name], keeper.n_seen, near)
    return SweepSummary(digest, **counts, documents=documents)


@dataclass(frozen=True)
class _Analysis:
    """What follows from the objective alone."""

    neighbourhood: Neighbourhood
    plateau: Plateau | None
    documents: dict[str, dict[str, Any] | None]


def _analyse(field: MetricField, spec: SweepSpec) -> _Analysis:
    space = spec.build_space()
    scales = build_scales(space)
    neighbourhood = Neighbourhood(field, scales)
    importance = measure_importance(field, scales)
    documents: dict[str, dict[str, Any] | None] = {
        "heatmap": _build_heatmap(field, space, importance),
        "marginals": measure_marginals(field, scales),
        "importance": importance,
        "parallel": sample_parallel(field, scales, spec),
    }
    return _Analysis(neighbourhood, search_plateau(field, neighbourhood), documents)


def _read_objective(
    columns: SweepColumns, spec: SweepSpec, eligibility: Eligibility
) -> tuple[dict[str, int], MetricField]:
    """Read the objective: how many combinations there are, and its value at every position."""
    builder = FieldBuilder(columns.n_positions, spec.objective, is_grid=is_grid(spec))
    counts = {"n_combinations": 0, "n_excluded": 0, "n_failed": 0}
    for chunk in columns.read([spec.objective]):
        builder.add(chunk, eligibility.mask(chunk.first, chunk.columns[spec.objective]))
        _count(counts, chunk)
    return counts, builder.build()


def _read_all(columns: SweepColumns, eligibility: Eligibility) -> tuple[str, dict[str, TopKeeper]]:
    """Read every metric once: the hash, and the best positions by each."""
    hasher = ResultHasher()
    keepers = {name: TopKeeper(TOP_ROWS) for name in HEADLINE_METRICS}
    for name, keeper in keepers.items():
        for chunk in columns.read([name]):
            hasher.add(chunk.columns[name], chunk.status)
            values = eligibility.mask(chunk.first, chunk.columns[name])
            keeper.add(chunk.first, orient(values, METRIC_SIGN[name]))
    return hasher.hexdigest(), keepers


def _count(counts: dict[str, int], chunk: ColumnChunk) -> None:
    n_excluded = int(np.count_nonzero(chunk.status == STATUS_EXCLUDED))
    n_ok = int(np.count_nonzero(chunk.status == STATUS_OK))
    counts["n_combinations"] += len(chunk) - n_excluded
    counts["n_excluded"] += n_excluded
    counts["n_failed"] += len(chunk) - n_excluded - n_ok


def _build_best(
    spec: SweepSpec, top: TopRows, neighbourhood: Neighbourhood
) -> dict[str, Any] | None:
    if len(top.points) == 0:
        return None
    scores, n_neighbours = neighbourhood.score(top.positions[:1])
    score = float(scores[0]) * METRIC_SIGN[spec.objective]
    return {
        **build_row(spec, int(top.points[0]), top.values[0].tolist()),
        # A best whose neighbours are not eligible stands alone; so does one without any.
        "score": score if np.isfinite(score) else None,
        "n_neighbours": int(n_neighbours[0]),
    }


def _build_plateau(spec: SweepSpec, plateau: Plateau | None, row: TopRows) -> dict[str, Any] | None:
    if plateau is None:
        return None
    return {
        **build_row(spec, plateau.point, row.values[0].tolist()),
        "score": plateau.score,
        "n_neighbours": plateau.n_neighbours,
    }


def _build_heatmap(
    field: MetricField, space: SearchSpace, importance: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the heat map over the two axes that explain most together, in the space's order."""
    names = [axis.name for axis in space.axes]
    if len(names) < 2:
        return None
    pairs = [(x, y) for i, x in enumerate(names) for y in names[i + 1 :]]
    shares = {tuple(effect["axes"]): effect["share"] for effect in importance["effects"]}

    def explain(pair: tuple[str, str]) -> float:
        x, y = pair
        return float(sum(shares.get(part, 0.0) for part in (pair, (x,), (y,))))

    x, y = max(pairs, key=explain)
    return measure_heatmap(field, space, x, y)
