"""What the product is built from: locked, complete, and of licences that were looked at."""

from __future__ import annotations

import pytest

from scripts.audit_dependencies import ALLOWED, check_offline, read_pins

HASH = "--hash=sha256:" + "a" * 64


def test_everything_is_locked_complete_and_of_a_known_licence() -> None:
    assert check_offline() == []


def test_a_pin_is_read_with_its_version() -> None:
    text = f"# made by uv\nflask==3.1.3 \\\n    {HASH}\n    # via setup.cfg\nRedis[x]==8.1 {HASH}\n"
    assert read_pins(text) == {"flask": "3.1.3", "redis": "8.1"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"flask>=3 {HASH}", "no exact version"),
        (f"flask {HASH}", "no exact version"),
        ("flask==3.1.3", "no hash"),
        ("--extra-index-url https://elsewhere.example/simple", "no exact version"),
        (f"flask==3.1.3 {HASH} --index-url https://elsewhere.example", "names a place"),
        ("flask @ git+https://elsewhere.example/flask", "no exact version"),
    ],
)
def test_what_is_not_locked_is_found(line: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_pins(f"click==8.0 {HASH}\n{line}\n")


@pytest.mark.parametrize("licence", ["GPL-3.0-only", "AGPL", "Proprietary", "SSPL-1.0", ""])
def test_a_licence_that_was_not_looked_at_is_found(licence: str) -> None:
    assert not ALLOWED.search(licence)
