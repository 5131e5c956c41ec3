"""Logging in and out, tokens, and the audit log."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response, current_app, g

from backtest.errors import FieldError
from storage.access import TokenRecord
from storage.audit import AuditEvent
from tasks.logs import get_logger
from webapp.access import Identity, get_access, get_identity
from webapp.access_schemas import (
    AuditList,
    AuditQuery,
    LoginRequest,
    SessionView,
    TokenCreated,
    TokenList,
    TokenRequest,
    TokenView,
)
from webapp.audit import name_object
from webapp.bodies import read_json_object, read_query, validate_model
from webapp.context import get_context
from webapp.problems import ProblemError, build_problem
from webapp.responses import build_json, format_instant
from webapp.routing import Route
from webapp.security import find_client

_ACCESS, _TOKENS, _AUDIT = "Access", "Tokens", "Audit"


def log_in() -> Response:
    """Exchange a token for the cookie of a session."""
    context, access = get_context(), get_access(current_app)
    address = find_client(context.settings)
    lockout = access.rates.find_lockout(address)
    if lockout is not None:
        return lockout
    secret = _read_secret()
    if not context.settings.secret_key:
        raise ProblemError(
            409, "this server signs no cookies: set STOCK_BACKTEST_SECRET_KEY and start it again"
        )
    record = context.store.tokens.find_by_secret(secret)
    if record is None:
        get_logger(__name__).warning("login_refused", address=address)
        return access.rates.count_failure(address) or _refuse_login()
    session_id = context.store.tokens.start_session(record.id, access.session_seconds)
    identity = Identity("session", record.name, record.scope, record.id, session_id)
    g.identity = identity
    name_object(record.id)
    response = build_json(_build_session_view(identity))
    access.write_cookie(response, session_id)
    return response


def _read_secret() -> str:
    """Return the token that was sent; by hand, as the usual refusal repeats what it refuses."""
    payload = read_json_object()
    secret = payload.get("token")
    if payload.keys() == {"token"} and isinstance(secret, str) and 1 <= len(secret.strip()) <= 200:
        return secret.strip()
    message = "paste a token, sbt_ and 43 characters, and send nothing else"
    raise ProblemError(422, "send a token", [FieldError("token", None, message)])


def _refuse_login() -> Response:
    message = "is not known, was revoked or has expired; ask an administrator for a new one"
    return build_problem(
        401,
        f"the token {message}",
        [FieldError("token", None, message)],
        {"WWW-Authenticate": 'Bearer realm="stock-backtest", error="invalid_token"'},
    )


def show_session() -> Response:
    """Answer who asks."""
    return build_json(_build_session_view(get_identity()))


def _build_session_view(identity: Identity) -> dict[str, Any]:
    proof = None
    if identity.session_id is not None:
        proof = get_access(current_app).build_proof(identity.session_id)
    return {
        "kind": identity.kind,
        "name": identity.name,
        "scope": identity.scope,
        "csrf_token": proof,
    }


def log_out() -> Response:
    """End the session, here and for everybody who has its cookie."""
    identity = get_identity()
    if identity.session_id is not None:
        get_context().store.tokens.end_session(identity.session_id)
    name_object(identity.token_id or "")
    response = Response(status=204)
    get_access(current_app).delete_cookie(response)
    # Nothing of what was shown stays in this browser; the cookie is dealt with above.
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


def list_tokens() -> Response:
    """List all tokens."""
    records = get_context().store.tokens.list()
    return build_json({"tokens": [build_token_view(record) for record in records]})


def create_token() -> Response:
    """Make a token; its secret is in this answer and nowhere else."""
    wanted = validate_model(TokenRequest, read_json_object())
    record, secret = get_context().store.tokens.create(
        wanted.name, wanted.scope, wanted.expires_days
    )
    get_access(current_app).close()
    name_object(record.id)
    return build_json({**build_token_view(record), "token": secret}, 201)


def revoke_token(ref: str) -> Response:
    """Revoke a token by its id or name, and end its sessions."""
    record = get_context().store.tokens.revoke(ref)
    if record is None:
        raise ProblemError(
            404,
            f"there is no live token {ref[:100]}",
            [FieldError("token", ref, "no such live token; GET /api/v1/tokens lists all")],
        )
    name_object(record.id)
    return build_json(build_token_view(record))


def build_token_view(record: TokenRecord) -> dict[str, Any]:
    """Return a token as JSON-safe values; see `webapp.access_schemas.TokenView`."""
    values = asdict(record)
    for name in ("created_at", "expires_at", "last_used_at", "revoked_at"):
        values[name] = format_instant(values[name])
    return values


def show_audit() -> Response:
    """Answer the audit log, newest first."""
    query = read_query(AuditQuery)
    events = get_context().store.audit.list(query.limit, query.before)
    last = events[-1].id if len(events) == query.limit else None
    return build_json({"events": [_build_event(item) for item in events], "next_before": last})


def _build_event(event: AuditEvent) -> dict[str, Any]:
    return {**asdict(event), "at": format_instant(event.at)}


ROUTES = (
    Route("GET", "/api/v1/session", show_session, "Who asks", _ACCESS, SessionView),
    Route(
        "POST",
        "/api/v1/session",
        log_in,
        "Log a browser in",
        _ACCESS,
        SessionView,
        body=LoginRequest,
        refusals=(409, 413, 415, 422),
    ),
    Route("DELETE", "/api/v1/session", log_out, "Log out", _ACCESS, status=204, needs="read"),
    Route("GET", "/api/v1/tokens", list_tokens, "List tokens", _TOKENS, TokenList, needs="admin"),
    Route(
        "POST",
        "/api/v1/tokens",
        create_token,
        "Make a token",
        _TOKENS,
        TokenCreated,
        status=201,
        body=TokenRequest,
        refusals=(413, 415, 422),
        needs="admin",
    ),
    Route(
        "DELETE",
        "/api/v1/tokens/{ref}",
        revoke_token,
        "Revoke a token by id or name",
        _TOKENS,
        TokenView,
        refusals=(404,),
        needs="admin",
    ),
    Route(
        "GET",
        "/api/v1/audit",
        show_audit,
        "Who changed what",
        _AUDIT,
        AuditList,
        query=AuditQuery,
        refusals=(422,),
        needs="admin",
    ),
)
