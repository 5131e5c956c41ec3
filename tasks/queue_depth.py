"""How many messages wait in the broker."""

from __future__ import annotations

import redis

from tasks.messages import QUEUES
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
