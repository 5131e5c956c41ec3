"""The broker's transport, where it was mended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from kombu import Connection, transport

from tasks.broker import MendedChannel, use_mended_transport
from tests.support.valkey import Valkey, run_valkey


@pytest.fixture
def broker() -> Iterator[Valkey]:
    with run_valkey() as server:
        yield server


def receive(broker: Valkey) -> tuple[Connection, Any]:
    """Send one message and take it, as a worker with room for one does."""
    use_mended_transport()
    options = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}
    connection = Connection(broker.url, transport_options=options)
    queue = connection.SimpleQueue("some")
    queue.put("work")
    queue.consumer.qos(prefetch_count=1)
    return connection, queue.get(timeout=5)


def test_every_connection_goes_by_it_whatever_went_before(broker: Valkey) -> None:
    transport.TRANSPORT_ALIASES["redis"] = "kombu.transport.redis:Transport"
    transport._transport_cache.clear()
    with Connection(broker.url) as plain:
        plain.SimpleQueue("other").put("sent")
    connection, message = receive(broker)
    assert isinstance(message.channel, MendedChannel)
    message.ack()
    connection.release()


def test_a_message_that_a_silent_broker_does_not_hear_of_leaves_room_for_others(
    broker: Valkey,
) -> None:
    connection, message = receive(broker)
    qos = message.channel.qos
    assert not qos.can_consume()
    broker.pause()
    try:
        with pytest.raises(redis.TimeoutError):
            message.ack()
    finally:
        broker.resume()
    assert qos.can_consume()
    connection.release()


def test_an_acknowledgement_after_the_connection_is_gone_is_a_connection_error(
    broker: Valkey,
) -> None:
    _connection, message = receive(broker)
    # As a worker leaves it that lost its broker while a task ran.
    message.channel._disconnect_pools()
    message.channel.connection.client = None
    with pytest.raises(redis.ConnectionError):
        message.ack()
