"""Who may look at Flower: the rules of the page, applied in front of it.

Flower knows no tokens of ours, answers any Host name and, with its API open, any origin.
"""

from __future__ import annotations

import base64
import binascii
import time
from urllib.parse import urlsplit

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from backtest.errors import InputError
from storage.access import TokenRecord, TokenRepository, includes_scope
from storage.errors import StorageUnavailable
from tasks.exposure import AccessMode, is_from_here
from tasks.logs import get_logger
from tasks.settings import PREFIX, Settings

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
READS = frozenset({"GET", "HEAD"})
# Whether the process answers; nothing of anybody's is in it.
_PUBLIC_PATHS = frozenset({"/healthcheck"})
_FAILURE_WINDOW_SECONDS = 300


class Refusal(Exception):
    """A request that Flower does not see.

    Parameters
    ----------
    status : int
        HTTP status.
    reason : str
        For whoever sent it.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class TokenGuard:
    """Asks for a token, as a password of any user or as a bearer's.

    Parameters
    ----------
    tokens : TokenRepository or None
        None where no database is configured, which must not be closed.
    """

    def __init__(
        self, settings: Settings, mode: AccessMode, tokens: TokenRepository | None
    ) -> None:
        if mode == "closed" and tokens is None:
            raise InputError.of(
                f"{PREFIX}DATABASE_URL", None, "is not set; the tokens that may come in are there"
            )
        self._mode, self._tokens = mode, tokens
        self._most = RateLimitItemPerSecond(
            max(1, settings.max_login_failures), _FAILURE_WINDOW_SECONDS
        )
        self._failures = FixedWindowRateLimiter(MemoryStorage())
        self._tokens_exist = False
        self._asked_at = float("-inf")

    def check(
        self,
        method: str,
        path: str,
        host: str,
        peer: str,
        header: str | None,
        forwarded: str = "",
    ) -> None:
        """Let a request pass.

        Parameters
        ----------
        header, forwarded : str
            ``Authorization`` and ``X-Forwarded-For``.

        Raises
        ------
        Refusal
            401 without a token, 403 for one that does not suffice, 429 after too many wrong ones,
            503 while tokens cannot be looked up.
        """
        if path in _PUBLIC_PATHS:
            return
        try:
            if header is None and self._is_open(host, peer, forwarded):
                return
            record = self._find(header)
        except StorageUnavailable:
            raise Refusal(503, "The database that knows the tokens cannot be reached.") from None
        if record is None:
            if header is not None and not self._failures.hit(self._most, peer):
                raise Refusal(429, "Too many wrong tokens; come back in five minutes.")
            if header is not None:
                get_logger(__name__).warning("token_refused", address=peer)
            raise Refusal(401, "Give a token of `stock-backtest token create` as the password.")
        if not includes_scope(record.scope, "read" if method in READS else "admin"):
            raise Refusal(403, "This token may only read.")

    def _is_open(self, host: str, peer: str, forwarded: str) -> bool:
        if self._mode != "auto":
            return self._mode == "open"
        if not is_from_here(strip_port(host), peer, forwarded):
            return False
        now = time.monotonic()
        if self._tokens is not None and not self._tokens_exist and now > self._asked_at + 1.0:
            self._tokens_exist = self._tokens.exist()
            self._asked_at = now
        return not self._tokens_exist

    def _find(self, header: str | None) -> TokenRecord | None:
        secret = read_secret(header)
        if secret is None or self._tokens is None:
            return None
        return self._tokens.find_by_secret(secret)


def read_secret(header: str | None) -> str | None:
    """Return the token of an ``Authorization`` header, None if there is none."""
    kind, _, rest = (header or "").partition(" ")
    if kind.lower() == "bearer":
        return rest.strip() or None
    if kind.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(rest.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return pair.partition(":")[2] or None


def find_refusal(
    method: str,
    host: str,
    origin: str | None,
    fetch_site: str | None,
    allowed_hosts: frozenset[str],
) -> str | None:
    """Return why a request is refused whoever sends it, or None if it may pass.

    Parameters
    ----------
    method, host : str
        The request's method and its ``Host`` header.
    origin : str or None
        The ``Origin`` header; a page of another origin may neither write nor read.
    fetch_site : str or None
        The ``Sec-Fetch-Site`` header.
    """
    if strip_port(host) not in allowed_hosts:
        return (
            f"This server does not answer to the host name {host!r}. "
            "Add it to STOCK_BACKTEST_ALLOWED_HOSTS if it is yours."
        )
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return f"Requests from the origin {origin!r} are refused."
    if method not in READS and fetch_site not in (None, "same-origin", "none"):
        return "Writes from another site are refused."
    return None


def strip_port(host: str) -> str:
    """Return the lower-case host name of ``name:port``."""
    name, separator, port = host.strip().lower().rpartition(":")
    return name if separator and port.isdigit() else host.strip().lower()


def build_allowed_hosts(settings: Settings, address: str = "") -> frozenset[str]:
    """Return the host names of `settings`, the loopback ones, and the address that is bound."""
    names = (name.strip().lower() for name in (*settings.allowed_hosts.split(","), address))
    return LOOPBACK_NAMES | {name for name in names if name}
