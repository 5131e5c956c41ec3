"""Who may talk to Flower."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.access import TokenRepository
from storage.database import create_database
from storage.schema import upgrade_schema
from tasks.flower_guard import Refusal, TokenGuard, build_allowed_hosts, find_refusal
from tasks.settings import Settings

HOSTS = build_allowed_hosts(Settings(allowed_hosts="bt.example.org, Other.example.org"))


@pytest.mark.parametrize(
    ("method", "host", "origin", "fetch_site"),
    [
        ("GET", "127.0.0.1:5555", None, None),
        ("GET", "localhost:5555", None, "cross-site"),  # a link on another page, opened here
        ("GET", "[::1]:5555", "http://[::1]:5555", "same-origin"),
        ("GET", "BT.example.org", None, None),
        ("POST", "other.example.org", "https://other.example.org", "same-origin"),
        ("POST", "127.0.0.1:5555", None, None),  # a script, not a browser
    ],
)
def test_own_requests_pass(
    method: str, host: str, origin: str | None, fetch_site: str | None
) -> None:
    assert find_refusal(method, host, origin, fetch_site, HOSTS) is None


@pytest.mark.parametrize(
    ("method", "host", "origin", "fetch_site", "words"),
    [
        ("GET", "evil.example:5555", None, None, "host name 'evil.example:5555'"),
        ("GET", "", None, None, "host name"),
        ("GET", "127.0.0.1.evil.example", None, None, "host name"),
        ("GET", "127.0.0.1:5555", "http://evil.example", None, "origin 'http://evil.example'"),
        ("GET", "127.0.0.1:5555", "null", None, "origin 'null'"),
        ("POST", "127.0.0.1:5555", "http://127.0.0.1:5000", None, "origin"),
        ("POST", "127.0.0.1:5555", None, "cross-site", "another site"),
        ("POST", "127.0.0.1:5555", None, "same-site", "another site"),
    ],
)
def test_foreign_names_and_origins_are_refused_with_the_reason(
    method: str, host: str, origin: str | None, fetch_site: str | None, words: str
) -> None:
    assert words in str(find_refusal(method, host, origin, fetch_site, HOSTS))


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenRepository]:
    engine = create_database(f"sqlite:///{tmp_path}/test.db")
    upgrade_schema(engine)
    yield TokenRepository(engine)
    engine.dispose()


def ask(tokens: TokenRepository, host: str, peer: str, forwarded: str = "") -> int:
    """Return the status with which a request without a token passes a guard on loopback."""
    guard = TokenGuard(Settings(), "auto", tokens)
    try:
        guard.check("GET", "/api/workers", host, peer, None, forwarded)
    except Refusal as refusal:
        return refusal.status
    return 200


def test_before_there_is_a_token_this_machine_is_asked_for_none(tokens: TokenRepository) -> None:
    assert ask(tokens, "127.0.0.1:5555", "127.0.0.1") == 200
    assert ask(tokens, "[::1]:5555", "::1") == 200
    assert ask(tokens, "localhost:5555", "127.0.0.1", "127.0.0.1") == 200


@pytest.mark.parametrize(
    ("host", "peer", "forwarded"),
    [
        ("bt.example.org", "127.0.0.1", ""),  # a proxy that keeps the name it was asked by
        ("127.0.0.1:5555", "127.0.0.1", "192.0.2.7"),  # one that says whom it asks for
        ("127.0.0.1:5555", "127.0.0.1", "127.0.0.1, 192.0.2.7"),
        ("127.0.0.1:5555", "192.0.2.7", ""),  # a port that was published
    ],
)
def test_whoever_comes_through_a_proxy_is_asked_for_a_token_all_the_same(
    tokens: TokenRepository, host: str, peer: str, forwarded: str
) -> None:
    assert ask(tokens, host, peer, forwarded) == 401


def test_the_first_token_closes_it_for_this_machine_too(tokens: TokenRepository) -> None:
    _, secret = tokens.create("mine", "read")
    assert ask(tokens, "127.0.0.1:5555", "127.0.0.1") == 401
    guard = TokenGuard(Settings(), "auto", tokens)
    guard.check("GET", "/", "127.0.0.1:5555", "127.0.0.1", f"Bearer {secret}")
