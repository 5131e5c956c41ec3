"""Kernels that were compiled before: chosen by processor, seen through links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.kernel_cache import prepare_numba
from tasks.shipped_kernels import (
    BASELINES,
    choose_baseline,
    read_cpu_flags,
    use_shipped_kernels,
)

V3 = BASELINES["x86-64-v3"]
V4 = BASELINES["x86-64-v4"]


def test_the_best_baseline_that_the_processor_runs_is_chosen() -> None:
    assert choose_baseline(V4 | {"sse2", "vmx"}) == "x86-64-v4"
    assert choose_baseline(V3) == "x86-64-v3"
    assert choose_baseline(V4 - {"avx512vl"}) == "x86-64-v3"
    assert choose_baseline(V3 - {"movbe"}) is None
    assert choose_baseline(frozenset()) is None


def test_what_the_processor_can_do_is_read_from_its_first_core(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nflags\t\t: avx avx2 fma\n\nprocessor\t: 1\nflags\t\t: sse\n")
    assert read_cpu_flags(file) == {"avx", "avx2", "fma"}
    assert read_cpu_flags(tmp_path / "none") == frozenset()


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder as an image has it, with one file for each baseline; a place that can be written."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    for name in BASELINES:
        part = tmp_path / "kernels" / name / "backtest_abc"
        part.mkdir(parents=True)
        (part / "kernel.nbi").write_text(name)
    return tmp_path / "kernels"


def test_without_shipped_kernels_nothing_changes(tmp_path: Path) -> None:
    for environ in ({}, {"NUMBA_CACHE_DIR": str(tmp_path)}):
        before = dict(environ)
        assert use_shipped_kernels(environ) is None
        assert environ == before


def test_shipped_kernels_are_seen_in_a_folder_that_can_be_written(shipped: Path) -> None:
    environ = {"NUMBA_CACHE_DIR": str(shipped), "NUMBA_CPU_NAME": "x86-64-v3"}
    assert use_shipped_kernels(environ) == "x86-64-v3"
    folder = Path(environ["NUMBA_CACHE_DIR"])
    assert (folder / "backtest_abc" / "kernel.nbi").read_text() == "x86-64-v3"
    assert environ["NUMBA_CPU_FEATURES"] == ""
    # What is added replaces a link and leaves the shipped file alone.
    (folder / "backtest_abc" / "new").write_text("x")
    os.replace(folder / "backtest_abc" / "new", folder / "backtest_abc" / "kernel.nbi")
    assert (shipped / "x86-64-v3" / "backtest_abc" / "kernel.nbi").read_text() == "x86-64-v3"
    # The next process finds the folder, and a child that inherits the environment keeps it.
    again = {"NUMBA_CACHE_DIR": str(shipped), "NUMBA_CPU_NAME": "x86-64-v3"}
    use_shipped_kernels(again)
    assert again == environ
    assert use_shipped_kernels(environ) is None
    assert again == environ


def test_a_processor_that_runs_no_baseline_compiles_for_itself(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.shipped_kernels.read_cpu_flags", frozenset)
    environ = {"NUMBA_CACHE_DIR": str(shipped)}
    assert use_shipped_kernels(environ) is None
    assert list(Path(environ["NUMBA_CACHE_DIR"]).iterdir()) == []
    assert "NUMBA_CPU_NAME" not in environ


def test_a_folder_that_somebody_else_may_write_is_not_loaded_from(shipped: Path) -> None:
    environ = {"NUMBA_CACHE_DIR": str(shipped), "NUMBA_CPU_NAME": "x86-64-v3"}
    use_shipped_kernels(environ)
    Path(environ["NUMBA_CACHE_DIR"]).chmod(0o777)
    again = {"NUMBA_CACHE_DIR": str(shipped), "NUMBA_CPU_NAME": "x86-64-v3"}
    use_shipped_kernels(again)
    assert again["NUMBA_CACHE_DIR"] != environ["NUMBA_CACHE_DIR"]


def test_an_installation_that_cannot_be_written_compiles_into_a_folder_of_this_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("tasks.kernel_cache._is_writable", lambda package: False)
    planted = tmp_path / f"stock-backtest-kernels-{os.getuid()}-own"
    planted.mkdir()
    planted.chmod(0o777)  # somebody else was there first, and may put code into it
    monkeypatch.setattr("os.environ", {})
    prepare_numba()
    folder = Path(os.environ["NUMBA_CACHE_DIR"])
    assert folder != planted
    assert folder.stat().st_mode & 0o077 == 0
