"""Random interleavings again, others each time, and more of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.model_base import run_model
from tests.support.run_model import RunModel, list_transitions
from tests.support.sweep_model import SweepModel
from tests.support.sweep_steps import list_transitions as list_sweep_transitions

pytestmark = pytest.mark.timeout(600)

# Interleavings are drawn: of the transitions so large a share is taken by single steps, or the
# model has become too timid to find anything. One draw may miss some; several do not.
SHARE = 0.6
MAX_DRAWS = 3


def draw_until(model: type[Any], database_url: str, n_examples: int, n_wanted: float) -> None:
    """Draw interleavings, and again while they took too few transitions."""
    seen: set[Any] = set()
    for _ in range(MAX_DRAWS):
        seen |= set(run_model(model, database_url, n_examples=n_examples, repeat=False))
        if len(seen) >= n_wanted:
            return
    raise AssertionError(
        f"took {len(seen)} transitions, wanted {n_wanted:.0f}: {sorted(seen, key=str)}"
    )


def test_runs_end_once_in_many_interleavings(database_url: str) -> None:
    draw_until(RunModel, database_url, 60, SHARE * len(list_transitions()))


def test_sweeps_are_computed_once_in_many_interleavings(database_url: str) -> None:
    draw_until(SweepModel, database_url, 40, SHARE * len(list_sweep_transitions()))
