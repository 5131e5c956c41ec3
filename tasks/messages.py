"""Messages to the workers: sent with kombu alone, because a web process has no use for Celery.

What is sent is Celery's message protocol 2, which workers and Flower read: a test compares it with
what Celery itself sends. Messages carry ids and nothing else, results live in the database, and
whatever the broker loses or doubles is put right there: a claim admits one attempt at a time, and
maintenance sends again what never arrived.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from kombu.connection import Connection
from kombu.exceptions import BatchPublishError, OperationalError
from kombu.messaging import Producer
from kombu.pidbox import Mailbox
from kombu.pools import producers
from redis.exceptions import TimeoutError as RedisTimeoutError

from storage.grouping import Grouping
from tasks.settings import Settings

RUN_TASK = "stock_backtest.run"
CHUNK_TASK = "stock_backtest.sweep_chunk"
FINISH_TASK = "stock_backtest.sweep_finish"
QUERY_TASK = "stock_backtest.sweep_query"
LOST_TASK = "stock_backtest.report_lost"
# Sweeps have a queue of their own, so that a large one never delays a single run: workers look
# into the queues in alphabetical order (see `queue_order_strategy`), and take from the second only
# while the first is empty. What somebody waits for before a page is in the first.
REPORT_QUEUE = "reports"  # a few milliseconds each, by which work of dead processes goes on
RUN_QUEUE = "runs"
SWEEP_QUEUE = "sweeps"
QUEUES = (REPORT_QUEUE, RUN_QUEUE, SWEEP_QUEUE)

# A message that a dead worker took is offered again after this long. It may be short, even shorter
# than a run: a second delivery finds the claim taken and does nothing.
_REDELIVER_AFTER_SECONDS = 60
_REDELIVER_SWEEP_SECONDS = 5

# Celery's names for the exchange on which workers listen for questions, and their lifetimes.
_CONTROL_EXCHANGE = "celery"
_CONTROL_TTL_SECONDS, _CONTROL_EXPIRES_SECONDS = 300.0, 10.0


def build_transport_options(settings: Settings) -> dict[str, Any]:
    """Return the options of kombu's Redis transport, the same for senders and workers."""
    timeout = settings.broker_timeout_seconds
    return {
        "visibility_timeout": _REDELIVER_AFTER_SECONDS,
        "unacked_restore_interval": _REDELIVER_SWEEP_SECONDS,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 2 * _REDELIVER_SWEEP_SECONDS,
        # A broker that accepts connections but answers nothing must not hold a request.
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "socket_keepalive": True,
        "health_check_interval": 10,
        "max_retries": 0,
        # Without it the queues take turns, and a run would wait for one chunk more.
        "queue_order_strategy": "sorted",
    }


def verify_certificate(broker_url: str) -> str:
    """Return the URL with the check of the broker's certificate asked for, unless it says itself.

    Left alone, kombu would speak TLS to whoever answers.
    """
    if not broker_url.startswith("rediss://") or "ssl_cert_reqs=" in broker_url:
        return broker_url
    return f"{broker_url}{'&' if '?' in broker_url else '?'}ssl_cert_reqs=required"


def send_run(settings: Settings, run_id: str) -> None:
    """Put one message for `run_id` on the queue; the run's id is the task's id.

    Raises
    ------
    kombu.exceptions.OperationalError
        If the broker cannot be reached in time.
    """
    _send(settings, RUN_TASK, RUN_QUEUE, run_id, run_id)


def send_chunk(settings: Settings, sweep_id: str, idx: int) -> None:
    """Put one message for a chunk on the queue of sweeps; raises as `send_run` does."""
    _send(settings, CHUNK_TASK, SWEEP_QUEUE, build_chunk_task_id(sweep_id, idx), sweep_id, idx)


def send_finish(settings: Settings, sweep_id: str) -> None:
    """Put one message for a sweep's finaliser on its queue; raises as `send_run` does."""
    _send(settings, FINISH_TASK, SWEEP_QUEUE, sweep_id, sweep_id)


def send_query(settings: Settings, query_id: str) -> None:
    """Put one message for a question on the queue of runs; raises as `send_run` does."""
    _send(settings, QUERY_TASK, RUN_QUEUE, query_id, query_id)


def build_chunk_task_id(sweep_id: str, idx: int) -> str:
    """Return the id of a chunk's task: the same for each attempt, as messages may repeat."""
    return str(uuid.uuid5(uuid.UUID(sweep_id), str(idx)))


