"""The command line within the process of a test: what an interpreter's start takes, without it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cli.main import run
from tasks.settings import PREFIX

ROOT = Path(__file__).resolve().parents[2]


def run_apart(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, with no setting but those given."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


class Done(NamedTuple):
    """What became of a command; as `subprocess.CompletedProcess` names it."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """The command, run where nothing else is and without any setting but those given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cli.main.use_shipped_kernels", lambda: None)
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)

    def call(*arguments: str, **environ: str) -> Done:
        with monkeypatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            code = run(arguments)
        seen = capsys.readouterr()
        return Done(code, seen.out, seen.err)

    return call
