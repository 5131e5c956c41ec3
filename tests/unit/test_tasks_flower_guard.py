"""Who may talk to Flower."""

from __future__ import annotations

import pytest

from tasks.flower_guard import build_allowed_hosts, find_refusal
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
