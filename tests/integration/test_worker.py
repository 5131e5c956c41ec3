"""From submission through a real broker and a real worker into each database, and back."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from rules.spec import parse_run_request
from storage.records import NewRun
from storage.store import Store
from tasks.messages import RUN_QUEUE, send_run
from tasks.settings import Settings
from tasks.submit import submit_run
from tests.support.datasets import add_aapl
from tests.support.processes import wait_until
from tests.support.valkey import Valkey, run_valkey
from tests.support.worker import (
    ServiceProcess,
    run_worker,
    wait_for_run,
)

RSI = {"dataset": "AAPL", "rule": "rsi"}


@pytest.fixture(scope="module")
def broker() -> Iterator[Valkey]:
    with run_valkey() as server:
        yield server


@pytest.fixture(scope="module")
def settings(database_url: str, broker: Valkey) -> Settings:
    broker.client.flushall()
    return Settings(database_url=database_url, broker_url=broker.url)


@pytest.fixture
def apart(settings: Settings) -> Iterator[tuple[Settings, redis.Redis]]:
    """Settings of a broker's database that the shared worker does not look into."""
    url = settings.broker_url.removesuffix("/0") + "/1"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield replace(settings, broker_url=url), client


@pytest.fixture
def filled(store: Store) -> Store:
    add_aapl(store)
    return store


@pytest.fixture(scope="module")
def worker(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    with run_worker(settings, tmp_path_factory.mktemp("worker")) as process:
        yield process


def test_a_run_goes_through_the_queue_and_its_whole_result_is_stored(
    filled: Store, settings: Settings, worker: ServiceProcess
) -> None:
    submission = submit_run(filled, settings, parse_run_request(RSI))
    assert submission.created
    assert not submission.cached
    run_id = submission.record.run_id
    record = wait_for_run(filled, run_id)
    assert record.state == "succeeded", record.error
    assert record.attempt == 1
    assert record.metrics is not None
    assert record.metrics["n_bars"] == 3270
    summary, trades = filled.runs.load_summary(run_id), filled.runs.load_trades(run_id)
    columns = filled.runs.load_columns(run_id)
    assert summary is not None
    assert trades
    assert columns is not None
    assert summary["metrics"]["total_return"] == pytest.approx(columns["equity"][-1] / 100_000 - 1)
    # Charts follow the result.
    charts = wait_until(lambda: filled.runs.load_charts(run_id), 20, "charts")
    assert charts is not None
    assert set(charts) == {"drawdown", "orders", "trade_pnl", "cumulative_return"}
    assert all(url.startswith("data:image/png;base64,") for url in charts.values())

    again = submit_run(filled, settings, parse_run_request(RSI))
    assert again.cached
    assert again.record.run_id == run_id

    forced = submit_run(filled, settings, parse_run_request(RSI | {"force": True}))
    assert forced.record.run_id != run_id
    assert wait_for_run(filled, forced.record.run_id).metrics == record.metrics


def test_a_message_that_comes_twice_is_computed_once(
    filled: Store, settings: Settings, worker: ServiceProcess
) -> None:
    run_id = submit_run(filled, settings, parse_run_request(RSI)).record.run_id
    send_run(settings, run_id)
    before = wait_for_run(filled, run_id)
    send_run(settings, run_id)
    wait_until(
        lambda: (
            sum(
                (line["message"], line.get("run_id")) == ("run_not_claimed", run_id)
                for line in worker.lines
            )
            == 2
        ),
        20,
        "both duplicates arrive",
    )
    after = filled.runs.get(run_id)
    assert after is not None
    assert (after.attempt, after.finished_at) == (1, before.finished_at)


def test_every_line_of_a_run_carries_its_id(
    filled: Store, apart: tuple[Settings, redis.Redis], tmp_path: Path
) -> None:
    settings, _ = apart
    with run_worker(settings, tmp_path) as worker:
        run_id = submit_run(filled, settings, parse_run_request(RSI)).record.run_id
        wait_until(
            lambda: any("succeeded in" in line["message"] for line in worker.lines), 20, "the end"
        )
        lines = worker.lines
    first = next(i for i, line in enumerate(lines) if "received" in line["message"])
    assert {line.get("run_id") for line in lines[first:]} == {run_id}
    said = [line["message"] for line in lines[first:]]
    assert {"run_claimed", "run_ended", "charts_saved"} <= set(said)
    assert all(line["service"] == "worker" for line in lines)


def test_bad_data_ends_the_run_at_once_with_an_error_to_act_on(
    filled: Store, settings: Settings, worker: ServiceProcess
) -> None:
    # What the web tier checks before it accepts a run; here it slipped through.
    run_id = submit_run(filled, settings, parse_run_request(RSI)).record.run_id
    wait_for_run(filled, run_id)
    record = filled.runs.get(run_id)
    assert record is not None
    bad = NewRun(
        run_id="0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f",
        fingerprint="e" * 64,
        spec=record.spec | {"start": "2030-01-01"},
        symbol="AAPL",
        rule="rsi",
    )
    filled.runs.insert(bad)
    send_run(settings, bad.run_id)
    failed = wait_for_run(filled, bad.run_id)
    assert failed.state == "failed"
    assert failed.attempt == 1
    assert failed.error is not None
    assert failed.error["code"] == "invalid_input"
    assert failed.error["errors"][0]["field"] == "start"


def test_the_worker_refuses_a_database_without_schema_and_names_the_command(
    empty_database_url: str, broker: Valkey, tmp_path: Path
) -> None:
    settings = Settings(database_url=empty_database_url, broker_url=broker.url, log_format="json")
    for arguments in (("worker", "--concurrency", "1"), ("maintenance",)):
        process = ServiceProcess(settings, tmp_path / "log", *arguments)
        assert process.process.wait(20) == 3
    assert (tmp_path / "log").read_text().count("stock-backtest db upgrade") == 2


def test_messages_carry_the_id_and_nothing_else(
    filled: Store, apart: tuple[Settings, redis.Redis]
) -> None:
    settings, client = apart
    run_id = submit_run(filled, settings, parse_run_request(RSI)).record.run_id
    [raw] = client.lrange(RUN_QUEUE, 0, -1)
    message = json.loads(raw)
    arguments, keywords, _ = json.loads(base64.b64decode(message["body"]))
    assert (arguments, keywords) == ([run_id], {})
    assert message["content-type"] == "application/json"
    assert message["headers"]["id"] == run_id
