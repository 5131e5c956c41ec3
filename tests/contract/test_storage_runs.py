"""Runs: insertion, idempotency, the list with its cursors, tags, deletion."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select

from backtest.errors import InputError
from storage.errors import IdempotencyConflict
from storage.models import SORTABLE_METRICS, idempotency_keys, run_artifacts, run_tags
from storage.records import RunFilter, RunRecord
from storage.run_list import SORT_KEYS
from storage.store import Store
from tests.support.storage_samples import (
    add_dataset,
    build_run,
    claim,
    finish,
    run_at_once,
    submit,
)


def _list_all(store: Store, wanted: RunFilter) -> list[str]:
    """Follow the cursors to the end."""
    found: list[str] = []
    cursor = None
    while True:
        page = store.runs.list(replace(wanted, cursor=cursor))
        assert len(page.items) <= wanted.limit
        found += [item.run_id for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found


def test_a_new_run_is_queued_with_everything_it_was_given(store: Store) -> None:
    before = datetime.now(UTC)
    new = build_run(add_dataset(store), tags=("b", "a"), note="größer 📈\nzwei", rule="macd")
    record = store.runs.insert(new)
    assert (record.run_id, record.fingerprint, record.spec) == (new.run_id, "f" * 64, new.spec)
    assert list(record.spec) == ["rule", "params", "dataset"]  # in the order of the sender
    assert (record.state, record.progress, record.stage) == ("queued", 0.0, "")
    assert (record.symbol, record.rule) == ("AAPL", "macd")
    assert (record.tags, record.note) == (("b", "a"), "größer 📈\nzwei")
    assert (record.metrics, record.error) == (None, None)
    assert (record.attempt, record.has_charts, record.version) == (0, False, 1)
    assert (record.started_at, record.finished_at) == (None, None)
    assert abs((record.submitted_at - before).total_seconds()) < 5
    assert store.runs.get(new.run_id) == record


def test_inserting_a_run_again_stores_it_once(store: Store) -> None:
    new = build_run(add_dataset(store), tags=("a",), idempotency_key="k", request_hash="h")
    first = store.runs.insert(new)
    assert store.runs.insert(new) == first
    assert _list_all(store, RunFilter()) == [new.run_id]


def test_threads_that_insert_one_run_at_once_store_it_once(store: Store) -> None:
    new = build_run(add_dataset(store), tags=("a",))
    records = run_at_once(lambda _: store.runs.insert(new), range(4))
    assert {record.run_id for record in records} == {new.run_id}
    assert _list_all(store, RunFilter()) == [new.run_id]


def test_an_idempotency_key_answers_the_same_request_with_the_same_run(store: Store) -> None:
    sha256 = add_dataset(store)
    first = store.runs.insert(build_run(sha256, idempotency_key="key", request_hash="a"))
    second = store.runs.insert(build_run(sha256, idempotency_key="key", request_hash="a"))
    assert second == first
    assert store.runs.find_by_idempotency_key("key") == first
    assert store.runs.find_by_idempotency_key("key", "a") == first
    assert store.runs.find_by_idempotency_key("KEY") is None


def test_an_idempotency_key_of_another_request_is_a_conflict_and_stores_nothing(
    store: Store,
) -> None:
    sha256 = add_dataset(store)
    first = store.runs.insert(build_run(sha256, idempotency_key="key", request_hash="a"))
    other = build_run(sha256, idempotency_key="key", request_hash="b")
    with pytest.raises(IdempotencyConflict):
        store.runs.insert(other)
    with pytest.raises(IdempotencyConflict):
        store.runs.find_by_idempotency_key("key", "b")
    with pytest.raises(IdempotencyConflict):
        store.runs.save_idempotency_key("key", "b", first.run_id)
    assert _list_all(store, RunFilter()) == [first.run_id]


def test_threads_with_one_idempotency_key_get_one_run(store: Store) -> None:
    sha256 = add_dataset(store)
    records = run_at_once(
        lambda _: store.runs.insert(build_run(sha256, idempotency_key="k", request_hash="h")),
        range(4),
    )
    assert len({record.run_id for record in records}) == 1
    assert len(_list_all(store, RunFilter())) == 1


def test_a_key_can_stand_for_a_run_that_was_done_before(store: Store) -> None:
    run = submit(store)
    assert store.runs.save_idempotency_key("key", "h", run.run_id) == run
    assert store.runs.save_idempotency_key("key", "h", run.run_id) == run
    assert store.runs.find_by_idempotency_key("key", "h") == run


def test_an_overlong_key_or_tag_is_refused_on_every_database(store: Store) -> None:
    sha256 = add_dataset(store)
    for changes in (
        {"idempotency_key": "k" * 256},
        {"idempotency_key": ""},
        {"tags": ("t" * 41,)},
        {"tags": (" ",)},
    ):
        with pytest.raises(InputError):
            store.runs.insert(build_run(sha256, **changes))
    assert _list_all(store, RunFilter()) == []
    longest = build_run(sha256, idempotency_key="ü" * 255, tags=("ü" * 40,), request_hash="h")
    assert store.runs.insert(longest).tags == ("ü" * 40,)


def test_a_finished_run_is_found_by_its_fingerprint_newest_first(store: Store) -> None:
    assert store.runs.find_finished("f" * 64) is None
    old, new = submit(store), submit(store)
    other = submit(store, fingerprint="0" * 64)
    assert store.runs.find_finished("f" * 64) is None  # none is done yet
    for run in (new, old, other):
        assert finish(store, claim(store, run.run_id))
    found = store.runs.find_finished("f" * 64)
    assert found is not None
    assert found.run_id == new.run_id
    failed = submit(store, fingerprint="1" * 64)
    assert store.runs.fail(failed.run_id, claim(store, failed.run_id).attempt, {"code": "x"})
    assert store.runs.find_finished("1" * 64) is None


def test_the_list_shows_the_newest_first_and_filters(store: Store) -> None:
    add_dataset(store)
    aapl = submit(store, symbol="AAPL", rule="rsi", tags=("good", "Check"))
    msft = submit(store, symbol="MSFT", rule="rsi", tags=("good",))
    macd = submit(store, symbol="AAPL", rule="macd")
    assert store.runs.cancel(msft.run_id)
    wanted = {
        RunFilter(): [macd, msft, aapl],
        RunFilter(sort="submitted_at"): [aapl, msft, macd],
        RunFilter(symbol="AAPL"): [macd, aapl],
        RunFilter(symbol="aapl"): [],
        RunFilter(rule="rsi"): [msft, aapl],
        RunFilter(state="cancelled"): [msft],
        RunFilter(state="queued", symbol="AAPL", rule="rsi"): [aapl],
        RunFilter(tag="good"): [msft, aapl],
        RunFilter(tag="good", sort="symbol"): [aapl, msft],
        RunFilter(tag="good", symbol="MSFT"): [msft],
        RunFilter(tag="check"): [],
        RunFilter(sort="-symbol"): [msft, macd, aapl],
        RunFilter(sort="rule"): [macd, aapl, msft],
    }
    for chosen, expected in wanted.items():
        assert _list_all(store, chosen) == [run.run_id for run in expected], chosen
        short = replace(chosen, limit=1)
        assert _list_all(store, short) == [run.run_id for run in expected], short


def _show(record: RunRecord, name: str) -> object:
    """Return what a run is sorted by, None where it has no such value."""
    if name in RunRecord.__dataclass_fields__:
        return getattr(record, name)
    return (record.metrics or {}).get(name)


def test_every_sort_pages_through_every_run_once_with_empty_values_last(store: Store) -> None:
    sha256 = add_dataset(store)
    # Ties, negative and long fractions, a value of zero, and runs without any.
    values = [0.1 + 0.2, None, -0.5, 1 / 3, None, 0.0, 1 / 3, 2e-300, float("nan")]
    for number, value in enumerate(values):
        run = store.runs.insert(build_run(sha256, symbol=f"S{number % 3}", rule=f"r{number % 2}"))
        if number != 4:
            metrics = {**dict.fromkeys(SORTABLE_METRICS, value), "n_trades": number % 4}
            assert finish(store, claim(store, run.run_id), **metrics)
    records = {record.run_id: record for record in store.runs.list().items}
    for name, minus, limit in itertools.product(SORT_KEYS, ("", "-"), (1, 3, 200)):
        found = _list_all(store, RunFilter(sort=minus + name, limit=limit))
        assert sorted(found) == sorted(records), (minus, name, limit)
        shown = [_show(records[run_id], name) for run_id in found]
        present = [value for value in shown if value is not None]
        assert shown == present + [None] * (len(shown) - len(present))
        assert present == sorted(present, reverse=bool(minus)), (minus, name, limit)


def test_cursors_neither_skip_nor_repeat_while_runs_arrive(store: Store) -> None:
    sha256 = add_dataset(store)
    before = [store.runs.insert(build_run(sha256)).run_id for _ in range(9)]
    found: list[str] = []
    cursor = None
    while True:
        page = store.runs.list(RunFilter(limit=2, cursor=cursor))
        found += [item.run_id for item in page.items]
        store.runs.insert(build_run(sha256))
        store.runs.delete(found[-1])  # the very row that the cursor points at
        cursor = page.next_cursor
        if cursor is None:
            break
    assert found == before[::-1]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"state": "done"}, "state"),
        ({"sort": "profit"}, "sort"),
        ({"sort": "--symbol"}, "sort"),
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"cursor": "rubbish!"}, "cursor"),
        ({"cursor": "e30"}, "cursor"),  # {}
        ({"cursor": "é"}, "cursor"),
        ({"cursor": "WyItc3VibWl0dGVkX2F0IiwgIjEiLCAxXQ"}, "cursor"),  # a text for the number
        ({"cursor": "WyItc3VibWl0dGVkX2F0IiwgMSwgWzFdXQ"}, "cursor"),  # a list for the value
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_by_field(
    store: Store, changes: dict[str, object], field: str
) -> None:
    with pytest.raises(InputError) as caught:
        store.runs.list(replace(RunFilter(), **changes))
    assert [error.field for error in caught.value.errors] == [field]


def test_a_cursor_of_another_sort_is_refused(store: Store) -> None:
    sha256 = add_dataset(store)
    for _ in range(2):
        store.runs.insert(build_run(sha256))
    cursor = store.runs.list(RunFilter(limit=1)).next_cursor
    with pytest.raises(InputError):
        store.runs.list(RunFilter(limit=1, sort="symbol", cursor=cursor))


def test_tags_and_note_can_be_changed_one_without_the_other(store: Store) -> None:
    run = submit(store, tags=("old",), note="first")
    tagged = store.runs.patch(run.run_id, tags=("new", " new ", "other"))
    assert tagged is not None
    assert (tagged.tags, tagged.note) == (("new", "other"), "first")
    assert tagged.version > run.version
    noted = store.runs.patch(run.run_id, note="second")
    assert noted is not None
    assert (noted.tags, noted.note) == (("new", "other"), "second")
    assert _list_all(store, RunFilter(tag="old")) == []
    assert _list_all(store, RunFilter(tag="new")) == [run.run_id]
    assert store.runs.patch(str(uuid.uuid4()), note="x") is None
    with pytest.raises(InputError):
        store.runs.patch(run.run_id, tags=("t" * 41,))


def test_deleting_a_run_deletes_all_it_left_behind(store: Store) -> None:
    run = submit(store, tags=("a",), idempotency_key="k", request_hash="h")
    kept = submit(store, tags=("a",))
    for item in (run, kept):
        assert finish(store, claim(store, item.run_id))
    assert store.runs.delete(run.run_id) is True
    assert store.runs.delete(run.run_id) is False
    assert store.runs.get(run.run_id) is None
    assert store.runs.load_summary(run.run_id) is None
    assert store.runs.load_columns(run.run_id) is None
    assert store.runs.find_by_idempotency_key("k") is None
    assert store.runs.load_summary(kept.run_id) is not None
    with store.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(run_tags)) == 1
        assert connection.scalar(select(func.count()).select_from(idempotency_keys)) == 0
        owners = set(connection.scalars(select(run_artifacts.c.run_id)))
    assert owners == {kept.run_id}


def test_a_running_run_can_be_deleted_and_its_worker_learns_that_it_lost_it(store: Store) -> None:
    run = submit(store)
    held = claim(store, run.run_id)
    assert store.runs.delete(run.run_id) is True
    assert store.runs.heartbeat(run.run_id, held.attempt, 60, "engine", 0.5) == "lost"
    assert finish(store, held) is False
    assert store.runs.load_summary(run.run_id) is None


def test_the_queue_is_counted_and_positioned_in_order_of_submission(store: Store) -> None:
    first, second, third = (submit(store) for _ in range(3))
    assert [store.runs.queue_position(run.run_id) for run in (first, second, third)] == [1, 2, 3]
    held = claim(store, first.run_id)
    assert store.runs.queue_position(first.run_id) is None
    assert store.runs.queue_position(third.run_id) == 2
    assert store.runs.queue_position(str(uuid.uuid4())) is None
    assert store.runs.cancel(second.run_id)
    finish(store, held)
    assert store.runs.counts() == {
        "queued": 1,
        "running": 0,
        "succeeded": 1,
        "failed": 0,
        "cancelled": 1,
    }


def test_retention_finds_ended_runs_only_and_the_oldest_first(store: Store) -> None:
    first, second, third = (submit(store) for _ in range(3))
    assert store.runs.cancel(second.run_id)
    assert finish(store, claim(store, first.run_id))
    assert store.runs.list_finished_before(days=1, limit=10) == ()
    assert store.runs.list_finished_before(days=-1, limit=10) == (second.run_id, first.run_id)
    assert store.runs.list_finished_before(days=-1, limit=1) == (second.run_id,)
    assert store.runs.get(third.run_id) is not None
