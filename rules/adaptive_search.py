"""A guided search: asks an optimiser which combinations to try next, given what has been measured.

Optuna's tree-structured Parzen estimator, which handles numbers, names and flags together and needs
only a ranking of what it has seen (Bergstra et al., Algorithms for Hyper-Parameter Optimization,
NIPS 2011). The study lives in memory for one question and is rebuilt from the sweep's rows, so
that nothing is lost with a process. On a grid the estimator likes to name again what it knows to be
good; then its neighbours are tried.
"""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rules.sweep_spec import SMALLER_IS_BETTER, SweepSpec
from rules.visit_order import Permutation

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from rules.optimizer import Axis

# A round trip through the queue costs milliseconds, a question to the sampler as well; a larger
# batch knows less of itself.
ADAPTIVE_BATCH = 64
# Below this the estimator has too little to go by, and points are spread at random.
_N_STARTUP = 32
# What the sampler is shown of a long history: its cost grows with it.
_N_RECENT = 700
_N_BEST = 100
_N_NEIGHBOUR_TRIES = 12
# On a longer axis one step more or less says little, and the sampler's arithmetic for whole
# numbers takes 50 ms a question.
_MAX_WHOLE = 1_000
_MAX_SORTED = 1_000_000
_SCAN_LENGTH = 4096
# Where constraints admit next to nothing of a huge space, a search for the rest has to end.
_MAX_SCANNED = 10_000_000


