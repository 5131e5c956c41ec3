"""Messages about ended sweeps, sent for real to a server of the test."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import structlog

from backtest.errors import InputError
from storage.counters import CounterKey
from storage.store import Store
from tasks.notify import Notifier, build_target, check_urls
from tasks.settings import Settings
from tests.support.processes import wait_until
from tests.support.web import Web, inline_web

__all__ = ["inline_web"]

# The library asks for a module that a later Python does without.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

SWEEP = {"dataset": "WALK", "rule": "rsi", "space": {"window": "3:6"}}


class Hook:
    """A service that takes messages, or refuses them."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.messages.append(json.loads(body))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"json://someone:hush-hush@127.0.0.1:{self.server.server_port}/secret-path"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    built = Hook()
    yield built
    built.close()


def run_sweep(web: Web) -> str:
    answer = web.client.post("/api/v1/sweeps", json={**SWEEP, "force": True})
    assert answer.status_code == 202, answer.json
    return str(answer.json["sweep_id"])


def wait_for_count(store: Store, outcome: str, number: int) -> None:
    def counted() -> bool:
        store.counters.flush()
        return store.counters.load().get(CounterKey("notices", outcome, "")) == number

    wait_until(counted, 20, f"{number} notices are {outcome}")


def test_each_end_of_a_sweep_is_told_once_however_many_look(inline_web: Web, hook: Hook) -> None:
    settings = Settings(notify_urls=hook.url)
    first = Notifier(inline_web.store, settings)
    second = Notifier(Store(inline_web.store.engine), settings)
    sweep_id = run_sweep(inline_web)
    assert [first.look(), second.look(), first.look()] == [1, 0, 0]
    wait_for_count(inline_web.store, "sent", 1)
    [message] = hook.messages
    assert message["title"] == "Sweep succeeded: rsi on WALK"
    assert sweep_id in message["message"]
    run_sweep(inline_web)
    assert second.look() == 1
    wait_for_count(inline_web.store, "sent", 2)


def test_a_failed_sweep_is_told_with_its_error_and_again_after_a_retry(
    inline_web: Web, hook: Hook
) -> None:
    store = inline_web.store
    sweep_id = run_sweep(inline_web)
    notifier = Notifier(store, Settings(notify_urls=hook.url))
    assert notifier.look() == 1
    with store.engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.exec_driver_sql(
            "UPDATE sweeps SET state = 'failed', notified_at = NULL, "
            """error = '{"message": "out of luck"}'"""
        )
    assert notifier.look() == 1
    wait_for_count(store, "sent", 2)
    assert "out of luck" in hook.messages[-1]["message"]
    assert hook.messages[-1]["title"].startswith("Sweep failed")
    assert store.sweeps.retry(sweep_id)
    claim = store.sweeps.claim_finish(sweep_id, 10, 3)
    assert claim is not None
    assert notifier.look() == 0  # it goes on
    assert store.sweeps.fail_finish(sweep_id, claim.attempt, {"message": "again"})
    assert notifier.look() == 1
    wait_for_count(store, "sent", 3)


def test_a_service_that_refuses_costs_the_sweep_nothing_and_no_url_is_logged(
    inline_web: Web, hook: Hook, capfd: pytest.CaptureFixture[str]
) -> None:
    hook.status = 500
    sweep_id = run_sweep(inline_web)
    closed = "json://someone:hush-hush@127.0.0.1:1/secret-path"
    with structlog.testing.capture_logs() as lines:
        notifier = Notifier(inline_web.store, Settings(notify_urls=f"{hook.url} {closed}"))
        assert notifier.look() == 1
        wait_for_count(inline_web.store, "failed", 1)
    record = inline_web.store.sweeps.get(sweep_id)
    assert record is not None
    assert record.state == "succeeded"
    assert notifier.look() == 0  # not tried again
    assert [line["event"] for line in lines] == ["notice_failed"]
    said = repr(lines) + "".join(capfd.readouterr())
    assert "hush" not in said
    assert "secret-path" not in said


def test_without_a_url_nothing_is_looked_for(inline_web: Web) -> None:
    run_sweep(inline_web)
    assert Notifier(inline_web.store, Settings()).look() == 0
    assert build_target(" , ") is None


@pytest.mark.parametrize("urls", ["not-a-url", "json://a.example, hush-hush"])
def test_what_is_no_url_is_refused_by_its_place_alone(urls: str) -> None:
    with pytest.raises(InputError, match="STOCK_BACKTEST_NOTIFY_URLS") as caught:
        check_urls(urls)
    assert "hush" not in str(caught.value)


def test_a_url_of_no_known_service_is_refused_when_it_is_checked_in_full() -> None:
    with pytest.raises(InputError, match="URL 2, hidden"):
        build_target("json://127.0.0.1:1 hushhush://a.example")


def test_sweeps_that_ended_long_ago_are_no_news(inline_web: Web, hook: Hook) -> None:
    run_sweep(inline_web)
    engine = inline_web.store.engine
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.exec_driver_sql("UPDATE sweeps SET finished_at = '2001-01-01 00:00:00.000000'")
    assert Notifier(inline_web.store, Settings(notify_urls=hook.url)).look() == 0
