"""What an image is built with is whole, or it is not built; a worker goes on with what it has."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from tasks.kernel_warmup import main
from tasks.worker import compute_made_up

RULE = "buy_and_hold"


def fail(*args: object, **kwargs: object) -> Any:
    raise ZeroDivisionError


@pytest.fixture(params=["tasks.compute.compute_run", "tasks.sweep_compute.SweepEvaluator"])
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that cannot be computed, or only not in sweeps."""
    module, _, name = request.param.rpartition(".")
    monkeypatch.setattr(importlib.import_module(module), name, fail)


@pytest.mark.usefixtures("broken")
def test_a_rule_that_cannot_be_computed_fails_the_build_and_no_worker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tmp_path / "signatures"
    assert main([str(found), "--step", "find", "--rule", RULE]) == 1
    assert f"could not be computed: {RULE}" in capsys.readouterr().err
    assert not found.exists()
    assert compute_made_up((RULE,)) == (RULE,)


def test_a_rule_that_is_not_there_fails_the_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path / "signatures"), "--step", "find", "--rule", "rsj"]) == 1
    assert "there is no rule rsj" in capsys.readouterr().err
