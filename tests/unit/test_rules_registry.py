"""The registry: what a rule declares, what is refused, and how rules are found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backtest.errors import InputError
from rules import base_rule
from rules.base_rule import (
    BaseRule,
    Constraint,
    Parameter,
    RuleMetadata,
    RuleOutput,
    build_window,
    get_rule,
    list_rules,
    register_rule,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def registry(monkeypatch):
    """The registered rules, restored afterwards."""
    list_rules()
    monkeypatch.setattr(base_rule, "_REGISTRY", dict(base_rule._REGISTRY))


def build_rule(**metadata: Any) -> type[BaseRule]:
    defaults = {"name": "idle", "title": "Idle", "summary": "Does nothing"}

    class IdleRule(BaseRule):
        def warmup_bars(self, **params: Any) -> int:
            return 0

        def compute(self, bars: Any, **params: Any) -> RuleOutput:
            raise NotImplementedError

    IdleRule.metadata = RuleMetadata(**{**defaults, **metadata})
    return IdleRule


def test_the_rules_that_ship_are_listed_by_name():
    names = [rule.metadata.name for rule in list_rules()]
    assert names == sorted(names)
    assert {"buy_and_hold", "macd", "rsi", "rsi_macd", "sma_cross"} <= set(names)
    assert get_rule("no_such_rule") is None


def test_defaults_and_constraints_are_those_of_the_definitions():
    declared = {
        rule.metadata.name: {item.name: item.default for item in rule.metadata.parameters}
        for rule in list_rules()
    }
    rsi = {"window": 14, "oversold": 30.0, "overbought": 70.0}
    macd = {"fast": 12, "slow": 26, "signal": 9}
    assert declared["rsi"] == {**rsi, "trigger": "enter_zone"}
    assert declared["macd"] == macd
    assert declared["rsi_macd"] == {**rsi, **macd, "lookback": 5}
    assert declared["sma_cross"] == {"fast": 50, "slow": 200}
    assert declared["buy_and_hold"] == {}
    rule = get_rule("rsi_macd")
    assert rule is not None
    assert [str(item) for item in rule.metadata.constraints] == [
        "oversold < overbought",
        "fast < slow",
    ]


@pytest.mark.usefixtures("registry")
def test_a_registered_rule_is_found_under_its_name():
    rule_class = register_rule(build_rule())
    assert isinstance(get_rule("idle"), rule_class)
    assert "idle" in [rule.metadata.name for rule in list_rules()]


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"name": "rsi"}, "'rsi' is already registered by <class 'rules.technical_rules.RsiRule'>"),
        (
            {"constraints": (Constraint("fast", "<", "slow"),)},
            "fast < slow names no parameter 'fast'",
        ),
        ({"parameters": (build_window("window", 1, "Bars", minimum=2),)}, "params.window = 1"),
        (
            {
                "parameters": (build_window("fast", 9, "Bars"), build_window("slow", 9, "Bars")),
                "constraints": (Constraint("fast", "<", "slow"),),
            },
            "must be below slow",
        ),
        (
            {"parameters": (Parameter("side", "choice", "up", "Side", choices=("left",)),)},
            "must be one of left",
        ),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused_when_it_is_registered(metadata, message):
    with pytest.raises(ValueError, match=message):
        register_rule(build_rule(**metadata))
    found = get_rule("idle")
    assert found is None


def run_python(code: str, *arguments: str) -> Any:
    answer = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return json.loads(answer.stdout)


def test_a_request_is_validated_without_numerics_in_memory():
    code = """
import json, sys
from rules.base_rule import list_rules
from rules.spec import parse_run_request
rules = list_rules()
for rule in rules:
    parse_run_request({"dataset": "AAPL", "rule": rule.metadata.name})
heavy = {"numba", "llvmlite", "numpy", "scipy", "pandas", "matplotlib", "pyarrow",
         "backtest.engine", "rules.technical_indicators", "rules.indicator_kernels"}
print(json.dumps([len(rules), sorted(heavy & set(sys.modules))]))
"""
    n_rules, heavy = run_python(code)
    assert n_rules >= 5
    assert heavy == []


def test_a_module_of_rules_is_found_by_its_name_alone(tmp_path):
    (tmp_path / "dropped_rules.py").write_text(
        """
from rules.base_rule import BaseRule, RuleMetadata, RuleOutput, register_rule

@register_rule
class NothingRule(BaseRule):
    metadata = RuleMetadata(name="nothing", title="Nothing", summary="Never trades")
    def warmup_bars(self, **params): return 0
    def compute(self, bars, **params):
        import numpy as np
        return RuleOutput(np.zeros(bars.n_bars, dtype=np.int8))
"""
    )
    code = """
import json, sys
import rules
rules.__path__.append(sys.argv[1])
from rules.base_rule import list_rules
from rules.spec import parse_run_request
parse_run_request({"dataset": "AAPL", "rule": "nothing"})
print(json.dumps([rule.metadata.name for rule in list_rules()]))
"""
    assert "nothing" in run_python(code, str(tmp_path))


@pytest.mark.usefixtures("registry")
def test_a_refusal_at_registration_is_one_of_our_input_errors():
    bad = Parameter("level", "float", 7.0, "Level", maximum=5)
    with pytest.raises(InputError) as caught:
        register_rule(build_rule(parameters=(bad,)))
    assert [error.field for error in caught.value.errors] == ["params.level"]
