"""Every analysis of a sweep equals its slow twin."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import (
    sweep_field,
    sweep_heatmap,
    sweep_marginals,
    sweep_plateau,
    sweep_quantiles,
    sweep_tops,
)
from adapters.sweep_columns import HEADLINE_METRICS, METRIC_SIGN, STATUS_EXCLUDED
from adapters.sweep_hash import compute_result_sha256
from adapters.sweep_heatmap import compute_heatmap
from adapters.sweep_importance import compute_importance
from adapters.sweep_marginals import compute_marginals
from adapters.sweep_parallel import build_parallel
from adapters.sweep_plateau import find_plateau
from adapters.sweep_ranking import build_ranking_page, query_ranking
from adapters.sweep_summary import build_sweep_summary
from adapters.sweep_tops import compute_tops
from backtest import engine
from rules import sweep_spec
from tests.unit.sweep_twins import (
    Sweep,
    build_spec,
    build_sweep,
    sweeps,
    twin_heatmap,
    twin_importance,
    twin_levels,
    twin_plateau,
)

METRICS = st.sampled_from(["sharpe", "volatility", "n_trades"])
MIN_TRADES = st.sampled_from([0, 2])
EXAMPLES = settings(max_examples=40, deadline=None)


@pytest.fixture(scope="module", autouse=True)
def small_pieces() -> Iterator[None]:
    """Let a few dozen combinations need several blocks, batches and files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep_field, "_BLOCK", 7)
        patch.setattr(sweep_field, "_MAX_IN_MEMORY", 40)
        for module in (sweep_heatmap, sweep_marginals, sweep_quantiles):
            patch.setattr(module, "MAX_SELECTED", 9)
        patch.setattr(sweep_quantiles, "_N_PIVOTS", 2)
        patch.setattr(sweep_plateau, "_PIECE", 5)
        patch.setattr(sweep_plateau, "_N_SEEDS", 3)
        patch.setattr(sweep_tops, "_PIECE", 4)
        yield


def test_the_names_and_signs_of_metrics_are_the_engines() -> None:
    assert HEADLINE_METRICS == engine.HEADLINE_METRICS == sweep_spec.HEADLINE_METRICS
    smaller = [name for name, sign in METRIC_SIGN.items() if sign < 0]
    assert tuple(smaller) == sweep_spec.SMALLER_IS_BETTER


@EXAMPLES
@given(sweeps())
def test_the_hash_is_over_columns_in_position_order_without_excluded_ones(sweep: Sweep) -> None:
    expected = hashlib.sha256()
    for name in HEADLINE_METRICS:
        for row in sweep.rows:
            if row["status"] != STATUS_EXCLUDED:
                bits = struct.pack("<d", row[name])
                expected.update(b"\0\0\0\0\0\0\xf8\x7f" if math.isnan(row[name]) else bits)
    assert compute_result_sha256(sweep.columns) == expected.hexdigest()


def test_the_hash_does_not_tell_one_nan_from_another() -> None:
    spec = build_spec({"window": "2:3"})
    other_nan = np.uint64(0xFFF8000000000001).view(np.float64)
    hashes = []
    for nan in (math.nan, other_nan):
        metrics = {name: np.array([nan, 1.0]) for name in HEADLINE_METRICS}
        hashes.append(compute_result_sha256(build_sweep(spec, [0, 1], [0, 0], metrics).columns))
    assert hashes[0] == hashes[1]


@EXAMPLES
@given(sweeps(), st.integers(0, 9), MIN_TRADES)
def test_tops_are_the_first_rows_of_the_sorted_sweep(sweep: Sweep, k: int, least: int) -> None:
    tops = compute_tops(sweep.columns, k, least)
    assert list(tops) == list(HEADLINE_METRICS)
    for name, top in tops.items():
        ranked = sweep.rank(name, METRIC_SIGN[name], sweep.eligible(name, least))[:k]
        assert top.positions.tolist() == [row["position"] for row in ranked]
        assert top.points.tolist() == [row["point"] for row in ranked]
        expected = [[row[metric] for metric in HEADLINE_METRICS] for row in ranked]
        np.testing.assert_array_equal(top.values, np.reshape(expected, (-1, 13)))


