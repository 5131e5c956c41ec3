"""Who asks, and whether they may: every request passes here before its handler.

Denied by default: an operation without an entry in the policy needs the widest scope, and an
address that leads nowhere needs a token like any other.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import structlog
from flask import Flask, Response, g, request
from itsdangerous import BadSignature, URLSafeTimedSerializer

from storage.access import Scope, TokenRecord, includes_scope
from storage.errors import StorageUnavailable
from storage.store import Store
from tasks.exposure import AccessMode, choose_mode, is_from_here
from tasks.logs import get_logger
from tasks.settings import Settings
from webapp.problems import ProblemError, build_problem
from webapp.rates import RateLimits
from webapp.routing import Route
from webapp.security import WRITES, find_client, is_secure, split_port

Needed = Scope | Literal["public"]

CSRF_HEADER = "X-CSRF-Token"
_COOKIE, _SECURE_COOKIE = "stock_backtest", "__Host-stock_backtest"
_SALT = "stock-backtest session"
_KEY = "stock_backtest_access"
# Nothing in them belongs to anybody: whether the process answers, and what the login page loads.
PUBLIC = frozenset(
    {
        *("get_health", "get_health_live", "get_health_ready"),
        *("static", "module", "sheet", "page_login", "post_session"),
    }
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends the current request.

    Parameters
    ----------
    kind : {"open", "token", "session"}
        Nobody was asked; a token in the request's header; a browser that logged in.
    name : str
        Of the token; for the audit log.
    session_id : str or None
        Of a browser that logged in.
    """

    kind: Literal["open", "token", "session"]
    name: str
    scope: Scope
    token_id: str | None = None
    session_id: str | None = None


OPEN = Identity("open", "local", "admin")


