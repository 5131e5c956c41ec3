"""The tables of states in ARCHITECTURE.md are what the models hold the database to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import run_model, sweep_steps

ARCHITECTURE = Path(__file__).resolve().parents[2] / "ARCHITECTURE.md"
_PAIR = re.compile(r"(\w*) ?-> (\w+)")


def read_table(subject: str) -> set[tuple[str | None, str]]:
    """The transitions in the table whose first column is named `subject`."""
    found: set[tuple[str | None, str]] = set()
    inside = False
    for line in ARCHITECTURE.read_text().splitlines():
        if line.startswith(f"| {subject} |"):
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside:
            cell = line.split("|")[1]
            found |= {(match[1] or None, match[2]) for match in _PAIR.finditer(cell)}
    return found


@pytest.mark.parametrize(
    ("subject", "transitions"),
    [
        ("run", run_model.TRANSITIONS),
        ("sweep", sweep_steps.SWEEP_TRANSITIONS),
        ("chunk", sweep_steps.CHUNK_TRANSITIONS),
    ],
)
def test_the_tables_name_the_transitions_that_the_model_allows(
    subject: str, transitions: dict[str, set[tuple[str | None, str]]]
) -> None:
    assert read_table(subject) == set().union(*transitions.values())
