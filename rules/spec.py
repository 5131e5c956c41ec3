"""The specification of a run: what is asked for, validated into one frozen, canonical form.

One set of models serves the API, the form and the command line, so that a default, a bound or a
message exists once. OpenAPI is generated from the same models.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from backtest.errors import FieldError, InputError
from rules.base_rule import ParameterValue, get_rule, list_rules
from rules.rule_validator import suggest_name, validate_params
from rules.spec_messages import describe_fault

SizeType = Literal["percent", "value", "shares"]
Direction = Literal["long_only", "long_short", "short_only"]
Fill = Literal["next_open", "same_close", "worst_of_bar"]

# Stricter than int() and float(), which also take "1_000", "infinity" and digits of any script.
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def _unit(unit: str) -> dict[str, Any]:
    return {"unit": unit}


class TradingSpec(BaseModel):
    """How signals become fills, and what money costs; see definitions 2 and 4.

    Fractions are fractions (0.001 is 0.1 %); rates are per year; None switches an option off.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    initial_cash: Annotated[
        float,
        Field(
            gt=0, le=1e15, description="Cash before the first bar", json_schema_extra=_unit("USD")
        ),
    ] = 100_000.0
    fee_rate: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="Commission per fill, fraction of its value",
            json_schema_extra=_unit("of value"),
        ),
    ] = 0.001
    fee_fixed: Annotated[
        float,
        Field(
            ge=0,
            le=1e12,
            description="Commission per fill, fixed amount",
            json_schema_extra=_unit("USD"),
        ),
    ] = 0.0
    slippage: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="Price moved against you per fill",
            json_schema_extra=_unit("of price"),
        ),
    ] = 0.0
    size: Annotated[
        float,
        Field(gt=0, le=1e15, description="Size of an entry; percent takes a fraction, 1 is all in"),
    ] = 1.0
    size_type: Annotated[
        SizeType,
        Field(
            description="What size counts: fraction of cash, currency or shares",
            validate_default=True,
        ),
    ] = "percent"
    lot_size: Annotated[
        float,
        Field(
            ge=0,
            le=1e12,
            description="Shares are rounded down to this; 0 allows fractions",
            json_schema_extra=_unit("shares"),
        ),
    ] = 0.0
    direction: Annotated[Direction, Field(description="Which positions may be opened")] = (
        "long_only"
    )
    fill: Annotated[Fill, Field(description="When and at which price a signal fills")] = "next_open"
    stop_loss: Annotated[
        float | None,
        Field(
            gt=0,
            lt=1,
            description="Exit at this loss from entry",
            json_schema_extra=_unit("of entry"),
        ),
    ] = None
    take_profit: Annotated[
        float | None,
        Field(
            gt=0,
            le=1000,
            description="Exit at this gain from entry",
            json_schema_extra=_unit("of entry"),
        ),
    ] = None
    trailing_stop: Annotated[
        float | None,
        Field(
            gt=0,
            lt=1,
            description="Exit at this loss from the best close",
            json_schema_extra=_unit("of best"),
        ),
    ] = None
    cash_rate: Annotated[
        float,
        Field(
            gt=-1,
            le=10,
            description="Interest on idle cash per year",
            json_schema_extra=_unit("per year"),
        ),
    ] = 0.0
    borrow_rate: Annotated[
        float,
        Field(
            gt=-1,
            le=10,
            description="Cost of borrowed shares per year",
            json_schema_extra=_unit("per year"),
        ),
    ] = 0.0
    periods_per_year: Annotated[
        float | None,
        Field(
            ge=1,
            le=1e7,
            description="Bars per year; empty derives it from the data",
            json_schema_extra=_unit("bars"),
        ),
    ] = None
    risk_free: Annotated[
        float,
        Field(
            gt=-1,
            le=10,
            description="Risk-free rate per year for Sharpe and alpha",
            json_schema_extra=_unit("per year"),
        ),
    ] = 0.0
    mar: Annotated[
        float,
        Field(
            gt=-1,
            le=10,
            description="Minimum acceptable return per year for Sortino",
            json_schema_extra=_unit("per year"),
        ),
    ] = 0.0

    @field_validator("size_type")
    @classmethod
    def _fits_the_size(cls, value: str, info: ValidationInfo) -> str:
        # On the later of the two fields, not on the model: a model validator is not reached where
        # any other field is wrong, and all errors are to be reported at once.
        size = info.data.get("size", 1.0)
        if value == "percent" and size > 1:
            remedy = f"; write {size / 100:g} for {size:g} %" if size <= 100 else ""
            raise InputError.of("size", size, f"percent takes a fraction in (0, 1]{remedy}")
        return value


class RunRequest(BaseModel):
    """Body of ``POST /api/v1/runs``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dataset: Annotated[
        str, Field(min_length=1, max_length=128, description="Symbol, SHA-256 or id of a dataset")
    ]
    rule: Annotated[str, Field(min_length=1, max_length=64, description="Name of a rule")]
    params: dict[str, ParameterValue] = Field(
        default_factory=dict, description="Rule parameters; defaults fill the rest"
    )
    trading: TradingSpec = Field(default_factory=TradingSpec)
    start: Annotated[
        str | None, Field(max_length=40, description="First bar, ISO 8601, inclusive")
    ] = None
    end: Annotated[
        str | None, Field(max_length=40, description="Last bar, ISO 8601, inclusive")
    ] = None
    adjust: Annotated[bool, Field(description="Use split and dividend adjusted prices")] = True
    force: Annotated[bool, Field(description="Compute again even if the same run is done")] = False
    tags: list[Annotated[str, Field(min_length=1, max_length=40)]] = Field(
        default_factory=list, max_length=20
    )
    note: Annotated[str, Field(max_length=2000)] = ""

    @field_validator("start", "end")
    @classmethod
    def _is_a_time(cls, value: str | None) -> str | None:
        return validate_time_text(value)


def validate_time_text(value: str | None) -> str | None:
    """Return an ISO 8601 date or date-time, None for empty text, or raise ValueError.

    A bare date comes back as YYYY-MM-DD, so that its spellings share a fingerprint; a date-time
    stays as it is, because what it means depends on the spacing of the bars.
    """
    text = (value or "").strip()
    if not text:
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        pass
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("write a date as YYYY-MM-DD or a time as YYYY-MM-DDTHH:MM:SSZ") from None
    return text


class DatasetRef(BaseModel):
    """The dataset of a run, pinned by content; times as the page prints them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbol: str
    sha256: str
    n_bars: int
    start: str
    end: str
    adjusted: bool


