"""Messages that are lost are found, whatever a broker says of those that dead workers hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from sqlalchemy import update

from storage.database import create_database
from storage.models import runs
from storage.schema import upgrade_schema
from storage.sql_types import database_time
from storage.store import Store
from tasks.celery_app import RUN_QUEUE
from tasks.maintenance import run_maintenance_pass
from tasks.settings import Settings
from tasks.submit import dispatch_run
from tests.support.model_base import write
from tests.support.storage_samples import submit
from tests.support.valkey import Valkey, run_valkey


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    engine = create_database(f"sqlite:///{tmp_path}/test.db")
    upgrade_schema(engine)
    yield Store(engine)
    engine.dispose()


@pytest.fixture
def broker() -> Iterator[Valkey]:
    with run_valkey() as server:
        yield server


def send_long_ago(store: Store, settings: Settings) -> str:
    run_id = submit(store).run_id
    assert dispatch_run(store, settings, run_id)
    mine = runs.c.run_id == run_id
    write(store, update(runs).where(mine).values(sent_at=database_time(-60)))
    return run_id


def test_a_message_that_waits_is_not_sent_again(store: Store, broker: Valkey) -> None:
    settings = Settings(broker_url=broker.url)
    send_long_ago(store, settings)
    assert run_maintenance_pass(store, settings).sent == ()


def test_a_message_that_a_dead_worker_holds_hides_no_loss(store: Store, broker: Valkey) -> None:
    settings = Settings(broker_url=broker.url)
    run_id = send_long_ago(store, settings)
    # As Kombu leaves it: taken from the queue, noted as handed out, by a clock that was ahead.
    message = orjson.loads(broker.client.rpop(RUN_QUEUE))
    broker.client.hset("unacked", "tag", orjson.dumps([message, RUN_QUEUE, RUN_QUEUE]))
    broker.client.zadd("unacked_index", {"tag": 9e9})
    assert run_maintenance_pass(store, settings).sent == (run_id,)
    assert broker.client.llen(RUN_QUEUE) == 1