def count_workers(settings: Settings, timeouts: tuple[float, ...]) -> int:
    """Ask workers whether they are there, again with the next timeout while none answers.

    Parameters
    ----------
    timeouts : tuple of float
        How long to wait for answers; with none of them only the broker itself is asked. [seconds]

    Raises
    ------
    kombu.exceptions.KombuError, redis.exceptions.RedisError, OSError
        If the broker cannot be reached.
    """
    mailbox = Mailbox(  # type: ignore[no-untyped-call]  # kombu has no types
        _CONTROL_EXCHANGE,
        type="fanout",
        accept=["json"],
        serializer="json",
        queue_ttl=_CONTROL_TTL_SECONDS,
        reply_queue_ttl=_CONTROL_TTL_SECONDS,
        queue_expires=_CONTROL_EXPIRES_SECONDS,
        reply_queue_expires=_CONTROL_EXPIRES_SECONDS,
    )
    with _connect(settings).clone() as connection:  # type: ignore[no-untyped-call]
        # One retry, at once: whoever asks wants to know now.
        connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0)
        for seconds in timeouts:
            replies = mailbox(connection).multi_call("ping", timeout=seconds)
            if replies:
                return len(replies)
    return 0


@lru_cache(maxsize=8)
def _connect(settings: Settings) -> Connection:
    """Return the description of the broker; `producers` keeps the connections that are open."""
    return Connection(  # type: ignore[no-untyped-call]
        verify_certificate(settings.broker_url),
        connect_timeout=settings.broker_timeout_seconds,
        transport_options=build_transport_options(settings),
    )


@dataclass(frozen=True, slots=True)
class _Message:
    task: str
    queue: str
    task_id: str
    args: tuple[str | int, ...]


def _send(settings: Settings, task: str, queue: str, task_id: str, *args: str | int) -> None:
    _group(settings).do(_Message(task, queue, task_id, args))


@lru_cache(maxsize=8)
def _group(settings: Settings) -> Grouping[_Message, None]:
    """Return where threads that send at the same moment share one round trip to the broker."""
    return Grouping(lambda messages: _send_all(settings, messages))


def _send_all(settings: Settings, messages: Sequence[_Message]) -> Sequence[Exception | None]:
    connection = _connect(settings)
    broken = (*connection.connection_errors, *connection.channel_errors)
    try:
        with producers[connection].acquire(block=True) as producer:
            if len(messages) == 1:
                _publish(producer, messages[0])
            else:
                with producer.batch():
                    for message in messages:
                        _publish(producer, message)
    except BatchPublishError as error:
        # Some may have arrived: a second message does no harm. A connection that broke since it was
        # used last is worth a second try, which whoever grouped them makes with each by itself; a
        # broker that is silent would let all of them wait one after the other.
        if isinstance(error.__cause__, connection.connection_errors) and not isinstance(
            error.__cause__, TimeoutError | RedisTimeoutError
        ):
            raise
        return [OperationalError(str(error)) for _ in messages]
    except broken as error:
        return [OperationalError(str(error)) for _ in messages]
    return [None] * len(messages)


def _publish(producer: Producer, message: _Message) -> None:
    producer.publish(  # type: ignore[no-untyped-call]  # kombu has no types
        (list(message.args), {}, dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))),
        exchange="",  # straight into the queue
        routing_key=message.queue,
        headers=_build_headers(message.task, message.task_id, message.args),
        correlation_id=message.task_id,
        reply_to="",
        serializer="json",
        delivery_mode=2,
        # The sender has the row in the database to fall back on; waiting helps nobody.
        retry=False,
    )


def _build_headers(task: str, task_id: str, args: tuple[str | int, ...]) -> dict[str, Any]:
    unused = ("shadow", "eta", "expires", "group", "group_index", "parent_id", "ignore_result")
    return {
        **dict.fromkeys((*unused, "stamped_headers")),
        "lang": "py",
        "task": task,
        "id": task_id,
        "root_id": task_id,
        "retries": 0,
        "timelimit": [None, None],
        # What Flower shows.
        "argsrepr": repr(list(args)),
        "kwargsrepr": "{}",
        "origin": f"gen{os.getpid()}@{socket.gethostname()}",
        "replaced_task_nesting": 0,
        "stamps": {},
    }
