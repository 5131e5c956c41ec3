"""A new rule is one class: registered, it is in the API, in the form and on the command line.

This is also how long a rule is: `BreakoutRule` is complete.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest.bars import Bars
from cli.main import run as run_command
from rules import base_rule
from rules.base_rule import (
    BaseRule,
    RuleMetadata,
    RuleOutput,
    build_window,
    list_rules,
    register_rule,
)
from rules.rule_validator import check_no_lookahead
from tests.support.web import Web, build_web

DATA = Path(__file__).parents[2] / "data"


class BreakoutRule(BaseRule):
    """Follows the close out of the channel of the bars before."""

    metadata = RuleMetadata(
        name="breakout",
        title="Breakout",
        summary="Buys above the channel of the last bars, sells below it",
        parameters=(build_window("channel", 20, "Bars of the channel"),),
    )

    def warmup_bars(self, **params: Any) -> int:
        return int(params["channel"])

    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        from rules import technical_indicators as ti

        upper, _, lower = ti.compute_donchian(bars.high, bars.low, params["channel"])
        buy, sell = ti.compute_onsets(bars.close > upper), ti.compute_onsets(bars.close < lower)
        return RuleOutput(ti.build_signal(buy, sell), indicators={"upper": upper, "lower": lower})


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    list_rules()
    monkeypatch.setattr(base_rule, "_REGISTRY", dict(base_rule._REGISTRY))
    register_rule(BreakoutRule)


@pytest.fixture
def web(tmp_path) -> Web:
    return build_web(tmp_path, executor="inline")


def test_it_is_listed_by_the_api_with_its_parameters(web):
    rules = {rule["name"]: rule for rule in web.client.get("/api/v1/rules").json["rules"]}
    [parameter] = rules["breakout"]["parameters"]
    assert (parameter["name"], parameter["default"], parameter["unit"]) == ("channel", 20, "bars")
    assert rules["breakout"]["summary"] == BreakoutRule.metadata.summary


def test_it_is_offered_by_the_form(web):
    page = web.client.get("/").text
    assert "breakout" in page
    assert BreakoutRule.metadata.title in page


def test_it_runs_through_the_api_and_its_parameters_are_checked(web):
    body = {"dataset": "WALK", "rule": "breakout", "params": {"channel": 5}}
    answer = web.client.post("/api/v1/runs?wait=20", json=body)
    assert answer.status_code in (200, 202), answer.json
    result = web.client.get(f"/api/v1/runs/{answer.json['run_id']}/result")
    assert result.status_code == 200, result.json
    assert result.json["spec"]["params"] == {"channel": 5}
    assert result.json["metrics"]["n_trades"] > 0
    refused = web.client.post("/api/v1/runs", json={**body, "params": {"channel": 0}})
    assert refused.status_code == 422
    assert refused.json["errors"][0]["field"] == "params.channel"


def test_it_is_listed_and_computed_by_the_command_line(capsys):
    assert run_command(["rules", "breakout"]) == 0
    assert "channel" in capsys.readouterr().out
    command = ["backtest", str(DATA / "IBM.csv"), "--rule", "breakout", "-p", "channel=55"]
    assert run_command([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["spec"]["rule"] == "breakout"
    assert document["spec"]["params"] == {"channel": 55}
    assert len(document["trades"]) > 10


def test_it_is_held_to_the_contract_of_rules():
    from storage.bar_files import load_bar_file

    bars, _ = load_bar_file(DATA / "IBM.csv")
    check_no_lookahead(BreakoutRule(), bars, {"channel": 20})
    output = BreakoutRule().compute(bars, channel=20)
    assert set(np.unique(output.signal)) == {-1, 0, 1}
