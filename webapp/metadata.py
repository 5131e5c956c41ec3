"""Rules, trading parameters and metrics as forms, the API and the pages show them."""

from __future__ import annotations

from types import NoneType
from typing import Any, Literal, get_args, get_origin

from adapters.convention_terms import CONVENTIONS
from adapters.metric_texts import METRIC_TEXTS
from backtest.version import DEFINITIONS_VERSION
from rules.base_rule import Parameter, RuleMetadata, list_rules
from rules.spec import TradingSpec


def build_rule_list() -> list[dict[str, Any]]:
    """Return the metadata of every registered rule, by name."""
    return [build_rule_view(rule.metadata) for rule in list_rules()]


def build_rule_view(metadata: RuleMetadata) -> dict[str, Any]:
    """Return one rule's metadata as JSON-safe values."""
    return {
        "name": metadata.name,
        "title": metadata.title,
        "summary": metadata.summary,
        "version": metadata.version,
        "source": metadata.source,
        "label": metadata.label,
        "deviations": list(metadata.deviations),
        "published_sample": metadata.published_sample and list(metadata.published_sample),
        "reads": list(metadata.reads),
        "overlays": list(metadata.overlays),
        "parameters": [_build_parameter(item) for item in metadata.parameters],
        "constraints": [
            {"left": item.left, "operator": item.operator, "right": item.right}
            for item in metadata.constraints
        ],
    }


def _build_parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "type": parameter.type,
        "default": parameter.default,
        "help": parameter.help,
        "minimum": parameter.minimum,
        "maximum": parameter.maximum,
        "exclusive_minimum": False,
        "exclusive_maximum": False,
        "unit": parameter.unit,
        "choices": list(parameter.choices),
        "optional": False,
        "only_if": parameter.only_if and list(parameter.only_if),
    }


def build_trading_fields() -> list[dict[str, Any]]:
    """Return the trading parameters in the shape of rule parameters, bounds from the model."""
    fields = []
    for name, info in TradingSpec.model_fields.items():
        optional, kind, choices = _read_annotation(info.annotation)
        bounds = {
            key: getattr(item, key)
            for item in info.metadata
            for key in ("ge", "gt", "le", "lt")
            if hasattr(item, key)
        }
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        fields.append(
            {
                "name": name,
                "type": kind,
                "default": info.default,
                "help": info.description or "",
                "minimum": bounds.get("ge", bounds.get("gt")),
                "maximum": bounds.get("le", bounds.get("lt")),
                "exclusive_minimum": "gt" in bounds,
                "exclusive_maximum": "lt" in bounds,
                "unit": extra.get("unit", ""),
                "choices": choices,
                "optional": optional,
                "only_if": None,
            }
        )
    return fields


def build_definitions() -> dict[str, Any]:
    """Return what every metric means, and how other libraries compute the headline ones."""
    return {
        "definitions_version": DEFINITIONS_VERSION,
        "metrics": [{"name": name, **text._asdict()} for name, text in METRIC_TEXTS.items()],
        "conventions": list(CONVENTIONS),
    }


def _read_annotation(annotation: Any) -> tuple[bool, str, list[str]]:
    """Return (may be None, type name, choices) of a trading field."""
    members = [item for item in get_args(annotation) if item is not NoneType]
    if get_origin(annotation) is Literal:
        return False, "choice", [str(item) for item in members]
    optional = NoneType in get_args(annotation)
    kind = members[0] if optional else annotation
    return optional, {float: "float", int: "int", bool: "bool"}[kind], []
