"""Shapes of requests and answers about tokens, sessions and the audit log."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage.models import MAX_NAME_LENGTH
from webapp.schemas import AnswerModel, RequestModel

ScopeName = Literal["read", "submit", "admin"]


class LoginRequest(RequestModel):
    """What a browser sends to log in."""

    token: Annotated[str, Field(min_length=1, max_length=200)]


class SessionView(AnswerModel):
    """Who asks."""

    kind: Literal["open", "token", "session"]
    name: str
    scope: ScopeName
    csrf_token: Annotated[
        str | None, Field(description="A browser's writes send it as X-CSRF-Token")
    ]


class TokenRequest(RequestModel):
    """A token to make."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]
    scope: ScopeName = "read"
    expires_days: Annotated[int, Field(ge=1, le=3650)] | None = None


class TokenView(AnswerModel):
    """A token without its secret."""

    id: str
    name: str
    scope: ScopeName
    created_at: str
    expires_at: str | None
    last_used_at: Annotated[str | None, Field(description="To the minute")]
    revoked_at: str | None


class TokenCreated(TokenView):
    """A new token; nobody can show its secret again."""

    token: str


class TokenList(AnswerModel):
    """All tokens, revoked ones too, oldest first."""

    tokens: list[TokenView]


class AuditQuery(RequestModel):
    """Which events."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    before: Annotated[int, Field(ge=1, description="Events before this one")] | None = None


class AuditEventView(AnswerModel):
    """One change."""

    id: int
    at: str
    actor: str
    token_id: str | None
    action: str
    object_id: str
    address: str
    status: int


class AuditList(AnswerModel):
    """Events, newest first."""

    events: list[AuditEventView]
    next_before: Annotated[int | None, Field(description="`before` of the next page")]
