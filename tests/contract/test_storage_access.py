"""Tokens, sessions and the audit log, on both databases."""

from __future__ import annotations

import dataclasses

import pytest
from sqlalchemy import Engine, select, text

from backtest.errors import InputError
from storage.access import TOKEN_PREFIX, Scope, includes_scope, parse_scopes
from storage.access_tables import token_sessions, tokens
from storage.store import Store


def execute(engine: Engine, statement: str, **values: object) -> None:
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(text(statement), values)


def test_a_secret_has_256_bits_and_is_stored_as_a_hash_only(store: Store) -> None:
    record, secret = store.tokens.create("ci", "submit")
    random_part = secret.removeprefix(TOKEN_PREFIX)
    assert len(random_part) == 43  # 32 bytes in base64 without padding
    with store.engine.connect() as connection:
        row = connection.execute(select(tokens)).one()
    assert secret not in str(row)
    assert random_part not in str(row)
    assert secret not in str(dataclasses.asdict(record))


def test_a_live_secret_finds_its_token_and_no_other_does(store: Store) -> None:
    record, secret = store.tokens.create("ci", "submit")
    _, other = store.tokens.create("laptop", "read")
    found = store.tokens.find_by_secret(secret)
    assert found is not None
    assert (found.id, found.scope) == (record.id, "submit")
    assert secret != other
    for wrong in ("", secret[:-1], secret + "x", secret.upper(), "sbt_", "sbt_" + "x" * 500, "ü"):
        assert store.tokens.find_by_secret(wrong) is None


def test_a_revoked_token_finds_nothing_and_its_sessions_are_gone(store: Store) -> None:
    record, secret = store.tokens.create("ci", "admin")
    session = store.tokens.start_session(record.id, 60)
    assert store.tokens.find_by_session(session) is not None
    revoked = store.tokens.revoke("ci")
    assert revoked is not None
    assert revoked.revoked_at is not None
    assert store.tokens.find_by_secret(secret) is None
    assert store.tokens.find_by_session(session) is None
    assert store.tokens.revoke("ci") is None
    assert store.tokens.exist()  # once closed, a platform stays closed


def test_a_token_and_a_session_end_by_the_clock_of_the_database(store: Store) -> None:
    record, secret = store.tokens.create("ci", "read", expires_days=1)
    session = store.tokens.start_session(record.id, 3600)
    assert store.tokens.find_by_secret(secret) is not None
    execute(store.engine, "UPDATE token_sessions SET expires_at = '2020-01-01 00:00:00.000000'")
    assert store.tokens.find_by_session(session) is None
    execute(store.engine, "UPDATE tokens SET expires_at = '2020-01-01 00:00:00.000000'")
    assert store.tokens.find_by_secret(secret) is None


def test_sessions_that_are_over_are_deleted_by_the_next_login(store: Store) -> None:
    record, _ = store.tokens.create("ci", "read")
    store.tokens.start_session(record.id, 3600)
    execute(store.engine, "UPDATE token_sessions SET expires_at = '2020-01-01 00:00:00.000000'")
    session = store.tokens.start_session(record.id, 3600)
    with store.engine.connect() as connection:
        assert connection.scalars(select(token_sessions.c.id)).all() == [session]
    assert store.tokens.end_session(session)
    assert not store.tokens.end_session(session)


def test_the_time_of_last_use_is_written_once_a_minute(store: Store) -> None:
    record, secret = store.tokens.create("ci", "read")
    assert record.last_used_at is None
    store.tokens.find_by_secret(secret)
    first = store.tokens.list()[0].last_used_at
    assert first is not None
    store.tokens.find_by_secret(secret)
    assert store.tokens.list()[0].last_used_at == first
    execute(store.engine, "UPDATE tokens SET last_used_at = '2020-01-01 00:00:00.000000'")
    store.tokens.find_by_secret(secret)
    last = store.tokens.list()[0].last_used_at
    assert last is not None
    assert last.year > 2020


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "a\x1b[31mb"])
def test_a_name_that_cannot_be_shown_is_refused(store: Store, name: str) -> None:
    with pytest.raises(InputError, match="name"):
        store.tokens.create(name, "read")


def test_a_name_is_free_again_once_its_token_is_revoked(store: Store) -> None:
    store.tokens.create("ci", "read")
    with pytest.raises(InputError, match="choose another"):
        store.tokens.create("ci", "read")
    store.tokens.revoke("ci")
    record, _ = store.tokens.create("ci", "read")
    assert store.tokens.revoke(record.id) is not None


@pytest.mark.parametrize("days", [0, -1, 3651])
def test_an_impossible_life_is_refused(store: Store, days: int) -> None:
    with pytest.raises(InputError, match="expires_days"):
        store.tokens.create("ci", "read", days)


@pytest.mark.parametrize(
    ("held", "needed", "allowed"),
    [
        ("read", "read", True),
        ("read", "submit", False),
        ("submit", "read", True),
        ("submit", "admin", False),
        ("admin", "submit", True),
    ],
)
def test_a_wider_scope_contains_the_narrower(held: Scope, needed: Scope, allowed: bool) -> None:
    assert includes_scope(held, needed) is allowed


def test_scopes_are_read_from_a_list_and_the_widest_counts() -> None:
    assert parse_scopes("read, submit") == "submit"
    assert parse_scopes("ADMIN") == "admin"
    for wrong in ("", ",", "root", "read,root"):
        with pytest.raises(InputError, match="scope"):
            parse_scopes(wrong)


def test_events_come_newest_first_in_pages_and_are_purged_by_age(store: Store) -> None:
    for number in range(5):
        store.audit.add("ci", "post_runs", f"run-{number}", address="192.0.2.1", status=202)
    first = store.audit.list(limit=2)
    assert [event.object_id for event in first] == ["run-4", "run-3"]
    rest = store.audit.list(limit=10, before=first[-1].id)
    assert [event.object_id for event in rest] == ["run-2", "run-1", "run-0"]
    assert rest[0].at.tzinfo is not None
    execute(
        store.engine,
        "UPDATE audit_events SET at = '2020-01-01 00:00:00.000000' WHERE object_id = 'run-0'",
    )
    assert store.audit.purge(30) == 1
    assert store.audit.purge(30) == 0
    assert len(store.audit.list()) == 4


def test_long_names_are_cut_to_their_columns(store: Store) -> None:
    store.audit.add("a" * 500, "b" * 500, "c" * 500, address="d" * 500)
    event = store.audit.list()[0]
    assert (len(event.actor), len(event.object_id), len(event.address)) == (128, 255, 64)
