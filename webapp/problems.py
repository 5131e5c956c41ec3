"""Every refusal is one problem document (RFC 9457), whoever raises it.

M. Nottingham, E. Wilde, S. Dalal: Problem Details for HTTP APIs, RFC 9457, 2023.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from http import HTTPStatus

from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from backtest.errors import FieldError, InputError
from storage.errors import SchemaError, StorageUnavailable, TooManyQuestions
from tasks.executors import ExecutorUnavailable
from tasks.logs import get_logger
from webapp.responses import encode_json

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2
_MAX_SHOWN = 200  # characters of a refused value that are sent back

_DETAILS = {
    404: "nothing is found under this address; /api/openapi.json lists all of them",
    405: "this address does not answer this method",
    413: "the body is larger than this server accepts",
}


class ProblemError(Exception):
    """A refusal that a handler raises itself.

    Parameters
    ----------
    status : int
        HTTP status, 4xx or 5xx.
    detail : str
        What is wrong and what to do.
    errors : iterable of FieldError
        The fields it is about, if any.
    """

    def __init__(self, status: int, detail: str, errors: Iterable[FieldError] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)


def build_problem(
    status: int,
    detail: str,
    errors: Iterable[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Build the response for a refusal; it names the run if the request is about one."""
    body: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": [
            {"field": item.field, "value": show_value(item.value), "message": item.message}
            for item in errors
        ],
    }
    run_id = g.get("run_id")
    if run_id is not None:
        body["run_id"] = run_id
    response = Response(encode_json(body), status=status, mimetype=MEDIA_TYPE)
    response.headers["Cache-Control"] = "no-store"
    for name, value in (headers or {}).items():
        response.headers[name] = value
    return response


def show_value(value: object) -> object:
    """Return a refused value as JSON can carry it, cut where it is long.

    Non-finite floats become their text: JSON has none, and null would say that nothing was sent.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else _cut(f"{value:e}")
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _cut(value)
    return _cut(repr(value))


def _cut(text: str) -> str:
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"


def add_error_handlers(app: Flask) -> None:
    """Map every exception that can leave a handler to a problem document."""
    app.register_error_handler(ProblemError, _answer_problem)
    app.register_error_handler(InputError, _answer_input_error)
    app.register_error_handler(StorageUnavailable, _answer_unavailable)
    app.register_error_handler(TooManyQuestions, _answer_too_many)
    app.register_error_handler(ExecutorUnavailable, _answer_no_executor)
    app.register_error_handler(SchemaError, _answer_schema_error)
    app.register_error_handler(HTTPException, _answer_http_exception)
    app.register_error_handler(Exception, _answer_unexpected)


def _answer_problem(error: ProblemError) -> Response:
    return build_problem(error.status, error.detail, error.errors)


def _answer_input_error(error: InputError) -> Response:
    return build_problem(422, str(error.errors[0]), error.errors)


def _answer_unavailable(error: StorageUnavailable) -> Response:
    get_logger(__name__).warning("database_unavailable", reason=str(error))
    return build_problem(
        503,
        "the database cannot be reached; nothing was stored, send the request again",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


def _answer_too_many(error: TooManyQuestions) -> Response:
    return build_problem(
        503,
        f"workers have to answer others first: {error}; ask again",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


def _answer_no_executor(error: ExecutorUnavailable) -> Response:
    get_logger(__name__).warning("submission_refused", reason=str(error))
    return build_problem(
        503,
        f"nothing new can be executed now, and nothing was stored; send the request again: {error}",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


def _answer_schema_error(error: SchemaError) -> Response:
    # Its message names the operator's command and quotes nothing from the driver.
    get_logger(__name__).error("schema_refused", reason=str(error))
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return build_problem(503, str(error), headers=headers)


def _answer_http_exception(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:  # a redirect is no refusal
        return Response(status=status, headers=list(error.get_headers()))
    headers = {}
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        headers["Allow"] = ", ".join(sorted(error.valid_methods))
    detail = _DETAILS.get(status, error.description or HTTPStatus(status).phrase)
    return build_problem(status, detail, headers=headers)


def _answer_unexpected(error: Exception) -> Response:
    # The one place where everything ends: the log has the stack, the sender never sees it.
    get_logger(__name__).error("unexpected_error", exc_info=error)
    return build_problem(500, "an unexpected error occurred; the server's log has the details")
