"""What a verdict takes from the stored numbers: counts, and which combinations to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from adapters.sweep_columns import STATUS_EXCLUDED, FloatArray, PointArray, SweepColumns
from adapters.sweep_field import MetricField, build_field, build_scales
from adapters.sweep_plateau import Neighbourhood, search_plateau
from adapters.sweep_tops import Eligibility, TopKeeper

if TYPE_CHECKING:
    from rules.search_space import SearchSpace
    from rules.sweep_spec import SweepSpec


@dataclass(frozen=True)
class Candidate:
    """A combination that somebody may want to trade.

    Attributes
    ----------
    point : int
        Its index in the search space.
    value : float
        Its objective.
    score : float or None
        Median of the objective over it and its neighbours, None without an eligible one, and while
        the sweep is going on.
    n_neighbours : int
    edges : tuple of str
        Axes with three levels and more on whose first or last level it lies.
    """

    point: int
    value: float
    score: float | None
    n_neighbours: int
    edges: tuple[str, ...]


@dataclass(frozen=True)
class TrialSurvey:
    """A sweep, as far as the verdict is concerned.

    Attributes
    ----------
    n_combinations, n_eligible, n_profitable : int
        Combinations computed, those that compete, and those of them with a total return above 0.
    best, plateau : Candidate or None
        By the objective, and by that of the neighbourhood.
    n_alike : int
        Combinations that compete on the dataset of the best.
    sample : array of int64, shape (n,)
        Points of some of these, drawn evenly, rising; all of them where they are few.
    is_final : bool
        Whether all combinations are computed; neighbours are judged only then.
    """

    n_combinations: int
    n_eligible: int
    n_profitable: int
    best: Candidate | None
    plateau: Candidate | None
    n_alike: int
    sample: PointArray
    is_final: bool


def survey_trials(
    columns: SweepColumns, spec: SweepSpec, n_sample: int, *, is_final: bool
) -> TrialSurvey:
    """Look through the results of a sweep.

    Parameters
    ----------
    columns : SweepColumns
        Results so far; the objective and two more metrics are read once.
    n_sample : int
        Size of the sample.
    is_final : bool
        Whether these are all results; neighbourhoods are judged only then.
    """
    field = build_field(columns, spec, spec.objective, spec.min_trades)
    n_combinations, n_profitable = _count(columns, spec)
    position = field.find_best()
    if position is None:
        nobody = np.empty(0, dtype=np.int64)
        return TrialSurvey(n_combinations, 0, 0, None, None, 0, nobody, is_final)
    best, plateau = _find_candidates(field, spec, position, is_final=is_final)
    n_alike, sample = _draw(field, spec.build_space(), best.point, n_sample)
    return TrialSurvey(
        n_combinations, field.n_eligible, n_profitable, best, plateau, n_alike, sample, is_final
    )


def _count(columns: SweepColumns, spec: SweepSpec) -> tuple[int, int]:
    eligibility = Eligibility(columns, spec.min_trades)
    n_combinations = n_profitable = 0
    for chunk in columns.read(["total_return"]):
        returns = eligibility.mask(chunk.first, chunk.columns["total_return"])
        n_combinations += int(np.count_nonzero(chunk.status != STATUS_EXCLUDED))
        n_profitable += int(np.count_nonzero(returns > 0.0))
    return n_combinations, n_profitable


def _find_candidates(
    field: MetricField, spec: SweepSpec, position: int, *, is_final: bool
) -> tuple[Candidate, Candidate | None]:
    space = spec.build_space()
    point, value = field.get_point(position), float(field.values[position])
    if not is_final:
        return Candidate(point, value, None, 0, find_edges(space, point)), None
    neighbourhood = Neighbourhood(field, build_scales(space))
    scores, n_neighbours = neighbourhood.score(np.array([position], dtype=np.int64))
    score = float(scores[0]) * field.sign if np.isfinite(scores[0]) else None
    best = Candidate(point, value, score, int(n_neighbours[0]), find_edges(space, point))
    plateau = search_plateau(field, neighbourhood)
    if plateau is None:
        return best, None
    edges = find_edges(space, plateau.point)
    return best, Candidate(plateau.point, plateau.value, plateau.score, plateau.n_neighbours, edges)


def find_edges(space: SearchSpace, point: int) -> tuple[str, ...]:
    """Return the axes on whose first or last number a point lies; two numbers have no inside."""
    digits = space.digits(np.array([point], dtype=np.int64))[:, 0].tolist()
    found = []
    for scale, digit in zip(build_scales(space), digits, strict=True):
        if not scale.axis.is_ordered:
            continue
        if scale.order is None:  # too long to sort: levels as they were written
            levels = [0, scale.n_values - 1]
            is_long = True
        else:  # `off` has no neighbour to widen to
            levels = [level for level in scale.order.tolist() if scale.axis[level] is not None]
            is_long = len(levels) > 2
        if is_long and digit in (levels[0], levels[-1]):
            found.append(scale.axis.name)
    return tuple(found)


def _draw(
    field: MetricField, space: SearchSpace, best: int, n_sample: int
) -> tuple[int, PointArray]:
    """Return how many combinations compete on the dataset of the best, and a sample of them."""
    # The dataset is the slowest digit: its points are one range.
    is_several = bool(space.axes) and space.axes[0].group == "dataset"
    n_each = space.n_points // space.axes[0].n_values if is_several else space.n_points
    first = best // n_each * n_each
    keeper = TopKeeper(n_sample)
    for block in field.blocks():
        competes = np.isfinite(block.values)
        points = block.get_points()
        if is_several:
            competes &= (points >= first) & (points < first + n_each)
        keeper.add(block.first, np.where(competes, _draw_keys(points), np.nan))
    points, _ = field.look_up(np.sort(keeper.positions()))
    return keeper.n_seen, np.sort(points)


def _draw_keys(points: PointArray) -> FloatArray:
    """Return a number in [0, 1) for each point, as random as it is fixed: those above compete.

    The mixer of splitmix64 (Steele, Lea and Flood 2014, OOPSLA). A point is in the sample or not
    wherever and in whatever chunks the sweep was computed.
    """
    mixed = points.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    high_bits = (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)
    return high_bits.astype(np.float64) * 2.0**-53