class RunSpec(BaseModel):
    """One backtest, completely specified: the same spec gives the same numbers anywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: DatasetRef
    rule: str
    params: dict[str, ParameterValue]
    trading: TradingSpec
    start: str | None
    end: str | None

    def to_json_dict(self) -> dict[str, Any]:
        """Return the ``spec`` object of ``backtest --json``."""
        return self.model_dump(mode="json")


def parse_run_request(payload: object) -> RunRequest:
    """Validate the body of a run, rule parameters included.

    Parameters
    ----------
    payload : object
        Decoded JSON; numbers are numbers (see `coerce_text_fields` for forms and flags).

    Returns
    -------
    RunRequest
        With `params` completed by the rule's defaults.

    Raises
    ------
    InputError
        With every error of every field at once.
    """
    if not isinstance(payload, Mapping):
        raise InputError.of("body", type(payload).__name__, "send a JSON object")
    errors: list[FieldError] = []
    params: dict[str, ParameterValue] = {}
    rule_name, raw_params = payload.get("rule"), payload.get("params", {})
    rule = get_rule(rule_name) if isinstance(rule_name, str) else None
    if isinstance(rule_name, str) and rule_name and rule is None:
        errors.append(FieldError("rule", rule_name, describe_unknown_rule(rule_name)))
    elif rule is not None and isinstance(raw_params, Mapping):
        try:
            params = validate_params(rule.metadata, raw_params)
        except InputError as error:
            errors.extend(error.errors)
    request: RunRequest | None = None
    try:
        # The rule's own validator has the better words for params; pydantic sees the result.
        shown = {**payload, "params": params if isinstance(raw_params, Mapping) else raw_params}
        request = RunRequest.model_validate(shown)
    except ValidationError as error:
        errors.extend(describe_validation_error(error))
    if request is None or errors:
        raise InputError(errors)
    return request


def describe_unknown_rule(name: str) -> str:
    """Return the message for a rule that is not registered."""
    known = [rule.metadata.name for rule in list_rules()]
    return f"no such rule; choose one of {', '.join(known)}{suggest_name(name, known)}"


def describe_validation_error(error: ValidationError, *others: type[BaseModel]) -> list[FieldError]:
    """Translate pydantic's findings into our field errors, without its jargon.

    `others` are further models whose fields are to be known by name.
    """
    # Other bodies, a preset's for example, hold trading settings too, but not a request's fields.
    models: tuple[type[BaseModel], ...] = (RunRequest, TradingSpec, *others)
    own = {model.__name__: model.model_fields for model in models}
    groups = {"": own.get(error.title, {}), "trading": TradingSpec.model_fields}
    found: list[FieldError] = []
    for item in error.errors(include_url=False):
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, InputError):  # it names the field beside the one that it came from
            parent = item["loc"][:-1]
            found.extend(
                FieldError(".".join((*map(str, parent), inner.field)), inner.value, inner.message)
                for inner in cause.errors
            )
            continue
        field = ".".join(str(part) for part in item["loc"]) or "body"
        value = None if item["type"] == "missing" else item["input"]
        found.append(FieldError(field, value, describe_fault(item, groups)))
    return found


def coerce_text_fields(fields: Mapping[str, str]) -> dict[str, Any]:
    """Turn the text values of a form or of flags into JSON values where they read as such.

    Numbers become int or float, ``true``/``false`` become bool, empty text and ``off`` become None,
    everything else stays text. Validation afterwards decides whether the type fits.
    """
    return {name: coerce_text(text) for name, text in fields.items()}


def coerce_text(text: str) -> Any:
    """Return the JSON value that `text` reads as; see `coerce_text_fields`."""
    stripped = text.strip()
    word = stripped.lower()
    if word in ("", "off", "none", "null"):
        return None
    if word in ("true", "false"):
        return word == "true"
    if not _NUMBER.fullmatch(stripped):
        return stripped
    number = float(stripped)
    if not math.isfinite(number):
        return stripped
    return int(stripped) if stripped.lstrip("+-").isdigit() else number


def compute_fingerprint(
    spec: RunSpec, *, engine_hash: str, rule_version: str, results_version: str
) -> str:
    """Return the SHA-256 under which a finished run is found again.

    The symbol and the dataset's printed range are left out: the content hash says more.
    """
    body = spec.to_json_dict()
    body["dataset"] = {"sha256": spec.dataset.sha256, "adjusted": spec.dataset.adjusted}
    for group in ("params", "trading"):
        body[group] = {name: canonicalise_value(value) for name, value in body[group].items()}
    body["versions"] = {"engine": engine_hash, "rule": rule_version, "results": results_version}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def canonicalise_value(value: ParameterValue | None) -> ParameterValue | None:
    """Return one form of equal values: 14 and 14.0 are the same, and so are 0.0 and -0.0."""
    if value is None or isinstance(value, bool | str):
        return value
    return float(value) + 0.0
