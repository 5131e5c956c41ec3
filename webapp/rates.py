"""How often somebody may ask: requests of a token, wrong tokens of an address.

Counted in the broker, so that all replicas count together and none keeps state; in the process
itself while there is no broker. Reads are counted in the process only: they come by the thousand,
and each would cost an exchange with the broker.

Library: limits, which brings the strategies and both storages. It is imported where somebody is
asked for a token, because an open platform counts nothing.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from flask import Response

from tasks.logs import get_logger
from tasks.settings import Settings
from webapp.problems import build_problem

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import FixedWindowRateLimiter

_FAILURE_WINDOW_SECONDS = 300
# A broker that did not answer is left alone for this long.
_RETRY_BROKER_SECONDS = 10.0


class RateLimits:
    """The limits of one process; threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._local: FixedWindowRateLimiter | None = None
        self._shared: FixedWindowRateLimiter | None = None
        self._shared_after = 0.0

    def count_request(self, token_id: str, *, is_write: bool) -> Response | None:
        """Count one request of a token; return the refusal if it is one too many."""
        from limits import RateLimitItemPerMinute

        settings = self._settings
        most = settings.max_writes_per_minute if is_write else settings.max_reads_per_minute
        if most == 0:
            return None
        item = RateLimitItemPerMinute(most, namespace="sb-rate")
        kind = "writes" if is_write else "reads"
        return self._count(item, (kind, token_id), f"{most} {kind} a minute", shared=is_write)

    def count_failure(self, address: str) -> Response | None:
        """Count one wrong token of an address; return the refusal if it is one too many."""
        return self._count(self._failures(), ("failures", address), self._failure_text, shared=True)

    def find_lockout(self, address: str) -> Response | None:
        """Return the refusal if an address has sent too many wrong tokens, without counting."""
        item, keys = self._failures(), ("failures", address)
        limiter = self._choose(shared=True)
        try:
            if limiter.test(item, *keys):
                return None
        except self._errors():
            limiter = self._give_up_broker()
            if limiter.test(item, *keys):
                return None
        return self._refuse(limiter, item, keys, self._failure_text)

    @property
    def _failure_text(self) -> str:
        return f"{self._settings.max_login_failures} wrong tokens in five minutes"

    def _failures(self) -> RateLimitItem:
        from limits import RateLimitItemPerSecond

        most = max(1, self._settings.max_login_failures)
        return RateLimitItemPerSecond(most, _FAILURE_WINDOW_SECONDS, namespace="sb-rate")

    def _count(
        self, item: RateLimitItem, keys: tuple[str, ...], text: str, *, shared: bool
    ) -> Response | None:
        limiter = self._choose(shared=shared)
        try:
            passes = limiter.hit(item, *keys)
        except self._errors():
            limiter = self._give_up_broker()
            passes = limiter.hit(item, *keys)
        return None if passes else self._refuse(limiter, item, keys, text)

    def _refuse(
        self, limiter: FixedWindowRateLimiter, item: RateLimitItem, keys: tuple[str, ...], text: str
    ) -> Response:
        try:
            seconds = limiter.get_window_stats(item, *keys).reset_time - time.time()
        except self._errors():
            seconds = item.get_expiry()
        wait = max(1, round(seconds))
        return build_problem(
            429,
            f"more than {text}; ask again in {wait} s",
            headers={"Retry-After": str(wait)},
        )

    def _choose(self, *, shared: bool) -> FixedWindowRateLimiter:
        with self._lock:
            if self._local is None:
                self._local = _build_limiter("memory://")
            has_broker = bool(self._settings.broker_url)
            if not shared or not has_broker or time.monotonic() < self._shared_after:
                return self._local
            if self._shared is None:
                timeout = self._settings.broker_timeout_seconds
                self._shared = _build_limiter(
                    self._settings.broker_url,
                    socket_timeout=timeout,
                    socket_connect_timeout=timeout,
                )
            return self._shared

    def _give_up_broker(self) -> FixedWindowRateLimiter:
        get_logger(__name__).warning("rates_counted_here", reason="the broker does not answer")
        with self._lock:
            self._shared_after = time.monotonic() + _RETRY_BROKER_SECONDS
        return self._choose(shared=False)

    @staticmethod
    def _errors() -> tuple[type[Exception], ...]:
        from redis.exceptions import RedisError

        return (RedisError, OSError)


def _build_limiter(url: str, **options: float) -> FixedWindowRateLimiter:
    from limits.storage import storage_from_string
    from limits.strategies import FixedWindowRateLimiter

    return FixedWindowRateLimiter(storage_from_string(url, **options))
