"""What is asked for: the body of a sweep, validated with its space, all errors at once.

Bounds, defaults and messages of single values are those of `spec`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from backtest.errors import FieldError, InputError
from rules.base_rule import RuleMetadata, get_rule
from rules.optimizer import SearchSpace, build_search_space
from rules.rule_validator import suggest_name
from rules.spec import describe_unknown_rule, describe_validation_error, validate_time_text
from rules.visit_order import Method

# As in `backtest.engine`, which loads the compiler on import and is therefore not read here.
HEADLINE_METRICS = (
    "total_return", "cagr", "volatility", "sharpe", "sortino", "max_drawdown", "calmar",
    "win_rate", "profit_factor", "expectancy", "exposure", "turnover", "n_trades",
)  # fmt: skip
# The largest objective is best but for these.
SMALLER_IS_BETTER = ("volatility", "turnover")
# The sampler's cost grows with what it has seen; beyond this a random search does as well.
MAX_ADAPTIVE_TRIALS = 20_000
_MAX_DATASETS = 1_000
_NOTHING_SWEPT = (
    "is empty; give a parameter or a trading setting several values, as 2:50 or 10,14,21, or run a "
    "single backtest"
)

# What the values of an axis may be is decided by `search_text`; this is for the description only.
_SCALAR: dict[str, Any] = {
    "anyOf": [{"type": kind} for kind in ("number", "string", "boolean", "null")]
}
_AXES = WithJsonSchema(
    {
        "type": "object",
        "additionalProperties": {"anyOf": [*_SCALAR["anyOf"], {"type": "array", "items": _SCALAR}]},
    }
)
_TEXTS = WithJsonSchema(
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
)
_Strict = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class SweepSearch(BaseModel):
    """Which points of the space a sweep visits."""

    model_config = _Strict

    method: Annotated[
        Method, Field(description="Every point, a seeded random subset, or a guided search")
    ] = "grid"
    n: Annotated[
        int | None,
        Field(
            ge=1,
            le=10**15,
            validate_default=True,
            description="Most combinations to visit; empty for a grid",
        ),
    ] = None
    seed: Annotated[int, Field(ge=0, le=10**15, description="Of everything random")] = 0

    @field_validator("n")
    @classmethod
    def _fits_the_method(cls, value: int | None, info: ValidationInfo) -> int | None:
        method = info.data.get("method")
        if method == "grid" and value is not None:
            raise ValueError("a grid visits every point; remove it, or set search.method to random")
        if method in ("random", "adaptive") and value is None:
            raise ValueError(f"a search by {method} needs the number of combinations to visit")
        if method == "adaptive" and value is not None and value > MAX_ADAPTIVE_TRIALS:
            raise ValueError(
                f"an adaptive search visits at most {MAX_ADAPTIVE_TRIALS:,} combinations; lower "
                "it, or set search.method to random"
            )
        return value


class SweepRequest(BaseModel):
    """Body of ``POST /api/v1/sweeps``."""

    model_config = _Strict

    dataset: Annotated[
        str | None,
        Field(min_length=1, max_length=128, description="Symbol, SHA-256 or id of a dataset"),
    ] = None
    datasets: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=128)]] | None,
        Field(
            min_length=1,
            max_length=_MAX_DATASETS,
            description="Several datasets instead of dataset: one more axis",
        ),
    ] = None
    rule: Annotated[str, Field(min_length=1, max_length=64, description="Name of a rule")]
    space: Annotated[
        dict[str, Any],
        _AXES,
        Field(
            default_factory=dict,
            description="Rule parameters: a value, a range as 2:50:2, a list; defaults fill the "
            "rest",
        ),
    ]
    params: Annotated[
        dict[str, Any],
        _AXES,
        Field(
            default_factory=dict, description="Rule parameters with one value; as good as in space"
        ),
    ]
    trading: Annotated[
        dict[str, Any],
        _AXES,
        Field(default_factory=dict, description="Trading settings, written as in space"),
    ]
    where: Annotated[
        Any,
        _TEXTS,
        Field(description="Constraints between numeric parameters, as fast < slow; all must hold"),
    ] = None
    objective: Annotated[str, Field(description="Headline metric that ranks combinations")] = (
        "sharpe"
    )
    min_trades: Annotated[
        int, Field(ge=0, le=10**9, description="Closed trades that a ranked combination needs")
    ] = 0
    search: SweepSearch = Field(default_factory=SweepSearch)
    start: Annotated[
        str | None, Field(max_length=40, description="First bar, ISO 8601, inclusive")
    ] = None
    end: Annotated[
        str | None, Field(max_length=40, description="Last bar, ISO 8601, inclusive")
    ] = None
    adjust: Annotated[bool, Field(description="Use split and dividend adjusted prices")] = True
    force: Annotated[bool, Field(description="Compute again even if the same sweep is done")] = (
        False
    )
    tags: list[Annotated[str, Field(min_length=1, max_length=40)]] = Field(
        default_factory=list, max_length=20
    )
    note: Annotated[str, Field(max_length=2000)] = ""

    @field_validator("start", "end")
    @classmethod
    def _is_a_time(cls, value: str | None) -> str | None:
        return validate_time_text(value)

    @field_validator("objective")
    @classmethod
    def _is_a_headline_metric(cls, value: str) -> str:
        if value not in HEADLINE_METRICS:
            near = suggest_name(value, HEADLINE_METRICS)
            raise ValueError(f"choose one of {', '.join(HEADLINE_METRICS)}{near}")
        return value

    @property
    def dataset_names(self) -> list[str]:
        """The datasets as named, one or more."""
        return [self.dataset] if self.dataset is not None else list(self.datasets or ())

    def build_space(self, datasets: Sequence[str]) -> SearchSpace:
        """Return the space over these names of datasets; see `optimizer.build_search_space`."""
        return build_search_space(
            get_metadata(self.rule), self.params | self.space, self.trading, datasets, self.where
        )


def get_metadata(name: str) -> RuleMetadata:
    """Return the metadata of a registered rule, or raise InputError."""
    rule = get_rule(name)
    if rule is None:
        raise InputError.of("rule", name, describe_unknown_rule(name))
    return rule.metadata


def parse_sweep_request(payload: object) -> SweepRequest:
    """Validate the body of a sweep, its space included.

    Parameters
    ----------
    payload : object
        Decoded JSON.

    Raises
    ------
    InputError
        With every error of every field at once.
    """
    if not isinstance(payload, Mapping):
        raise InputError.of("body", type(payload).__name__, "send a JSON object")
    errors: list[FieldError] = []
    request: SweepRequest | None = None
    try:
        request = SweepRequest.model_validate(dict(payload))
    except ValidationError as error:
        errors += describe_validation_error(error, SweepRequest)
    errors += _find_dataset_errors(payload)
    errors += _find_space_errors(payload)
    if request is None or errors:
        raise InputError(errors)
    # A space of one point that is spelled out is a combination; one that says nothing, a mistake.
    if not request.space and not request.build_space(request.dataset_names).axes:
        raise InputError.of("space", request.space, _NOTHING_SWEPT)
    return request


def _find_dataset_errors(payload: Mapping[str, Any]) -> list[FieldError]:
    one, several = payload.get("dataset"), payload.get("datasets")
    if one is None and several is None:
        return [FieldError("dataset", None, "this field is required, or several in datasets")]
    if one is not None and several is not None:
        return [FieldError("datasets", several, "give either dataset or datasets, not both")]
    if isinstance(several, list):
        twice = [name for i, name in enumerate(several) if name in several[:i]]
        return [
            FieldError("datasets", name, "comes twice; remove one of them") for name in twice[:1]
        ]
    return []


def _find_space_errors(payload: Mapping[str, Any]) -> list[FieldError]:
    """Return what is wrong with rule, space and constraints, where their types are right."""
    name = payload.get("rule")
    if not isinstance(name, str) or not name:
        return []
    rule = get_rule(name)
    if rule is None:
        return [FieldError("rule", name, describe_unknown_rule(name))]
    groups = {group: payload.get(group, {}) for group in ("space", "params", "trading")}
    read = {group: raw if isinstance(raw, Mapping) else {} for group, raw in groups.items()}
    errors = [
        FieldError(f"params.{name}", value, f"is in space as well; keep space.{name} only")
        for name, value in read["params"].items()
        if name in read["space"]
    ]
    try:
        space = build_search_space(
            rule.metadata,
            {**read["params"], **read["space"]},
            read["trading"],
            (),
            payload.get("where"),
        )
    except InputError as error:
        return errors + [_name_as_sent(item, read) for item in error.errors]
    return errors + [
        FieldError(f"params.{axis.name}", read["params"][axis.name],
                   f"several values are a sweep's; write them in space, as space.{axis.name}")
        for axis in space.axes
        if axis.group == "params" and axis.name not in read["space"]
    ]  # fmt: skip


def _name_as_sent(error: FieldError, read: Mapping[str, Mapping[str, Any]]) -> FieldError:
    """Return an error with the field under which its sender wrote the parameter."""
    group, _, name = error.field.partition(".")
    if group == "space" and name in read["params"] and name not in read["space"]:
        return FieldError(f"params.{name}", error.value, error.message)
    return error
