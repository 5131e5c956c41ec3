"""Hosts that are answered, origins that may write."""

from __future__ import annotations

import pytest

from webapp.problems import ProblemError
from webapp.security import check_host, check_origin, split_port

ALLOWED = frozenset({"localhost", "127.0.0.1", "[::1]", "app.example.com"})
CONFIGURED = frozenset({"app.example.com"})


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost:5000", "localhost"),
        ("LOCALHOST", "localhost"),
        ("[::1]:5000", "[::1]"),
        ("[::1]", "[::1]"),
        ("127.0.0.1:", "127.0.0.1:"),
        ("", ""),
    ],
)
def test_the_port_is_cut_off_a_host(host: str, name: str) -> None:
    assert split_port(host) == name


@pytest.mark.parametrize(
    "host", ["localhost:5000", "127.0.0.1", "[::1]:1", "APP.example.com", "app.example.com:8443"]
)
def test_allowed_hosts_are_answered(host: str) -> None:
    check_host(host, ALLOWED)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:5000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "app.example.com.evil.example",
        "evil.example#localhost",
        "localhost:5000@evil.example",
        "127.0.0.1, evil.example",
    ],
)
def test_foreign_hosts_are_refused(host: str) -> None:
    with pytest.raises(ProblemError) as caught:
        check_host(host, ALLOWED)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("origin", "fetch_site", "host"),
    [
        (None, None, "localhost:5000"),
        (None, "same-origin", "localhost:5000"),
        (None, "none", "localhost:5000"),
        ("http://localhost:5000", "same-origin", "localhost:5000"),
        ("https://app.example.com", None, "app.example.com"),
        ("https://app.example.com", "same-origin", "web:5000"),
    ],
)
def test_programs_and_our_own_pages_may_write(
    origin: str | None, fetch_site: str | None, host: str
) -> None:
    check_origin(origin, fetch_site, host, CONFIGURED)


@pytest.mark.parametrize(
    ("origin", "fetch_site", "host"),
    [
        ("http://evil.example", None, "localhost:5000"),
        ("http://localhost:8888", "same-site", "localhost:5000"),
        ("http://localhost", None, "localhost:5000"),
        ("null", None, "localhost:5000"),
        ("", None, "localhost:5000"),
        ("file://", None, "localhost:5000"),
        ("http://[::1", None, "localhost:5000"),
        ("https://app.example.com.evil.example", None, "app.example.com"),
        (None, "cross-site", "localhost:5000"),
        (None, "same-site", "localhost:5000"),
    ],
)
def test_foreign_origins_may_not_write(
    origin: str | None, fetch_site: str | None, host: str
) -> None:
    with pytest.raises(ProblemError) as caught:
        check_origin(origin, fetch_site, host, CONFIGURED)
    assert caught.value.status == 403
