"""Which addresses are the network, and what may be opened to it."""

from __future__ import annotations

import pytest

from backtest.errors import InputError
from tasks.exposure import (
    check_exposure,
    check_secret_key,
    choose_mode,
    is_from_here,
    is_local_bind,
)
from tasks.settings import Settings

KEY = "k" * 32


@pytest.mark.parametrize(
    "bind",
    ["127.0.0.1:5000", "127.9.8.7:1", "localhost:5000", "LOCALHOST", "[::1]:5000", "unix:/run/x"],
)
def test_loopback_is_recognised(bind: str) -> None:
    assert is_local_bind(bind)


@pytest.mark.parametrize(
    "bind",
    [
        *("0.0.0.0:5000", ":5000", "", "[::]:5000", "192.168.1.5:5000", "my-laptop:5000"),
        *("127.1:5000", "2130706433:5000", "localhost.evil.example:5000", "fd://3"),
        *("127.0.0.1:5000,0.0.0.0:5000", "127.0.0.1.evil.example:80", "::", "0:5000"),
    ],
)
def test_what_is_not_surely_loopback_is_the_network(bind: str) -> None:
    assert not is_local_bind(bind)
    with pytest.raises(InputError) as caught:
        check_exposure(Settings(), "STOCK_BACKTEST_BIND", bind, lambda: False)
    [error] = caught.value.errors
    assert (error.field, error.value) == ("STOCK_BACKTEST_BIND", bind)
    assert "stock-backtest token create" in error.message


@pytest.mark.parametrize(
    ("host", "peer", "forwarded"),
    [
        ("127.0.0.1", "127.0.0.1", ""),
        ("localhost", "::1", ""),
        ("[::1]", "", ""),  # a local socket
        ("127.0.0.1", "127.0.0.1", "127.0.0.1, ::1"),
    ],
)
def test_what_asks_for_this_machine_from_this_machine_is_from_here(
    host: str, peer: str, forwarded: str
) -> None:
    assert is_from_here(host, peer, forwarded)


@pytest.mark.parametrize(
    ("host", "peer", "forwarded"),
    [
        ("bt.example.org", "127.0.0.1", ""),
        ("", "127.0.0.1", ""),
        ("127.0.0.1", "192.0.2.7", ""),
        ("127.0.0.1", "127.0.0.1", "192.0.2.7"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1, 192.0.2.7"),
        ("127.0.0.1", "127.0.0.1", "unknown"),
        ("127.0.0.1.evil.example", "127.0.0.1", ""),
    ],
)
def test_another_name_peer_or_hop_is_not_from_here(host: str, peer: str, forwarded: str) -> None:
    assert not is_from_here(host, peer, forwarded)


def test_a_token_or_the_word_of_the_operator_lets_a_server_start_on_the_network() -> None:
    bind = "0.0.0.0:5000"
    assert check_exposure(Settings(), "x", bind, lambda: True) == "closed"
    assert check_exposure(Settings(auth="token"), "x", bind, lambda: False) == "closed"
    assert check_exposure(Settings(auth="dangerously-open"), "x", bind, lambda: False) == "open"


def test_tokens_are_not_counted_where_the_answer_does_not_depend_on_them() -> None:
    def fail() -> bool:
        raise AssertionError

    assert check_exposure(Settings(), "x", "127.0.0.1:5000", fail) == "auto"
    assert check_exposure(Settings(auth="token"), "x", "0.0.0.0:1", fail) == "closed"
    assert choose_mode(Settings(auth="token"), "127.0.0.1:1") == "closed"


@pytest.mark.parametrize("key", ["", "short", "k" * 31])
def test_logins_need_a_key_that_cannot_be_guessed_and_is_never_repeated(key: str) -> None:
    with pytest.raises(InputError) as caught:
        check_secret_key(Settings(secret_key=key), "closed")
    assert "STOCK_BACKTEST_SECRET_KEY" in str(caught.value)
    assert "short" not in str(caught.value)


def test_an_open_server_needs_no_key() -> None:
    check_secret_key(Settings(), "auto")
    check_secret_key(Settings(), "open")
    check_secret_key(Settings(secret_key=KEY), "closed")
