"""The guided search: finds what is good, repeats nothing, depends on nothing but its history."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rules.adaptive_search import ADAPTIVE_BATCH, AdaptiveSearch
from rules.spec import DatasetRef
from rules.sweep_spec import SweepSpec, parse_sweep_request, pin_sweep_request

DATA = DatasetRef(symbol="A", sha256="a", n_bars=9, start="", end="", adjusted=True)
WIDE = {
    "space": {
        "window": "100:2:-1",
        "oversold": "5:45",
        "overbought": "55:95",
        "trigger": "enter_zone,exit_zone",
    },
    "trading": {"stop_loss": "off,0.02:0.1:0.02"},
    "where": "window < 2 * oversold",
}
NOTHING = np.empty(0, np.int64), np.empty(0)


def build(n: int, seed: int = 1, **parts: Any) -> SweepSpec:
    search = {"method": "adaptive", "n": n, "seed": seed}
    body = {"dataset": "A", "rule": "rsi", "search": search, **(parts or WIDE)}
    return pin_sweep_request(parse_sweep_request(body), [DATA])


def measure(spec: SweepSpec, points: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return a smooth hill with its top at window 31, oversold 27, overbought 73, no stop."""
    space = spec.build_space()
    digits = space.digits(points)
    level = {axis.name: axis.values(digits[row]) for row, axis in enumerate(space.axes)}
    hill = -(((level["window"] - 31) / 20) ** 2) - ((level["oversold"] - 27) / 10) ** 2
    hill -= ((level["overbought"] - 73) / 8) ** 2
    stop = np.where(np.isnan(level["stop_loss"]), 0.1, level["stop_loss"] - 0.3)
    return np.where(level["window"] == 50, np.nan, hill + stop)


def run(spec: SweepSpec) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    points, objective = NOTHING
    while True:
        new = AdaptiveSearch(spec).ask(points, objective)
        if not new.size:
            return points, objective
        points = np.concatenate([points, new])
        objective = np.concatenate([objective, measure(spec, new)])


def test_it_finds_a_better_combination_than_chance_in_as_many_trials():
    spec = build(320)
    points, objective = run(spec)
    space = spec.build_space()
    assert points.size == np.unique(points).size == 320
    assert space.admitted(points).all()
    drawn = np.random.default_rng(0).integers(0, space.n_points, 2000)
    chance = measure(spec, drawn[space.admitted(drawn)][:320])
    assert np.nanmax(objective) > 0.05 > np.nanmax(chance)
    late, early = np.nanmedian(objective[-64:]), np.nanmedian(objective[:64])
    assert late > early + 1


def test_what_is_best_when_small_is_made_small():
    spec = build(192, objective="volatility", **WIDE)
    points, _ = NOTHING
    objective = np.empty(0)
    for _ in range(3):
        points = np.append(points, AdaptiveSearch(spec).ask(points, objective))
        objective = -measure(spec, points)
    assert np.nanmedian(objective[-64:]) < np.nanmedian(objective[:64])


def test_the_same_history_and_seed_ask_the_same():
    spec = build(500)
    points = AdaptiveSearch(spec).ask(*NOTHING)
    assert points.size == ADAPTIVE_BATCH
    objective = measure(spec, points)
    asked = [AdaptiveSearch(spec).ask(points, objective, 16).tolist() for _ in range(2)]
    search = AdaptiveSearch(spec)
    asked += [search.ask(points, objective, 16).tolist() for _ in range(2)]
    assert all(found == asked[0] for found in asked)
    assert AdaptiveSearch(build(500, seed=2)).ask(*NOTHING).tolist() != points.tolist()


@pytest.mark.parametrize(
    "parts",
    [
        {"space": {"window": "2:20", "oversold": "10:30:5"}, "where": "window < oversold"},
        {"space": {"trigger": "enter_zone,exit_zone"}},
        {"space": {"window": 14}},
    ],
)
def test_it_ends_when_every_admitted_point_is_visited(parts):
    spec = build(10_000, **parts)
    space = spec.build_space()
    points, objective = NOTHING
    for _ in range(20):
        new = AdaptiveSearch(spec).ask(points, objective, 24)
        points = np.append(points, new)
        objective = -np.abs(points % 7 - 3.0)
    assert new.size == 0
    assert sorted(points) == np.flatnonzero(space.admitted(np.arange(space.n_points))).tolist()
    assert spec.n_positions == spec.n_combinations == points.size


def test_it_stops_at_the_number_of_trials_that_was_asked_for():
    spec = build(70)
    points = AdaptiveSearch(spec).ask(*NOTHING)
    more = AdaptiveSearch(spec).ask(points, measure(spec, points))
    assert (points.size, more.size) == (64, 6)


def test_an_objective_that_is_never_defined_spreads_points_at_random():
    spec = build(300)
    points = AdaptiveSearch(spec).ask(*NOTHING)
    more = AdaptiveSearch(spec).ask(points, np.full(64, np.nan))
    assert np.unique(np.append(points, more)).size == 128


def test_a_space_of_a_million_million_points_is_searched_as_well():
    spec = build(
        200, rule="macd", space={"fast": "1:10000", "slow": "2:10000", "signal": "1:10000"}
    )
    points = AdaptiveSearch(spec).ask(*NOTHING)
    more = AdaptiveSearch(spec).ask(points, -(points % 1000).astype(np.float64))
    assert spec.build_space().admitted(more).all()
    assert np.unique(np.append(points, more)).size == 128


def test_a_long_history_is_cut_to_its_best_and_its_latest():
    spec = build(5000)
    search = AdaptiveSearch(spec)
    objective = np.linspace(1, 0, 3000)
    objective[5] = np.nan
    kept = search._choose_history(objective)
    assert kept[:5].tolist() == [0, 1, 2, 3, 4]
    assert kept[5] == 6
    assert (kept.size, kept[-1]) == (800, 2999)


def test_the_library_says_nothing_of_its_own(caplog, capfd):
    spec = build(200)
    points = AdaptiveSearch(spec).ask(*NOTHING)
    with caplog.at_level(logging.INFO):
        AdaptiveSearch(spec).ask(points, measure(spec, points), 8)
    assert [record for record in caplog.records if record.name.startswith("optuna")] == []
    assert capfd.readouterr() == ("", "")