class AdaptiveSearch:
    """Chooses the points of an adaptive sweep.

    Parameters
    ----------
    spec : SweepSpec
        Its space, objective and seed.
    """

    def __init__(self, spec: SweepSpec) -> None:
        self._space = spec.build_space()
        self._order = spec.build_order()
        self._seed = spec.search.seed
        self._minimises = spec.objective in SMALLER_IS_BETTER

    def ask(
        self,
        history_points: NDArray[np.int64],
        history_objective: NDArray[np.float64],
        n_new: int = ADAPTIVE_BATCH,
    ) -> NDArray[np.int64]:
        """Return the next points to visit.

        Parameters
        ----------
        history_points : ndarray of int64, shape (n,)
            Visited points in the order of visits.
        history_objective : ndarray of float64, shape (n,)
            Objective of each; NaN where it is undefined or the combination is not eligible.
        n_new : int
            How many are wanted.

        Returns
        -------
        ndarray of int64, shape (n_new,) or less
            Admitted points, none visited before and none twice. Fewer, also none, if the space or
            the number of trials of the request is used up. The same for the same spec and history.
        """
        seen = {int(point) for point in history_points}
        wanted = min(n_new, self._order.n_positions - len(seen))
        chosen: list[int] = []
        if np.count_nonzero(~np.isnan(history_objective)) >= _N_STARTUP and self._space.axes:
            seed = np.random.SeedSequence([self._seed, len(history_points)])
            chosen = self._ask_sampler(history_points, history_objective, seen, wanted, seed)
        return np.array([*chosen, *self._spread(seen, wanted - len(chosen))], np.int64)

    def _ask_sampler(
        self,
        points: NDArray[np.int64],
        objective: NDArray[np.float64],
        seen: set[int],
        wanted: int,
        seeds: np.random.SeedSequence,
    ) -> list[int]:
        """Return up to `wanted` points that the sampler names, or near them; adds to `seen`."""
        sampler_seed, own_seed = (int(word) for word in seeds.generate_state(2))
        study = self._build_study(points, objective, sampler_seed)
        random = np.random.default_rng(own_seed)
        chosen: list[int] = []
        for _ in range(wanted):
            # Trials stay open: the sampler keeps away from what it has already named.
            trial = study.ask(self._distributions)
            ranks = np.array(
                [
                    min(round(trial.params[axis.name]), axis.n_values - 1)
                    for axis in self._space.axes
                ]
            )
            point = self._find_new(ranks, seen, random)
            if point is not None:
                seen.add(point)
                chosen.append(point)
        return chosen

    def _find_new(
        self, ranks: NDArray[np.int64], seen: set[int], random: np.random.Generator
    ) -> int | None:
        """Return the point at `ranks` or, where that is taken or excluded, one near it."""
        for step in range(_N_NEIGHBOUR_TRIES + 1):
            near = self._move(ranks, step, random) if step else ranks
            point = self._compute_point(near)
            if point not in seen and self._space.admitted(np.array([point], np.int64))[0]:
                return point
        return None

    def _move(
        self, ranks: NDArray[np.int64], step: int, random: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return ranks changed on one axis or a few, further away with every step."""
        near = ranks.copy()
        n_axes = len(self._space.axes)
        for row in random.choice(n_axes, size=min(n_axes, 1 + step // 4), replace=False):
            axis = self._space.axes[row]
            if axis.is_ordered:
                reach = 1 + step // 3
                moved = int(near[row]) + int(random.integers(1, reach + 1)) * random.choice([-1, 1])
                near[row] = min(max(moved, 0), axis.n_values - 1)
            else:
                near[row] = random.integers(axis.n_values)
        return near

    def _spread(self, seen: set[int], wanted: int) -> list[int]:
        """Return the first `wanted` unvisited admitted points of a seeded permutation."""
        chosen: list[int] = []
        permutation = Permutation(self._space.n_points, self._seed)
        n_scanned = min(self._space.n_points, _MAX_SCANNED)
        for first in range(0, n_scanned, _SCAN_LENGTH):
            if len(chosen) >= wanted:
                break
            stop = min(first + _SCAN_LENGTH, n_scanned)
            points = permutation.apply(np.arange(first, stop, dtype=np.int64))
            admitted = points[self._space.admitted(points)]
            chosen += [int(point) for point in admitted if int(point) not in seen]
        return chosen[: max(wanted, 0)]

    def _build_study(
        self, points: NDArray[np.int64], objective: NDArray[np.float64], seed: int
    ) -> Study:
        optuna = _load_optuna()
        kept = self._choose_history(objective)
        ranks = self._compute_ranks(points[kept])
        names = [axis.name for axis in self._space.axes]
        study: Study = optuna.create_study(
            direction="minimize" if self._minimises else "maximize",
            sampler=optuna.samplers.TPESampler(seed=seed),
        )
        trials = [
            self._build_trial(dict(zip(names, column, strict=True)), value)
            for column, value in zip(ranks.T.tolist(), objective[kept].tolist(), strict=True)
        ]
        study.add_trials(trials)
        return study

    def _build_trial(self, params: dict[str, int], value: float) -> FrozenTrial:
        optuna = _load_optuna()
        # A pruned trial without a value counts as worse than every finished one.
        is_defined = value == value
        state = optuna.trial.TrialState.COMPLETE if is_defined else optuna.trial.TrialState.PRUNED
        trial: FrozenTrial = optuna.trial.create_trial(
            state=state,
            value=value if is_defined else None,
            params=params,
            distributions=self._distributions,
        )
        return trial

    def _choose_history(self, objective: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return which visits the sampler is shown: the best and the latest, in their order."""
        n = objective.size
        oriented = objective if self._minimises else -objective
        best = np.argsort(oriented, kind="stable")[:_N_BEST]  # NaN sorts last
        return np.union1d(best, np.arange(max(0, n - _N_RECENT), n))

    @cached_property
    def _distributions(self) -> dict[str, BaseDistribution]:
        return {axis.name: _build_distribution(axis) for axis in self._space.axes}

    @cached_property
    def _orders(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]] | None]:
        """For each axis digit of rank and rank of digit, None where they are the same."""
        return [_sort_levels(axis) for axis in self._space.axes]

    def _compute_ranks(self, points: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rank of each point's value among the levels of each axis."""
        ranks = self._space.digits(points)
        for row, order in enumerate(self._orders):
            if order is not None:
                ranks[row] = order[1][ranks[row]]
        return ranks

    def _compute_point(self, ranks: NDArray[np.int64]) -> int:
        point = 0
        for row, order in enumerate(self._orders):
            digit = int(ranks[row] if order is None else order[0][ranks[row]])
            point += digit * self._space.strides[row]
        return point


def _build_distribution(axis: Axis) -> BaseDistribution:
    """Return what the sampler draws the rank of a level on an axis from."""
    distributions = _load_optuna().distributions
    built: BaseDistribution
    if not axis.is_ordered:
        built = distributions.CategoricalDistribution(tuple(range(axis.n_values)))
    elif axis.n_values > _MAX_WHOLE:
        built = distributions.FloatDistribution(0.0, axis.n_values - 0.5)
    else:
        built = distributions.IntDistribution(0, axis.n_values - 1)
    return built


def _sort_levels(axis: Axis) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    if not axis.is_ordered or axis.n_values > _MAX_SORTED:
        return None
    order = axis.neighbour_order()
    if order is None or bool((order[:-1] < order[1:]).all()):
        return None
    return order, np.argsort(order)


@cache
def _load_optuna() -> Any:
    """Import Optuna, which takes 0.2 s, and hand its messages to our own log."""
    import optuna

    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
