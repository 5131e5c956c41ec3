"""Sweep requests and pinned specs: every fault at once, one run for every point."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from adapters.sweep_columns import METRIC_SIGN
from backtest.engine import HEADLINE_METRICS
from backtest.errors import InputError
from rules import sweep_spec
from rules.spec import DatasetRef, RunSpec, TradingSpec, parse_run_request
from rules.sweep_spec import (
    SMALLER_IS_BETTER,
    SweepRequest,
    SweepSpec,
    compute_sweep_fingerprint,
    parse_sweep_request,
    pin_sweep_request,
)

AAPL = DatasetRef(
    symbol="AAPL", sha256="a" * 64, n_bars=3270, start="2000-01-03", end="2012-12-31", adjusted=True
)
IBM = AAPL.model_copy(update={"symbol": "IBM", "sha256": "b" * 64})
VERSIONS = {"engine_hash": "e", "rule_version": "1", "results_version": "1"}


def parse(**changes: Any) -> SweepRequest:
    return parse_sweep_request({"dataset": "AAPL", "rule": "rsi", **changes})


def pin(*datasets: DatasetRef, limit: int | None = None, **changes: Any) -> SweepSpec:
    return pin_sweep_request(parse(**changes), datasets or [AAPL], limit)


def list_errors(payload: object) -> list[tuple[str, str]]:
    with pytest.raises(InputError) as caught:
        parse_sweep_request(payload)
    return [(error.field, error.message) for error in caught.value.errors]


def test_a_request_is_completed_with_every_default():
    assert parse(space={"window": "2:50"}).model_dump() == {
        "dataset": "AAPL", "datasets": None, "rule": "rsi", "space": {"window": "2:50"},
        "params": {}, "trading": {}, "where": None, "objective": "sharpe", "min_trades": 0,
        "search": {"method": "grid", "n": None, "seed": 0}, "start": None, "end": None,
        "adjust": True, "force": False, "tags": [], "note": "",
    }  # fmt: skip


def test_the_metrics_are_those_of_the_engine_and_their_signs_those_of_the_analysis():
    assert sweep_spec.HEADLINE_METRICS == HEADLINE_METRICS
    assert {name for name, sign in METRIC_SIGN.items() if sign < 0} == set(SMALLER_IS_BETTER)


GRID_N = "a grid visits every point; remove it, or set search.method to random"
UNKNOWN = "unknown field; remove it or correct its name"


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"dataset": None}, "dataset", "this field is required, or several in datasets"),
        ({"dataset": ""}, "dataset", "must not be empty"),
        ({"datasets": ["AAPL"]}, "datasets", "give either dataset or datasets, not both"),
        ({"dataset": None, "datasets": []}, "datasets", "must have at least 1 entries"),
        ({"dataset": None, "datasets": ["A", "B", "A"]}, "datasets",
         "comes twice; remove one of them"),
        ({"dataset": None, "datasets": "AAPL"}, "datasets", "must be a list"),
        ({"dataset": None, "datasets": [5]}, "datasets.0", "must be text"),
        ({"rule": ""}, "rule", "must not be empty"),
        ({"rule": None}, "rule", "must be text"),
        ({"space": []}, "space", "must be an object with named values"),
        ({"params": None}, "params", "must be an object with named values"),
        ({"trading": "x"}, "trading", "must be an object with named values"),
        ({"space": {"window": "2:9:0"}}, "space.window",
         "the step must not be 0; write 2:9:1 for example"),
        ({"params": {"window": 1}}, "params.window",
         "must be a whole number from 2 to 10000 bars"),
        ({"params": {"window": "2:4"}}, "params.window",
         "several values are a sweep's; write them in space, as space.window"),
        ({"params": {"window": 2}, "space": {"window": 3}}, "params.window",
         "is in space as well; keep space.window only"),
        ({"params": {"windw": 2}}, "params.windw",
         "unknown parameter of rsi; known: window, oversold, overbought, trigger"
         "; did you mean window?"),
        ({"where": "window <"}, "where",
         "cannot be read; write a comparison of numeric parameters, as fast < slow"),
        ({"where": ["window < 20", 3]}, "where", "must be text, as fast < slow"),
        ({"where": {}}, "where", "must be text, as fast < slow"),
        ({"objective": "sharp"}, "objective",
         f"choose one of {', '.join(HEADLINE_METRICS)}; did you mean sharpe?"),
        ({"objective": None}, "objective", "must be text"),
        ({"min_trades": -1}, "min_trades", "must be at least 0 and at most 1e9"),
        ({"search": "random"}, "search", "must be an object with named values"),
        ({"search": {"n": 5}}, "search.n", GRID_N),
        ({"search": {"method": "grid", "n": 5}}, "search.n", GRID_N),
        ({"search": {"method": "random"}}, "search.n",
         "a search by random needs the number of combinations to visit"),
        ({"search": {"method": "adaptive", "n": 20_001}}, "search.n",
         "an adaptive search visits at most 20,000 combinations; lower it, or set search.method "
         "to random"),
        ({"search": {"method": "best", "n": 4}}, "search.method",
         "must be one of grid, random, adaptive"),
        ({"search": {"method": "random", "n": 0}}, "search.n",
         "must be at least 1"),
        ({"search": {"method": "random", "n": 3, "seed": -1}}, "search.seed",
         "must be at least 0"),
        ({"search": {"sed": 3}}, "search.sed", UNKNOWN),
        ({"stop_loss": 0.1}, "stop_loss",
         "unknown here; write it inside trading, as trading.stop_loss"),
        ({"obective": "x"}, "obective", f"{UNKNOWN}; did you mean objective?"),
        ({"start": "yesterday"}, "start",
         "write a date as YYYY-MM-DD or a time as YYYY-MM-DDTHH:MM:SSZ"),
        ({"tags": [""]}, "tags.0", "must not be empty"),
    ],
)  # fmt: skip
def test_a_field_is_refused_with_its_remedy(changes, field, message):
    assert list_errors({"dataset": "AAPL", "rule": "rsi", **changes}) == [(field, message)]


def test_a_body_that_is_no_object_is_refused():
    assert list_errors([1]) == [("body", "send a JSON object")]


@pytest.mark.parametrize("nothing", [{}, {"space": {}}, {"trading": {"fee_rate": 0.01}}])
def test_a_space_that_names_nothing_is_refused(nothing):
    remedy = (
        "is empty; give a parameter or a trading setting several values, as 2:50 or 10,14,21, or "
        "run a single backtest"
    )
    assert list_errors({"dataset": "AAPL", "rule": "rsi", **nothing}) == [("space", remedy)]


@pytest.mark.parametrize(
    "something",
    [
        {"space": {"window": 14}},
        {"trading": {"fee_rate": "0,0.01"}},
        {"dataset": None, "datasets": ["AAPL", "IBM"]},
    ],
)
def test_one_value_that_is_named_settings_or_datasets_are_a_space(something):
    assert parse(**something).search.method == "grid"


def test_of_a_thousand_faults_in_one_list_twenty_are_told():
    wrong = [f"x{i}" for i in range(1000)]
    assert len(list_errors({"dataset": "AAPL", "rule": "rsi", "space": {"window": wrong}})) == 20


def test_an_unknown_rule_is_answered_with_a_suggestion():
    ((field, message),) = list_errors({"dataset": "AAPL", "rule": "ris"})
    assert field == "rule"
    assert message.endswith("; did you mean rsi?")


def test_every_fault_of_every_field_is_told_at_once():
    found = list_errors(
        {
            "rule": "rsi", "space": {"window": "9:2"}, "params": {"oversold": 200},
            "trading": {"fee_rate": 2, "size": 3}, "where": ["a < b", "window"],
            "objective": "x", "search": {"method": "random"}, "min_trades": "1",
        }
    )  # fmt: skip
    assert sorted(field for field, _ in found) == [
        "dataset", "min_trades", "objective", "params.oversold", "search.n", "space.window",
        "trading.fee_rate", "trading.size", "where", "where",
    ]  # fmt: skip


def test_the_schema_of_a_request_describes_axes_as_values_texts_and_lists():
    schema = SweepRequest.model_json_schema()["properties"]
    kinds = schema["space"]["additionalProperties"]["anyOf"]
    assert {kind["type"] for kind in kinds} == {"number", "string", "boolean", "null", "array"}
    assert schema["objective"]["default"] == "sharpe"


def test_a_pinned_spec_survives_json():
    spec = pin(
        AAPL, IBM,
        dataset=None, datasets=["AAPL", "IBM"],
        space={"window": "2:50:2", "trigger": "exit_zone,enter_zone"}, params={"oversold": 25},
        trading={"stop_loss": "off,0.02:0.1:0.02", "direction": "long_short"},
        where="window < oversold", objective="calmar", min_trades=5,
        search={"method": "random", "n": 40, "seed": 3}, start="2001-01-01",
    )  # fmt: skip
    document = json.loads(json.dumps(spec.to_json_dict()))
    assert document["space"] == {"window": "2:50:2", "trigger": ["exit_zone", "enter_zone"]}
    assert document["trading_space"] == {"stop_loss": "off,0.02:0.1:0.02"}
    assert document["params"] == {
        "window": 2, "oversold": 25.0, "overbought": 70.0, "trigger": "exit_zone",
    }  # fmt: skip
    assert document["where"] == ["window < oversold"]
    assert document["n_combinations"] == 40
    again = SweepSpec.from_json(document)
    assert again == spec
    order, same = spec.build_order(), again.build_order()
    assert order == same
    assert order.points(0, order.n_positions).size == spec.n_positions
    assert again.build_space() is again.build_space()


def test_every_point_is_a_run_that_a_request_for_it_would_be():
    spec = pin(
        IBM, AAPL,
        dataset=None, datasets=["IBM", "AAPL"],
        space={"window": "5:6", "oversold": "20,30.5"},
        trading={"stop_loss": "off,0.1", "direction": "long_only,short_only", "size": "0.5,1"},
        end="2010-01-01",
    )  # fmt: skip
    space = spec.build_space()
    assert space.n_points == 64
    for point in range(64):
        values = space[point]
        request = parse_run_request(
            {
                "dataset": values["dataset"], "rule": "rsi",
                "params": {name: values[name] for name in ("window", "oversold")},
                "trading": {name: values[name] for name in ("stop_loss", "direction", "size")},
            }
        )  # fmt: skip
        assert spec.run_spec(point) == RunSpec(
            dataset=IBM if values["dataset"] == "IBM" else AAPL, rule="rsi",
            params=request.params, trading=request.trading, start=None, end="2010-01-01",
        )  # fmt: skip
    dataset, params, trading = spec.combination(63)
    assert (dataset.symbol, list(params)) == (
        "AAPL", ["window", "oversold", "overbought", "trigger"],
    )  # fmt: skip
    assert isinstance(trading, TradingSpec)


def test_a_size_above_one_is_swept_beside_its_types():
    spec = pin(trading={"size": "2:6:2", "size_type": "value,shares"})
    assert spec.trading.size_type == "value"
    assert [spec.combination(point)[2].size for point in range(6)] == [2, 2, 4, 4, 6, 6]


def test_datasets_of_one_symbol_are_told_apart_by_content():
    twin = IBM.model_copy(update={"symbol": "AAPL"})
    spec = pin(AAPL, twin, dataset=None, datasets=["AAPL", "b" * 64])
    assert spec.dataset_labels == ["a" * 64, "b" * 64]
    assert spec.combination(1)[0] == twin


def test_two_names_of_the_same_data_are_refused():
    copy = AAPL.model_copy(update={"symbol": "COPY"})
    with pytest.raises(InputError, match=r"COPY.*holds the same data as AAPL; remove one of them"):
        pin(AAPL, copy, dataset=None, datasets=["AAPL", "COPY"])


def test_the_limit_is_checked_when_a_request_is_pinned():
    with pytest.raises(InputError, match=r"9,999 combinations.*limit of 100.*to a step of 100"):
        pin(space={"window": "2:10000"}, limit=100)
    assert pin(space={"window": "2:10000"}, limit=9999).n_positions == 9999


def test_a_spec_of_a_rule_that_is_gone_is_refused():
    spec = pin(space={"window": 14}).model_copy(update={"rule": "gone"})
    with pytest.raises(InputError, match="no such rule"):
        spec.build_space()


def fingerprint(*datasets: DatasetRef, **changes: Any) -> str:
    return compute_sweep_fingerprint(pin(*datasets, **changes), **VERSIONS)


BASE = {"space": {"window": "2:6:2"}, "trading": {"stop_loss": "off,0.1"}}


@pytest.mark.parametrize(
    "changes",
    [
        {"space": {"window": "2,4,6"}},
        {"space": {"window": [2, 4.0, 6]}},
        {"trading": {"stop_loss": [None, 0.1]}},
        {"trading": {"stop_loss": "off,0.1", "fee_rate": 0.001}},
        {"params": {"oversold": 30}},
        {"tags": ["x"], "note": "y", "force": True},
        {"search": {"seed": 5}},
    ],
)
def test_the_same_sweep_written_differently_has_one_fingerprint(changes):
    assert fingerprint(**{**BASE, **changes}) == fingerprint(**BASE)


@pytest.mark.parametrize(
    "changes",
    [
        {"space": {"window": "6,4,2"}},
        {"space": {"window": "2:8:2"}},
        {"trading": {"stop_loss": "off,0.2"}},
        {"trading": {"stop_loss": "off,0.1", "fee_rate": 0}},
        {"params": {"oversold": 31}},
        {"where": "window > 2"},
        {"objective": "calmar"},
        {"min_trades": 1},
        {"search": {"method": "random", "n": 3}},
        {"start": "2001-01-01"},
    ],
)
def test_another_sweep_has_another_fingerprint(changes):
    assert fingerprint(**{**BASE, **changes}) != fingerprint(**BASE)


def test_a_fingerprint_goes_by_content_seed_and_versions():
    assert fingerprint(AAPL, **BASE) != fingerprint(IBM, **BASE)
    renamed = AAPL.model_copy(update={"symbol": "X"})
    assert fingerprint(renamed, **BASE) == fingerprint(AAPL, **BASE)
    random = {"search": {"method": "random", "n": 3, "seed": 1}}
    other = {"search": {"method": "random", "n": 3, "seed": 2}}
    assert fingerprint(**BASE, **random) != fingerprint(**BASE, **other)
    spec = pin(**BASE)
    assert compute_sweep_fingerprint(spec, **VERSIONS) != compute_sweep_fingerprint(
        spec, **{**VERSIONS, "rule_version": "2"}
    )
    long = {"space": {"oversold": "0:60:0.001"}, "params": {"overbought": 80}}
    assert fingerprint(**long) == fingerprint(**long)


def test_a_fresh_process_pins_a_sweep_without_what_only_workers_need():
    script = """
import sys
from rules.spec import DatasetRef
from rules.sweep_spec import parse_sweep_request, pin_sweep_request
import rules.adaptive_search
request = parse_sweep_request(
    {"dataset": "A", "rule": "rsi", "space": {"window": "2:50"}, "where": "window < oversold",
     "search": {"method": "random", "n": 20}}
)
data = DatasetRef(symbol="A", sha256="a", n_bars=9, start="", end="", adjusted=True)
spec = pin_sweep_request(request, [data], 100)
spec.run_spec(int(spec.build_order().points(0, 1)[0]))
heavy = ("numba", "llvmlite", "pandas", "pyarrow", "optuna", "scipy", "matplotlib",
         "backtest.engine")
print([name for name in heavy if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
