"""What we put into the broker ourselves is what Celery would have put there."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from kombu.exceptions import OperationalError

from tasks.celery_app import create_celery_app
from tasks.messages import (
    CHUNK_TASK,
    RUN_TASK,
    SWEEP_QUEUE,
    build_chunk_task_id,
    count_workers,
    send_chunk,
    send_run,
)
from tasks.settings import Settings
from tests.support.valkey import Valkey, run_valkey

SWEEP_ID = str(uuid.UUID(int=7))


@pytest.fixture
def broker() -> Iterator[Valkey]:
    with run_valkey() as server:
        yield server


@pytest.fixture
def settings(broker: Valkey) -> Settings:
    return Settings(database_url="sqlite:///unused", broker_url=broker.url)


def take_message(broker: Valkey, queue: str) -> dict[str, Any]:
    """Return what lies in a queue, its body decoded, without what differs each time."""
    assert broker.client.llen(queue) == 1
    message: dict[str, Any] = json.loads(broker.client.rpop(queue))
    message["body"] = json.loads(base64.b64decode(message["body"]))
    del message["properties"]["delivery_tag"]
    # Where a result would go; nobody wants one.
    message["properties"].pop("reply_to")
    return message


def test_a_run_s_message_is_the_one_that_celery_sends(broker: Valkey, settings: Settings) -> None:
    app = create_celery_app(settings)
    app.send_task(RUN_TASK, args=["a-run"], task_id="a-run", queue="runs")
    theirs = take_message(broker, "runs")
    send_run(settings, "a-run")
    assert take_message(broker, "runs") == theirs


def test_a_chunk_s_message_is_the_one_that_celery_sends(broker: Valkey, settings: Settings) -> None:
    app = create_celery_app(settings)
    task_id = build_chunk_task_id(SWEEP_ID, 12)
    app.send_task(CHUNK_TASK, args=[SWEEP_ID, 12], task_id=task_id, queue=SWEEP_QUEUE)
    theirs = take_message(broker, SWEEP_QUEUE)
    send_chunk(settings, SWEEP_ID, 12)
    assert take_message(broker, SWEEP_QUEUE) == theirs


def test_a_broker_that_comes_back_is_sent_to_again(broker: Valkey, settings: Settings) -> None:
    send_run(settings, "before")
    broker.kill()
    with pytest.raises(OperationalError):
        send_run(settings, "meanwhile")
    broker.start()
    send_run(settings, "after")
    assert broker.client.llen("runs") == 1


def test_threads_that_send_at_once_lose_nothing(broker: Valkey, settings: Settings) -> None:
    ids = [f"run-{number}" for number in range(64)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(partial(send_run, settings), ids))
        broker.kill()
        broker.start()  # every open connection is broken now
        list(pool.map(partial(send_run, settings), ids))
    stored = [json.loads(item)["headers"]["id"] for item in broker.client.lrange("runs", 0, -1)]
    assert sorted(stored) == sorted(ids)


def test_threads_that_meet_a_dead_broker_are_told(broker: Valkey, settings: Settings) -> None:
    broker.kill()

    def send(run_id: str) -> bool:
        with pytest.raises(OperationalError):
            send_run(settings, run_id)
        return True

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(send, [f"run-{number}" for number in range(32)]))
    broker.start()


def test_nobody_answers_where_no_worker_is(broker: Valkey, settings: Settings) -> None:
    assert count_workers(settings, (0.1,)) == 0


def test_asking_for_workers_without_a_broker_is_an_error_at_once(settings: Settings) -> None:
    silent = replace(settings, broker_url="redis://127.0.0.1:1/0")
    with pytest.raises(OperationalError):
        count_workers(silent, ())
