"""Kombu's Redis transport, mended in two places, and watched at another.

Mended: a channel whose connection was collected after a broker died answers every acknowledgement
with an AttributeError. That is no connection error to Celery, so the worker's parent ended with it.
Here it is the connection error that it means, and the worker connects anew.

Mended too: an acknowledgement that a silent broker did not take is logged, and its message counts
as one in work for ever. A worker of one process then has no room for another: it stays connected,
and never asks again. Here the message is forgotten; the broker offers it once more after a while,
and whoever gets it finds the work done.

Watched: whether the parent still asks for messages. A connection that is open and a worker that
answers pings do not say so; see `tasks.liveness`.
"""

from __future__ import annotations

import time
from typing import Any

import redis
from kombu import transport
from kombu.transport.redis import Channel, QoS, Transport


class Pulse:
    """When this process last asked a broker for messages, and last had an answer.

    An answer is a message or "none within a second"; times are those of `time.monotonic`.
    """

    def __init__(self) -> None:
        # The event loop went round, which it does every second at least.
        self.turned_at: float | None = None
        self.asked_at: float | None = None
        self.answered_at: float | None = None

    def turn(self) -> None:
        """Note that the event loop went round."""
        self.turned_at = time.monotonic()


# One per process, as the transport is found by name and nobody can hand it an object.
PULSE = Pulse()


class MendedQoS(QoS):
    """Which messages are in work; see the module."""

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message, or forget it if that cannot be said."""
        try:
            super().ack(delivery_tag)  # type: ignore[no-untyped-call]
        except self.channel.connection_errors:
            self._quick_ack(delivery_tag)
            raise


class MendedChannel(Channel):
    """See the module."""

    QoS = MendedQoS

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if self.connection is None or self.connection.client is None:
            raise redis.ConnectionError("the channel's connection is closed")
        parameters: dict[str, Any] = super()._connparams(  # type: ignore[no-untyped-call]
            asynchronous
        )
        return parameters

    def _brpop_start(self, timeout: float | None = None) -> None:
        PULSE.asked_at = time.monotonic()
        super()._brpop_start(timeout)  # type: ignore[no-untyped-call]

    def _brpop_read(self, **options: Any) -> bool | None:
        # Raises Empty for "none": an answer too. Only a broken connection is none.
        try:
            found: bool | None = super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except self.connection_errors:
            raise
        except BaseException:
            PULSE.answered_at = time.monotonic()
            raise
        PULSE.answered_at = time.monotonic()
        return found


class MendedTransport(Transport):
    """Kombu's transport with our channels."""

    Channel = MendedChannel

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Connect the transport's sockets and timers with the loop, and watch it turn."""
        super().register_with_event_loop(  # type: ignore[no-untyped-call]
            connection, loop
        )
        loop.on_tick.add(PULSE.turn)  # a set: once, however often the broker is connected to


def use_mended_transport() -> None:
    """Let this process reach every broker by the mended transport."""
    for scheme in ("redis", "rediss"):
        transport.TRANSPORT_ALIASES[scheme] = f"{__name__}:{MendedTransport.__name__}"
        # Kombu remembers what it looked up; somebody may have sent a message before.
        transport._transport_cache.pop(scheme, None)
