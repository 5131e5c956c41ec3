"""Random interleavings again, others each time, and so many that every transition is taken."""

from __future__ import annotations

import pytest

from tests.support import run_model, sweep_model
from tests.support.model_base import run_model as run

pytestmark = pytest.mark.timeout(600)


def test_runs_end_once_in_many_interleavings(database_url: str) -> None:
    seen = run(run_model.RunModel, database_url, n_examples=100, repeat=False)
    assert run_model.list_transitions() - seen == set()


def test_sweeps_are_computed_once_in_many_interleavings(database_url: str) -> None:
    seen = run(sweep_model.SweepModel, database_url, n_examples=100, repeat=False)
    assert sweep_model.list_transitions() - seen == set()
