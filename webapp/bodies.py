"""Request bodies: JSON read strictly, forms turned into the same shape."""

from __future__ import annotations

import json
import math
from collections.abc import Container, Mapping, Sequence
from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from backtest.errors import FieldError, InputError
from rules.base_rule import get_rule
from rules.spec import TradingSpec, coerce_text, describe_validation_error
from webapp.context import get_context
from webapp.problems import ProblemError

_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
# In which runs and sweeps may be sent.
BODY_TYPES = ("application/json", *_FORM_TYPES)
_MAX_INT_DIGITS = 18  # more do not fit 64 bits; read as float, like every other JSON reader does

Model = TypeVar("Model", bound=BaseModel)


def read_json_object() -> dict[str, Any]:
    """Return the JSON object of the request's body.

    Raises
    ------
    ProblemError
        415 for another media type, 400 for a body that is not one JSON object: bad UTF-8, NaN or
        Infinity, a number beyond float64, a name given twice, nesting beyond the parser's depth.
    RequestEntityTooLarge
        413, from the reader, before more than the limit is held.
    """
    if not request.is_json:
        shown = request.mimetype or "no Content-Type"
        raise ProblemError(415, f"send Content-Type: application/json, not {shown}")
    value = parse_json(_read_body())
    if not isinstance(value, dict):
        raise ProblemError(400, f"the body must be a JSON object, not {_name_type(value)}")
    return value


def _read_body() -> bytes:
    """Return the whole body, or refuse one beyond the limit.

    A body without a length is cut silently at the reader's limit, so the reader gets one byte more
    than we accept.
    """
    limit = get_context().settings.max_body_bytes
    request.max_content_length = limit + 1
    body = request.get_data()
    if len(body) > limit:
        raise RequestEntityTooLarge
    return body


def parse_json(body: bytes) -> Any:
    """Parse `body` strictly; see `read_json_object` for what is refused."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProblemError(400, f"the body is not UTF-8: byte {error.start} is wrong") from error
    if not text.strip():
        raise ProblemError(400, "the body is empty; send a JSON object")
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_parse_float,
            parse_int=_parse_int,
            object_pairs_hook=_build_object,
        )
        if "\\u" in text:  # an escaped half of a surrogate pair is no text and cannot be stored
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as error:
        raise ProblemError(
            400, f"the body is not JSON: {error.msg}, line {error.lineno} column {error.colno}"
        ) from error
    except UnicodeEncodeError as error:
        raise ProblemError(400, "the body holds half of a surrogate pair") from error
    except RecursionError as error:
        raise ProblemError(400, "the body is nested too deeply") from error
    return value


def _refuse_constant(name: str) -> float:
    raise ProblemError(400, f"the body is not JSON: {name} is no JSON number; leave it out or null")


def _parse_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ProblemError(400, f"the number {text[:40]} is too large")
    return value


def _parse_int(text: str) -> int | float:
    return int(text) if len(text) <= _MAX_INT_DIGITS else _parse_float(text)


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ProblemError(400, f"the body gives {name[:80]!r} twice")
    return value


def _name_type(value: object) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def read_run_payload() -> dict[str, Any]:
    """Return the body of a run, JSON or form, in the shape that `parse_run_request` takes."""
    if request.mimetype not in _FORM_TYPES:
        return read_json_object()
    fields = _read_form(lists=("tags",))
    return build_run_payload(
        {name: values[0] for name, values in fields.items()}, fields.get("tags", [])
    )


def read_sweep_payload() -> dict[str, Any]:
    """Return the body of a sweep, JSON or form, in the shape that `parse_sweep_request` takes."""
    if request.mimetype not in _FORM_TYPES:
        return read_json_object()
    return build_sweep_payload(_read_form(lists=("tags", "datasets", "where")))


def _read_form(lists: Container[str]) -> dict[str, list[str]]:
    """Return the form of the request: every field with its values.

    Raises
    ------
    InputError
        For a field that comes twice and is not among `lists`: which one counts nobody knows. For a
        file, which would be left out in silence.
    """
    _read_body()  # kept by the request, which parses the form out of it
    _refuse_repeated(request.form, lists)
    files = [
        FieldError(name, part.filename, "is a file; send it as text")
        for name, part in request.files.items(multi=True)
    ]
    if files:
        raise InputError(files)
    return dict(request.form.lists())


def _refuse_repeated(given: MultiDict[str, str], lists: Container[str]) -> None:
    errors = [
        FieldError(name, ", ".join(values), "give it once")
        for name, values in given.lists()
        if len(values) > 1 and name not in lists
    ]
    if errors:
        raise InputError(errors)


def build_sweep_payload(fields: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Turn form fields into the JSON shape of a sweep.

    ``space.window``, ``trading.stop_loss`` and ``search.n`` say where they belong; the short names
    of rule parameters and trading settings are looked up. Values are SPECs, as ``2:50:2`` or
    ``off,0.1``. ``datasets``, ``where`` and ``tags`` may be repeated. An empty field is one that
    was not filled in.
    """
    rule = get_rule(next(iter(fields.get("rule", ())), ""))
    param_names = {item.name for item in rule.metadata.parameters} if rule else set()
    payload: dict[str, Any] = {}
    for name, values in fields.items():
        texts = [text.strip() for text in values if text.strip()]
        if not texts:
            continue
        group, _, rest = name.partition(".")
        if rest and group in ("space", "params", "trading"):
            payload.setdefault(group, {})[rest] = texts[0]
        elif rest and group == "search":
            payload.setdefault(group, {})[rest] = _coerce_number(texts[0])
        elif name in param_names:
            payload.setdefault("space", {})[name] = texts[0]
        elif name in TradingSpec.model_fields:
            payload.setdefault("trading", {})[name] = texts[0]
        elif name in ("tags", "datasets"):
            payload[name] = [part.strip() for text in texts for part in text.split(",") if part]
        elif name == "where":
            payload[name] = texts
        elif name in ("adjust", "force"):
            payload[name] = _coerce_switch(texts[0])
        elif name == "min_trades":
            payload[name] = _coerce_number(texts[0])
        else:
            payload[name] = texts[0]
    return payload