@EXAMPLES
@given(sweeps(), METRICS, st.sampled_from(["best", "asc", "desc"]), MIN_TRADES, st.integers(0, 5))
def test_a_ranking_page_is_a_slice_of_the_sorted_sweep(
    sweep: Sweep, metric: str, order: str, least: int, offset: int
) -> None:
    page = query_ranking(sweep.columns, sweep.spec, metric, order, (), offset, 4, least)
    sign = {"best": METRIC_SIGN[metric], "asc": -1, "desc": 1}[order]
    ranked = sweep.rank(metric, sign, sweep.eligible(metric, least))
    assert page["total"] == len(ranked)
    assert [row["index"] for row in page["rows"]] == [
        row["point"] for row in ranked[offset : offset + 4]
    ]
    assert [row["rank"] for row in page["rows"]] == [
        offset + i + 1 for i in range(len(ranked[offset : offset + 4]))
    ]
    for shown, row in zip(page["rows"], ranked[offset:], strict=False):
        for name, value in row["values"].items():
            group = next(a.group for a in sweep.spec.build_space().axes if a.name == name)
            assert (shown["dataset"] if group == "dataset" else shown[group][name]) == value
        assert shown["metrics"][metric] == row[metric]
        json.dumps(shown, allow_nan=False)


@EXAMPLES
@given(sweeps(min_axes=2), METRICS, st.sampled_from(["best", "median", "fixed"]), MIN_TRADES)
def test_a_heat_map_equals_its_twin(sweep: Sweep, metric: str, other: str, least: int) -> None:
    names = [axis.name for axis in sweep.spec.build_space().axes]
    for x, y in [names[:2], names[-1:-3:-1]]:
        found = compute_heatmap(sweep.columns, sweep.spec, x, y, metric, other, {}, least)
        values, index, n = twin_heatmap(sweep, x, y, metric, other, {}, least)
        assert found["x"]["values"] == twin_levels(sweep, x)
        assert found["y"]["values"] == twin_levels(sweep, y)
        assert found["values"] == values
        assert found["index"] == index
        assert found["n"] == n
        defined = [value for row in values for value in row if value is not None]
        assert (found["min"], found["max"]) == (
            (min(defined), max(defined)) if defined else (None, None)
        )
        json.dumps(found, allow_nan=False)


@EXAMPLES
@given(sweeps(min_axes=2), METRICS, MIN_TRADES, st.randoms(use_true_random=False))
def test_fixed_values_pin_the_other_axes(sweep: Sweep, metric: str, least: int, random) -> None:
    axes = sweep.spec.build_space().axes
    x, y = axes[-1].name, axes[0].name
    pins = {axis.name: random.choice(list(axis)) for axis in axes[1:-1]}
    found = compute_heatmap(sweep.columns, sweep.spec, x, y, metric, "fixed", pins, least)
    values, index, n = twin_heatmap(sweep, x, y, metric, "fixed", pins, least)
    assert (found["values"], found["index"], found["n"]) == (values, index, n)
    assert found["fixed"] == pins


@EXAMPLES
@given(sweeps(), METRICS, MIN_TRADES)
def test_levels_and_distribution_equal_numpys(sweep: Sweep, metric: str, least: int) -> None:
    found = compute_marginals(sweep.columns, sweep.spec, metric, least)
    rows = sweep.eligible(metric, least)
    assert found["n"] == len(rows)
    for axis in found["axes"]:
        assert axis["values"] == twin_levels(sweep, axis["name"])
        for i, level in enumerate(axis["values"]):
            values = [row[metric] for row in rows if row["values"][axis["name"]] == level]
            assert axis["n"][i] == len(values)
            shown = [axis[name][i] for name in ("mean", "min", "q1", "median", "q3", "max")]
            if values:
                expected = [np.mean(values), *np.quantile(values, [0, 0.25, 0.5, 0.75, 1])]
                assert shown == pytest.approx(expected, rel=1e-12, abs=1e-12)
            else:
                assert shown == [None] * 6
    spread = found["distribution"]
    assert sum(spread["counts"]) + spread["below"] + spread["above"] == len(rows) == spread["n"]
    if rows:
        values = [row[metric] for row in rows]
        for q, value in spread["quantiles"].items():
            assert value == pytest.approx(np.quantile(values, float(q)), rel=1e-12, abs=1e-12)
        assert spread["share_above_zero"] == np.mean(np.array(values) > 0)
        assert spread["std"] == pytest.approx(np.std(values))
        edges = np.array(spread["edges"])
        for i, count in enumerate(spread["counts"]):
            inside = (values >= edges[i]) & (
                (values <= edges[i + 1]) if i == len(edges) - 2 else (values < edges[i + 1])
            )
            assert count == inside.sum()
    json.dumps(found, allow_nan=False)


