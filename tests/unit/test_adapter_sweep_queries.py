"""Questions about a sweep: conditions, depth, heat maps of long axes, and clear refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.sweep_columns import (
    HEADLINE_METRICS,
    STATUS_OK,
    STATUS_RULE_FAILED,
    Failures,
)
from adapters.sweep_filters import Filter, parse_filters
from adapters.sweep_heatmap import compute_heatmap, validate_heatmap
from adapters.sweep_importance import compute_importance
from adapters.sweep_marginals import compute_marginals
from adapters.sweep_plateau import find_plateau
from adapters.sweep_ranking import MAX_DEPTH, build_ranking_page, query_ranking
from adapters.sweep_rows import build_row
from adapters.sweep_summary import build_sweep_summary
from backtest.errors import InputError
from tests.unit.sweep_twins import Sweep, build_spec, build_sweep, sweeps


def build_grid(space: dict, sharpe, **spec) -> Sweep:
    """A grid whose Sharpe ratio is given; every combination has ten trades."""
    built = build_spec(space, **spec)
    n = built.build_space().n_points
    metrics = {name: np.zeros(n) for name in HEADLINE_METRICS}
    metrics["sharpe"] = np.asarray(sharpe(built.build_space(), np.arange(n)), dtype=np.float64)
    metrics["n_trades"] = np.full(n, 10.0)
    return build_sweep(built, range(n), [0] * n, metrics)


@settings(max_examples=60, deadline=None)
@given(
    sweeps(),
    st.sampled_from(["sharpe", "n_trades", "max_drawdown"]),
    st.sampled_from([">", ">=", "<", "<=", "="]),
    st.sampled_from([-0.125, 0, 1]),
    st.sampled_from(["window<=4", "window>3", "stop_loss<0.07", "stop_loss=off", "oversold>=20"]),
    st.sampled_from(["direction=long_only", "trigger=exit_zone", "window=3", "initial_cash>1"]),
)
def test_only_what_meets_every_condition_is_ranked(
    sweep: Sweep, metric: str, op: str, bound: float, first: str, second: str
) -> None:
    space = sweep.spec.build_space()
    texts = [f"{metric}{op}{bound}", first, second]
    page = query_ranking(sweep.columns, sweep.spec, "sharpe", "best", parse_filters(texts, space))

    def meets(row: dict) -> bool:
        values = {**space.fixed, **row["values"], metric: row[metric]}
        for text in texts:
            name = next(n for n in sorted(values, key=len, reverse=True) if text.startswith(n))
            rest = text.removeprefix(name).replace("off", "None")
            comparison = rest if rest[0] in "<>" else f"={rest}"
            if comparison[0] in "<>" and values[name] is None:
                return False
            quoted = comparison.replace("long_only", "'long_only'").replace(
                "exit_zone", "'exit_zone'"
            )
            if not eval(f"{values[name]!r}{quoted}", {"nan": math.nan}):
                return False
        return True

    expected = [row for row in sweep.eligible("sharpe") if meets(row)]
    assert page["total"] == len(expected)
    assert [row["index"] for row in page["rows"]] == [
        row["point"] for row in sweep.rank("sharpe", 1, expected)
    ][:100]


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("sharpe", "write NAME, one of"),
        ("sharpe>", "write NAME, one of"),
        ("__import__('os')", "write NAME, one of"),
        ("sharp>1", "did you mean"),
        ("sharpe>high", "compares numbers"),
        ("sharpe=off", "a metric is compared with a number"),
        ("direction>1", "use = for names"),
        ("trigger<exit_zone", "compares numbers"),
    ],
)
def test_a_condition_that_cannot_be_read_says_why(text: str, remedy: str) -> None:
    space = build_spec({"window": "2:9", "direction": ["long_only", "short_only"]}).build_space()
    with pytest.raises(InputError) as caught:
        parse_filters(["sharpe>1", text], space)
    assert [(error.field, error.value) for error in caught.value.errors] == [("filter", text)]
    assert remedy in caught.value.errors[0].message


def test_a_condition_that_was_stored_is_read_again() -> None:
    space = build_spec({"window": "2:9"}).build_space()
    (found,) = parse_filters([" max_drawdown >= -0.3 "], space)
    assert found == Filter("max_drawdown", ">=", -0.3)
    assert Filter(**found.to_json_dict()) == found


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"metric": "sharp"}, "metric"),
        ({"order": "up"}, "order"),
        ({"offset": -1}, "offset"),
        ({"limit": -1}, "limit"),
        ({"offset": MAX_DEPTH - 10, "limit": 11}, "offset"),
        ({"filters": [Filter("colour", "=", 1)]}, "filter"),
        ({"filters": [Filter("sharpe", "~", 1)]}, "filter"),
    ],
)
def test_a_ranking_that_makes_no_sense_is_refused(changes: dict, field: str) -> None:
    sweep = build_grid({"window": "2:9"}, lambda _space, points: points)
    with pytest.raises(InputError) as caught:
        query_ranking(sweep.columns, sweep.spec, **{"metric": "sharpe", **changes})
    assert [error.field for error in caught.value.errors] == [field]


def test_the_deepest_page_is_answered() -> None:
    sweep = build_grid({"window": "2:9"}, lambda _space, points: points)
    page = query_ranking(sweep.columns, sweep.spec, "sharpe", offset=MAX_DEPTH - 1, limit=1)
    assert (page["total"], page["rows"]) == (8, [])


def test_a_stored_ranking_says_where_it_ends() -> None:
    sweep = build_grid({"window": "2:1301"}, lambda _space, points: points)
    document = build_sweep_summary(sweep.columns, sweep.spec).documents["ranking.sharpe"]
    page = build_ranking_page(document, sweep.spec, "sharpe", 990, 10)
    assert [row["params"]["window"] for row in page["rows"]][-1] == 1301 - 999
    assert page["rows"][0]["near"] == page["rows"][0]["metrics"]["sharpe"]
    assert page["total"] == 1300
    assert build_ranking_page(document, sweep.spec, "sharpe", 991, 10) is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"x": "widow"}, "x"),
        ({"y": "fee_rate"}, "y"),
        ({"y": "window"}, "y"),
        ({"metric": "colour"}, "metric"),
        ({"other": "worst"}, "other"),
        ({"fixed": {"window": 3}}, "fixed.window"),
        ({"fixed": {"stop_loss": 0.3}}, "fixed.stop_loss"),
    ],
)
def test_a_heat_map_that_makes_no_sense_is_refused(changes: dict, field: str) -> None:
    space = {"window": "2:5", "oversold": "10:40:10", "stop_loss": "off,0.1"}
    sweep = build_grid(space, lambda _space, points: points)
    wanted = {"x": "window", "y": "oversold", "metric": "sharpe", "other": "fixed", **changes}
    with pytest.raises(InputError) as caught:
        compute_heatmap(sweep.columns, sweep.spec, **wanted)
    assert [error.field for error in caught.value.errors] == [field]
    assert "None" not in caught.value.errors[0].message, "an option without value reads off"


def test_fixed_values_are_read_from_text_as_in_a_form() -> None:
    space = {"window": "2:3", "oversold": "10:20:10", "stop_loss": "0.1,off"}
    sweep = build_grid(space, lambda _space, points: points)
    found = compute_heatmap(
        sweep.columns, sweep.spec, "window", "oversold", "sharpe", "fixed", {"stop_loss": "off"}
    )
    assert found["fixed"] == {"stop_loss": None}
    assert found["values"] == [[1.0, 5.0], [3.0, 7.0]]


def test_what_failed_is_counted_in_the_cell_where_it_happened() -> None:
    space = {"window": "2:4", "oversold": "10:30:10", "stop_loss": "0.1,off"}
    n = 3 * 3 * 2
    spec = build_spec(space, n=n)
    metrics = {name: np.arange(n, dtype=np.float64) for name in HEADLINE_METRICS}
    status = [STATUS_OK] * n
    status[1] = STATUS_RULE_FAILED  # window 2, oversold 10, no stop
    sweep = build_sweep(spec, range(n), status, metrics)
    args = (sweep.columns, spec, "window", "oversold", "sharpe")
    # Window 3 with both oversold 20 and 30, whatever the stop.
    failures = Failures(1, ((8, 12),))
    assert compute_heatmap(*args, failures=failures)["n_failed"] == [
        [1, 0, 0],
        [0, 2, 0],
        [0, 2, 0],
    ]
    fixed = compute_heatmap(*args, "fixed", {"stop_loss": "0.1"}, failures=failures)
    assert fixed["n_failed"] == [[0, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert "n_failed" not in compute_heatmap(*args, failures=Failures())


def test_long_axes_are_put_together_evenly_and_say_so() -> None:
    space = {"window": "2:502", "oversold": "10,20"}
    sweep = build_grid(space, lambda _space, points: points)
    found = compute_heatmap(sweep.columns, sweep.spec, "window", "oversold", "sharpe")
    x = found["x"]
    assert (x["binned"], x["n_values"], len(x["values"])) == (True, 501, 167)
    assert (x["values"][:2], x["last_values"][:2], x["last_values"][-1]) == ([2, 5], [4, 7], 502)
    assert found["n"][0] == [3] * 167
    assert found["values"][0][0] == 4.0
    levels = compute_marginals(sweep.columns, sweep.spec, "sharpe")["axes"][0]
    assert levels["n"] == [6] * 167


def test_a_random_sweep_over_an_endless_axis_is_analysed() -> None:
    spec = build_spec({"oversold": "10:40:0.00000001", "window": "2:3"}, method="random", n=4)
    points = [0, 2, 3, 5_999_999_999]
    metrics = {name: [1.0, 2.0, 3.0, 9.0] for name in HEADLINE_METRICS}
    sweep = build_sweep(spec, points, [0] * 4, metrics)
    found = compute_heatmap(sweep.columns, spec, "window", "oversold", "sharpe")
    assert (found["y"]["n_values"], len(found["y"]["values"])) == (3_000_000_001, 200)
    assert found["n"][0] == [3, 0]
    assert found["n"][-1] == [0, 1]
    plateau = find_plateau(sweep.columns, spec, "sharpe")
    assert (plateau["point"], plateau["score"], plateau["n_neighbours"]) == (2, 2.5, 1)


def test_a_plateau_beats_a_spike() -> None:
    def sharpe(space, points):
        x, y = space.digits(points)
        hill = 2 - 0.1 * (np.abs(x - 6) + np.abs(y - 6))
        return np.where((x == 1) & (y == 1), 5.0, hill)

    space = {"window": "2:11", "oversold": "10:19:1"}
    sweep = build_grid(space, sharpe, objective="sharpe")
    documents = build_sweep_summary(sweep.columns, sweep.spec).documents
    plateau, best = documents["plateau"], documents["best"]
    found = {name: plateau["params"][name] for name in ("window", "oversold")}
    assert found == {"window": 8, "oversold": 16.0}
    assert plateau["score"] == pytest.approx(1.9)
    assert (best["params"]["window"], best["params"]["oversold"]) == (3, 11.0)
    assert best["score"] == pytest.approx(1.1)
    assert (best["n_neighbours"], plateau["n_neighbours"]) == (4, 4)


def test_off_is_a_neighbour_of_the_largest_level_only() -> None:
    # Levels in order: 0.02, 0.04, 0.06, off.
    sweep = build_grid({"stop_loss": "off,0.02,0.04,0.06"}, lambda _space, _p: [8.0, 9.0, 0.0, 7.0])
    plateau = find_plateau(sweep.columns, sweep.spec, "sharpe")
    assert plateau == {"position": 0, "point": 0, "score": 7.5, "value": 8.0, "n_neighbours": 1}


def test_a_filtered_ranking_still_knows_the_neighbours_that_the_filter_hides() -> None:
    sweep = build_grid({"stop_loss": "off,0.02,0.04,0.06"}, lambda _space, _p: [8.0, 9.0, 0.0, 7.0])
    conditions = parse_filters(["sharpe>6"], sweep.spec.build_space())
    page = query_ranking(sweep.columns, sweep.spec, "n_trades", "asc", conditions)
    # Levels in order: 0.02, 0.04, 0.06, off.
    assert [(row["index"], row["near"]) for row in page["rows"]] == [(0, 7.5), (1, 4.5), (3, 7.0)]


def test_a_combination_among_too_few_trades_stands_alone_in_a_ranking() -> None:
    sweep = build_grid({"window": "2:4"}, lambda _space, points: points)
    sweep.columns._metrics["n_trades"][0] = 1.0
    page = query_ranking(sweep.columns, sweep.spec, "sharpe", min_trades=5)
    # Of the middle one's three, one counts as the worst.
    assert [(row["index"], row["near"]) for row in page["rows"]] == [(2, 1.5), (1, 1.0)]


def test_a_fixed_value_that_is_not_swept_is_refused_with_those_that_are() -> None:
    levels = {"window": "2:5", "oversold": "1:40", "stop_loss": "off,0.02,0.1"}
    space = build_spec({**levels, "trigger": ["enter_zone", "exit_zone"]}).build_space()
    fixed = {"stop_loss": "0.05", "trigger": "cross"}
    with pytest.raises(InputError) as caught:
        validate_heatmap(space, "window", "oversold", "fixed", fixed)
    assert [error.message for error in caught.value.errors] == [
        "not among the 3 values of stop_loss: 0.02, 0.1, off",
        "not among the 2 values of trigger: enter_zone, exit_zone",
    ]
    with pytest.raises(InputError) as caught:
        validate_heatmap(space, "window", "stop_loss", "fixed", {"oversold": "41"})
    assert caught.value.errors[0].message.endswith("40 values of oversold: from 1 to 40")


def test_a_sweep_without_an_order_has_no_plateau() -> None:
    sweep = build_grid({"direction": ["long_only", "short_only"]}, lambda _space, points: points)
    assert find_plateau(sweep.columns, sweep.spec, "sharpe") is None


def test_importance_finds_main_effects_pairs_and_the_rest() -> None:
    def sharpe(space, points):
        x, y = space.digits(points)
        return 2.0 * x + np.where((x + y) % 2 == 0, 1.0, -1.0)

    sweep = build_grid({"window": "2:3", "oversold": "10:20:10"}, sharpe)
    found = compute_importance(sweep.columns, sweep.spec, "sharpe")
    # Variances: window 1, oversold 0, together 1.
    assert [(e["axes"], e["share"]) for e in found["effects"]] == [
        (["window"], 0.5),
        (["window", "oversold"], 0.5),
        (["oversold"], 0.0),
    ]
    assert (found["rest"], found["variance"]) == (0.0, 2.0)


def test_a_row_is_complete_and_names_its_dataset_among_several() -> None:
    spec = build_spec({"window": "5:6"}, n_datasets=2)
    row = build_row(spec, 3, [0.5] * 12 + [7.0])
    assert row["dataset"] == "S1"
    assert row["params"] == {
        "window": 6,
        "oversold": 30.0,
        "overbought": 70.0,
        "trigger": "enter_zone",
    }
    assert row["trading"] == spec.trading.model_dump()
    assert row["metrics"]["n_trades"] == 7
    assert isinstance(row["metrics"]["n_trades"], int)
    row = build_row(build_spec({"window": "5:6"}), 1, [math.nan] * 13)
    assert "dataset" not in row
    assert set(row["metrics"].values()) == {None}


def test_a_sweep_without_any_result_is_summarised() -> None:
    spec = build_spec({"window": "2:5", "oversold": "10,20"})
    metrics = {name: [math.nan] * 8 for name in HEADLINE_METRICS}
    summary = build_sweep_summary(build_sweep(spec, range(8), [3] * 8, metrics).columns, spec)
    assert (summary.n_combinations, summary.n_failed) == (8, 8)
    assert summary.documents["best"] is None
    assert summary.documents["plateau"] is None
    assert summary.documents["marginals"]["distribution"]["mean"] is None
    assert summary.documents["heatmap"]["min"] is None
    assert summary.documents["parallel"]["rows"] == []