def _coerce_number(text: str) -> object:
    """Return a whole number where the text is one; anything else is left to be refused in words."""
    value = coerce_text(text)
    return value if isinstance(value, int) and not isinstance(value, bool) else text


def _coerce_switch(text: str) -> object:
    """Return what a check box says: browsers send ``on``."""
    return True if text.lower() == "on" else coerce_text(text)


def build_run_payload(fields: dict[str, str], tags: list[str]) -> dict[str, Any]:
    """Turn form fields into the JSON shape of a run.

    ``params.window`` and ``trading.fee_rate`` say where they belong; the short names ``window``
    and ``fee_rate`` are looked up. An empty field is one that was not filled in, so its default
    applies.
    """
    rule = get_rule(fields.get("rule", ""))
    param_names = {item.name for item in rule.metadata.parameters} if rule else set()
    payload: dict[str, Any] = {"params": {}, "trading": {}}
    for name, text in fields.items():
        group, _, rest = name.partition(".")
        if text.strip() == "" or name == "tags":
            continue
        if rest and group in ("params", "trading"):
            payload[group][rest] = coerce_text(text)
        elif name in param_names:
            payload["params"][name] = coerce_text(text)
        elif name in TradingSpec.model_fields:
            payload["trading"][name] = coerce_text(text)
        elif name in ("adjust", "force"):
            payload[name] = _coerce_switch(text.strip())
        else:
            payload[name] = text
    chosen = [tag.strip() for text in tags for tag in text.split(",") if tag.strip()]
    return {**payload, "tags": chosen} if chosen else payload


def validate_model(model: type[Model], payload: object) -> Model:
    """Validate `payload` into `model`; every fault becomes a field error."""
    try:
        return model.model_validate(payload)
    except ValidationError as error:
        raise InputError(describe_validation_error(error)) from error


def read_query(
    model: type[Model], *, lists: Container[str] = (), ignored: Container[str] = ()
) -> Model:
    """Validate the query string into `model`.

    Parameters
    ----------
    lists : container of str
        Names that may be repeated; any other that is given twice is refused.
    ignored : container of str
        Names that somebody else reads.
    """
    _refuse_repeated(request.args, lists)
    payload: dict[str, object] = {}
    for name, values in request.args.lists():
        given = [text for text in values if text != ""]
        if given and name not in ignored:
            payload[name] = given if name in lists else given[0]
    return validate_model(model, payload)