@EXAMPLES
@given(sweeps(), METRICS, MIN_TRADES)
def test_importance_equals_its_twin(sweep: Sweep, metric: str, least: int) -> None:
    found = compute_importance(sweep.columns, sweep.spec, metric, least)
    values = [row[metric] for row in sweep.eligible(metric, least)]
    assert found["n"] == len(values)
    if len(set(values)) < 2:
        assert found["effects"] == []
        assert found["rest"] is None
        return
    shares = {tuple(effect["axes"]): effect["share"] for effect in found["effects"]}
    assert shares == pytest.approx(twin_importance(sweep, metric, least), rel=1e-9, abs=1e-9)
    assert found["rest"] == pytest.approx(max(0.0, 1 - sum(shares.values())), abs=1e-9)
    assert found["variance"] == pytest.approx(np.var(values))


@settings(max_examples=120, deadline=None)
@given(sweeps(), METRICS, MIN_TRADES)
def test_the_plateau_equals_its_twin(sweep: Sweep, metric: str, least: int) -> None:
    found = find_plateau(sweep.columns, sweep.spec, metric, least)
    assert found == twin_plateau(sweep, metric, least)


@EXAMPLES
@given(sweeps(), METRICS, st.integers(0, 12), MIN_TRADES)
def test_a_parallel_sample_holds_the_best_and_eligible_ones_once(
    sweep: Sweep, metric: str, n: int, least: int
) -> None:
    found = build_parallel(sweep.columns, sweep.spec, metric, n, least)
    ranked = sweep.rank(metric, METRIC_SIGN[metric], sweep.eligible(metric, least))
    points = [row["index"] for row in found["rows"]]
    best = [row["index"] for row in found["rows"] if row["is_best"]]
    assert best == [row["point"] for row in ranked[: n // 2]] == points[: len(best)]
    order = {row["point"]: rank for rank, row in enumerate(ranked)}
    assert [order[point] for point in points] == sorted({order[point] for point in points})
    assert found["total"] == len(ranked)
    assert len(points) <= n
    if n - n // 2 >= len(ranked):
        assert len(points) == len(ranked)
    json.dumps(found, allow_nan=False)


@settings(max_examples=30, deadline=None)
@given(sweeps(), MIN_TRADES)
def test_the_summary_holds_what_each_analysis_says(sweep: Sweep, least: int) -> None:
    spec = sweep.spec.model_copy(update={"min_trades": least})
    columns = sweep.columns
    summary = build_sweep_summary(columns, spec)
    json.dumps(dict(summary.documents), allow_nan=False)
    assert summary.result_sha256 == compute_result_sha256(columns)
    statuses = [row["status"] for row in sweep.rows]
    assert summary.n_combinations == len(statuses) - statuses.count(1)
    assert summary.n_excluded == statuses.count(1)
    assert summary.n_failed == statuses.count(2) + statuses.count(3)
    documents = summary.documents
    assert documents["marginals"] == compute_marginals(columns, spec, "sharpe", least)
    assert documents["importance"] == compute_importance(columns, spec, "sharpe", least)
    assert documents["parallel"] == build_parallel(columns, spec, "sharpe", min_trades=least)
    plateau = find_plateau(columns, spec, "sharpe", least)
    if plateau is None:
        assert documents["plateau"] is None
    else:
        assert documents["plateau"]["index"] == plateau["point"]
        assert documents["plateau"]["score"] == plateau["score"]
        assert documents["plateau"]["metrics"]["sharpe"] == plateau["value"]
    shown = documents["heatmap"]
    if len(spec.build_space().axes) < 2:
        assert shown is None
    else:
        x, y = shown["x"]["name"], shown["y"]["name"]
        assert shown == compute_heatmap(columns, spec, x, y, "sharpe", min_trades=least)
    for name in HEADLINE_METRICS:
        page = build_ranking_page(documents[f"ranking.{name}"], spec, name, 1, 3)
        expected = query_ranking(columns, spec, name, "best", (), 1, 3, least)
        assert page == expected
    best = documents["ranking.sharpe"]["index"][:1]
    assert (documents["best"]["index"] if documents["best"] else None) == (
        best[0] if best else None
    )
