"""How many messages wait in the broker."""

from __future__ import annotations

import orjson
import redis

from tasks.messages import QUEUES, RUN_QUEUE
from tasks.settings import Settings


def count_waiting(settings: Settings) -> dict[str, int] | None:
    """Return the messages of each queue, and under ``handed_out`` those not acknowledged yet.

    None if the broker is silent for `broker_timeout_seconds`.
    """
    timeout = settings.broker_timeout_seconds
    client = redis.Redis.from_url(
        settings.broker_url, socket_timeout=timeout, socket_connect_timeout=timeout
    )
    try:
        with client, client.pipeline(transaction=False) as pipeline:
            for queue in QUEUES:
                pipeline.llen(queue)
            pipeline.hlen("unacked")  # Kombu's own table
            numbers = pipeline.execute()
    except redis.RedisError:
        return None
    return dict(zip((*QUEUES, "handed_out"), map(int, numbers), strict=True))


def count_messages(settings: Settings, queue: str = RUN_QUEUE) -> int | None:
    """Return how many messages of a queue the broker holds, waiting or handed out.

    None if the broker is silent.
    """
    found = count_broker(settings, queue)
    return None if found is None else sum(found)


def count_broker(settings: Settings, queue: str) -> tuple[int, int] | None:
    """Return how many messages of a queue wait, and how many are handed out; see above."""
    timeout = settings.broker_timeout_seconds
    client = redis.Redis.from_url(
        settings.broker_url, socket_timeout=timeout, socket_connect_timeout=timeout
    )
    try:
        with client, client.pipeline(transaction=True) as pipeline:
            pipeline.llen(queue)
            pipeline.hvals("unacked")  # one per process that works
            waiting, handed_out = pipeline.execute()
    except redis.RedisError:
        return None
    # As Kombu writes them: [message, exchange, routing key].
    return int(waiting), sum(orjson.loads(item)[2] == queue for item in handed_out)
