"""Random interleavings again, others each time, and more of them."""

from __future__ import annotations

import pytest

from tests.support.model_base import run_model
from tests.support.run_model import RunModel, list_transitions
from tests.support.sweep_model import SweepModel
from tests.support.sweep_steps import list_transitions as list_sweep_transitions

pytestmark = pytest.mark.timeout(600)

# Interleavings are drawn: of the transitions so large a share is taken by single steps in any
# draw, or the model has become too timid to find anything.
SHARE = 0.6


def test_runs_end_once_in_many_interleavings(database_url: str) -> None:
    seen = run_model(RunModel, database_url, n_examples=60, repeat=False)
    assert len(seen) >= SHARE * len(list_transitions())


def test_sweeps_are_computed_once_in_many_interleavings(database_url: str) -> None:
    seen = run_model(SweepModel, database_url, n_examples=40, repeat=False)
    assert len(seen) >= SHARE * len(list_sweep_transitions())