class AccessControl:
    """Decides about requests; one per application.

    Parameters
    ----------
    policy : mapping
        What each endpoint needs; one that is not in it needs ``admin``.
    """

    def __init__(self, settings: Settings, store: Store, policy: Mapping[str, Needed]) -> None:
        self.mode: AccessMode = choose_mode(settings, settings.bind)
        self.policy = policy
        self.rates = RateLimits(settings)
        self._settings, self._store = settings, store
        self._tokens_exist: bool | None = None
        self._asked_at = 0.0
        self._serializer = URLSafeTimedSerializer(
            settings.secret_key or "-",
            salt=_SALT,
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )

    @property
    def session_seconds(self) -> int:
        """Life of a session. [hours] * [s / hour] = [s]."""
        return self._settings.session_hours * 3600

    def needed(self, endpoint: str | None) -> Needed:
        """Return what an endpoint needs; None is an address that leads nowhere."""
        return self.policy.get(endpoint, "admin") if endpoint is not None else "read"

    def check(self) -> Response | None:
        """Let the current request pass, or answer it.

        Raises
        ------
        ProblemError
            403 for a scope that does not suffice or a browser's write without its proof.
        StorageUnavailable
            If who asks cannot be looked up; nobody passes then.
        """
        needed = self.needed(request.endpoint)
        if needed == "public":
            return None
        if request.method == "OPTIONS":  # tells the methods of an address, and nothing else
            needed = "read"
        identity = self.identify()
        if identity is None:
            return self._refuse()
        g.identity = identity
        structlog.contextvars.bind_contextvars(actor=identity.name)
        # What leads nowhere is told to everybody who may ask anything.
        if not includes_scope(identity.scope, needed):
            get_logger(__name__).warning(
                "scope_refused",
                action=request.endpoint or "unknown",
                needed=needed,
                address=find_client(self._settings),
            )
            raise ProblemError(
                403,
                f"the token {identity.name!r} may {identity.scope}; this needs a token that may "
                f"{needed}, from `stock-backtest token create --scope {needed}`",
            )
        if request.method in WRITES and identity.kind == "session":
            self._check_proof(identity)
        if identity.kind != "open":
            return self.rates.count_request(
                identity.token_id or "", is_write=request.method in WRITES
            )
        return None

    def identify(self) -> Identity | None:
        """Return who sends the current request, None for nobody that is known.

        A token in the header counts before a cookie: no foreign page can send one.
        """
        header = request.headers.get("Authorization")
        if header is not None:
            kind, _, secret = header.partition(" ")
            if kind.lower() != "bearer":
                return None
            record = self._store.tokens.find_by_secret(secret.strip())
            return None if record is None else _identify(record, "token")
        session_id = self.read_cookie()
        if session_id is not None:
            record = self._store.tokens.find_by_session(session_id)
            if record is not None:
                return _identify(record, "session", session_id)
        return OPEN if self._is_open() else None

    def _is_open(self) -> bool:
        if self.mode != "auto":
            return self.mode == "open"
        # Whatever this server was told about its address: a request from elsewhere, or for a name
        # that is not this machine's, has come over the network, be it by a proxy of this machine.
        name = split_port(request.headers.get("Host", ""))
        forwarded = request.headers.get("X-Forwarded-For", "")
        if not is_from_here(name, request.remote_addr or "", forwarded):
            return False
        return not self._ask_for_tokens()

    def close(self) -> None:
        """Ask everybody from now on: there is a token."""
        self._tokens_exist = True

    def _ask_for_tokens(self) -> bool:
        """Return whether there ever was a token, as known a second ago; they never become none.

        Raises
        ------
        StorageUnavailable
            If that was never known, but for what tells of a database that is away.
        """
        now = time.monotonic()
        if self._tokens_exist or (self._tokens_exist is False and now < self._asked_at + 1.0):
            return self._tokens_exist
        try:
            self._tokens_exist = self._store.tokens.exist()
            self._asked_at = now
        except StorageUnavailable:
            endpoint = request.endpoint or ""
            tells = endpoint.startswith("page_") or endpoint == "get_metrics"
            if self._tokens_exist is None and not tells:
                raise
        return bool(self._tokens_exist)

    def _refuse(self) -> Response:
        sent = "Authorization" in request.headers
        if sent:
            limited = self.rates.count_failure(find_client(self._settings))
            get_logger(__name__).warning("token_refused", address=find_client(self._settings))
            if limited is not None:
                return limited
        detail = (
            "the token is not known, was revoked or has expired"
            if sent
            else "send Authorization: Bearer TOKEN, or log in at /login; "
            "`stock-backtest token create` makes a token"
        )
        challenge = 'Bearer realm="stock-backtest"' + (', error="invalid_token"' if sent else "")
        g.unauthorized = True  # the page says it in its own words
        return build_problem(401, detail, headers={"WWW-Authenticate": challenge})

    def _check_proof(self, identity: Identity) -> None:
        # The cookie comes with every request that a browser sends here, whoever made it send it.
        # Our own pages add what no other origin can read; browsers say where a write comes from.
        proof = request.headers.get(CSRF_HEADER, "")
        expected = self.build_proof(identity.session_id or "")
        if not hmac.compare_digest(proof.encode(), expected.encode()):
            raise ProblemError(403, f"a write of a browser needs the page's {CSRF_HEADER}")
        if "Origin" not in request.headers and "Sec-Fetch-Site" not in request.headers:
            raise ProblemError(
                403, "a write with a cookie must say its Origin; programs send a token instead"
            )

    def build_proof(self, session_id: str) -> str:
        """Return what a page of this session sends along with its writes.

        Derived with the key and not part of the cookie: who has a cookie does not have it.
        """
        key = self._settings.secret_key.encode()
        return hmac.new(key, b"csrf:" + session_id.encode(), hashlib.sha256).hexdigest()

    def read_cookie(self) -> str | None:
        """Return the session's id in the request's cookie, None without a valid one."""
        text = request.cookies.get(_SECURE_COOKIE if is_secure() else _COOKIE)
        if not text or not self._settings.secret_key:
            return None
        try:
            value = self._serializer.loads(text, max_age=self.session_seconds)
        except BadSignature:
            return None
        return value if isinstance(value, str) else None

    def write_cookie(self, response: Response, session_id: str) -> None:
        """Hand a browser its session."""
        response.set_cookie(
            _SECURE_COOKIE if is_secure() else _COOKIE,
            str(self._serializer.dumps(session_id)),
            max_age=self.session_seconds,
            path="/",
            secure=is_secure(),
            httponly=True,
            samesite="Lax",  # Strict would ask again who follows a link to a run
        )

    def delete_cookie(self, response: Response) -> None:
        """Take it back."""
        response.delete_cookie(
            _SECURE_COOKIE if is_secure() else _COOKIE,
            path="/",
            secure=is_secure(),
            httponly=True,
            samesite="Lax",
        )


def build_policy(routes: Iterable[Route], pages: Iterable[str]) -> dict[str, Needed]:
    """Return what each endpoint needs: routes say it themselves, pages are read."""
    return {
        **{route.endpoint: route.scope for route in routes},
        **dict.fromkeys(pages, "read"),
        **dict.fromkeys(PUBLIC, "public"),
    }


def add_access(app: Flask, control: AccessControl) -> None:
    """Ask `control` before every request."""
    app.extensions[_KEY] = control
    app.before_request(control.check)


def get_access(app: Flask) -> AccessControl:
    """Return the access control of `app`."""
    control: AccessControl = app.extensions[_KEY]
    return control


def get_identity() -> Identity:
    """Return who sends the current request; nobody gets this far without one."""
    identity: Identity = g.identity
    return identity


def _identify(
    record: TokenRecord, kind: Literal["token", "session"], session_id: str | None = None
) -> Identity:
    return Identity(kind, record.name, record.scope, record.id, session_id)
