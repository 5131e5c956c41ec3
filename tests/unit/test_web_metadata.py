"""Forms are generated from what validates."""

from __future__ import annotations

from rules.base_rule import list_rules
from rules.spec import TradingSpec
from webapp.metadata import build_rule_list, build_trading_fields


def test_every_rule_and_every_parameter_is_listed() -> None:
    listed = {
        rule["name"]: [item["name"] for item in rule["parameters"]] for rule in build_rule_list()
    }
    assert listed == {
        rule.metadata.name: [item.name for item in rule.metadata.parameters]
        for rule in list_rules()
    }


def test_every_trading_field_is_listed_with_its_default() -> None:
    listed = {item["name"]: item["default"] for item in build_trading_fields()}
    assert listed == TradingSpec().model_dump()


def test_bounds_units_and_choices_come_from_the_model() -> None:
    fields = {item["name"]: item for item in build_trading_fields()}
    stop = fields["stop_loss"]
    assert (stop["minimum"], stop["maximum"], stop["optional"]) == (0, 1, True)
    assert (stop["exclusive_minimum"], stop["exclusive_maximum"]) == (True, True)
    assert (stop["type"], stop["unit"]) == ("float", "of entry")
    assert fields["fee_rate"]["exclusive_minimum"] is False
    assert fields["fill"]["type"] == "choice"
    assert fields["fill"]["choices"] == ["next_open", "same_close", "worst_of_bar"]
    assert fields["initial_cash"]["unit"] == "USD"
