"""Random interleavings of everything that happens to runs and sweeps, against real databases.

The same ones every time; `tests/chaos/test_state_machines.py` draws others, and many more.
"""

from __future__ import annotations

import pytest

from tests.support.model_base import run_model
from tests.support.run_model import RunModel
from tests.support.sweep_model import SweepModel

pytestmark = pytest.mark.timeout(300)


def test_a_run_ends_once_whatever_happens_to_it(database_url: str) -> None:
    run_model(RunModel, database_url, n_examples=8, repeat=True)


def test_a_sweep_is_computed_once_whatever_happens_to_it(database_url: str) -> None:
    run_model(SweepModel, database_url, n_examples=5, repeat=True)
