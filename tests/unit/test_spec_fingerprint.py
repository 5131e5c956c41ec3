"""The fingerprint: the same for the same computation, another for anything that changes it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rules.spec import DatasetRef, RunSpec, TradingSpec, compute_fingerprint

ROOT = Path(__file__).parents[2]
VERSIONS = {"engine_hash": "e" * 64, "rule_version": "1", "results_version": "1"}
DATASET = {
    "symbol": "AAPL",
    "sha256": "a" * 64,
    "n_bars": 3270,
    "start": "2000-03-01",
    "end": "2013-03-01",
    "adjusted": True,
}


def build_spec(dataset: dict[str, Any] | None = None, **changes: Any) -> RunSpec:
    fields: dict[str, Any] = {
        "dataset": DatasetRef(**{**DATASET, **(dataset or {})}),
        "rule": "rsi",
        "params": {"window": 14, "oversold": 30.0, "overbought": 70.0, "trigger": "enter_zone"},
        "trading": TradingSpec(),
        "start": None,
        "end": None,
    }
    return RunSpec(**{**fields, **changes})


def compute(spec: RunSpec, **versions: str) -> str:
    return compute_fingerprint(spec, **{**VERSIONS, **versions})


REFERENCE = compute(build_spec())


def change_params(**params: Any) -> RunSpec:
    return build_spec(params={**build_spec().params, **params})


@pytest.mark.parametrize(
    "spec",
    [
        build_spec(),
        change_params(window=14.0),
        change_params(oversold=30),
        build_spec(params=dict(reversed(build_spec().params.items()))),
        build_spec(dataset={"symbol": "MSFT"}),
        build_spec(dataset={"start": "1999-01-01", "end": "2099-01-01", "n_bars": 2}),
        build_spec(trading=TradingSpec(fee_fixed=0, size=1, initial_cash=100_000)),
        build_spec(trading=TradingSpec(cash_rate=-0.0)),
    ],
    ids=["same", "14.0", "30", "order", "symbol", "printed range", "whole numbers", "minus zero"],
)
def test_it_is_the_same_where_nothing_changes_the_numbers(spec):
    assert compute(spec) == REFERENCE


@pytest.mark.parametrize(
    "spec",
    [
        change_params(window=15),
        change_params(oversold=30.000001),
        change_params(trigger="exit_zone"),
        build_spec(dataset={"sha256": "b" * 64}),
        build_spec(dataset={"adjusted": False}),
        build_spec(rule="macd"),
        build_spec(start="2001-01-01"),
        build_spec(end="2001-01-01"),
        build_spec(trading=TradingSpec(fee_rate=0.0)),
        build_spec(trading=TradingSpec(stop_loss=0.1)),
        build_spec(trading=TradingSpec(trailing_stop=0.1)),
        build_spec(trading=TradingSpec(direction="long_short")),
    ],
)
def test_it_is_another_where_anything_changes_the_numbers(spec):
    assert compute(spec) != REFERENCE


@pytest.mark.parametrize("name", VERSIONS)
def test_it_is_another_for_another_version_of_what_computes(name):
    assert compute(build_spec(), **{name: "2"}) != REFERENCE


def test_true_is_not_1():
    assert compute(change_params(flag=True)) != compute(change_params(flag=1))


def test_it_is_a_sha_256():
    assert re.fullmatch("[0-9a-f]{64}", REFERENCE)


def test_it_does_not_depend_on_the_process():
    code = """
from tests.unit.test_spec_fingerprint import build_spec, compute
print(compute(build_spec()))
"""
    for seed in ("0", "1"):
        answer = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert answer.stdout.strip() == REFERENCE


def test_a_spec_survives_json():
    spec = build_spec()
    assert RunSpec.model_validate(spec.to_json_dict()) == spec
    assert compute(RunSpec.model_validate(spec.to_json_dict())) == REFERENCE
