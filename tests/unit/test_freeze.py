"""The frozen engine does not change: not a byte of it, and not of anything of ours it imports."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backtest import manifest as manifest_module
from backtest.engine import ENGINE_VERSION
from backtest.manifest import (
    REPOSITORY,
    build_manifest,
    compare_manifest,
    compute_engine_hash,
    list_engine_files,
    load_manifest,
    read_version,
    save_manifest,
)

CORE = {"backtest/engine.py", "backtest/bar_step.py", "backtest/headline.py", "backtest/jit.py"}

# Imports everything the engine needs in a fresh process and prints which files of ours that ran.
PROBE = """
import sys
from pathlib import Path
import backtest.engine
root = Path.cwd()
packages = ("adapters", "backtest", "cli", "rules", "storage", "tasks", "webapp")
names = [name for name in sys.modules if name.split(".")[0] in packages]
print("\\n".join(sorted(str(Path(sys.modules[n].__file__).relative_to(root)) for n in names)))
"""


@pytest.fixture
def engine_copy(tmp_path):
    """Return a copy of the engine's files, with a manifest built from it."""
    for name in list_engine_files():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, tmp_path / name)
    return tmp_path, build_manifest(tmp_path)


def test_the_engine_is_what_was_frozen():
    frozen = load_manifest()
    assert frozen is not None, "the manifest of the frozen engine is gone; restore it from history"
    assert compare_manifest(frozen) == []
    assert frozen["version"] == ENGINE_VERSION
    assert set(frozen["files"]) >= CORE


def test_the_files_found_in_the_source_are_those_that_run():
    printed = subprocess.run(
        [sys.executable, "-c", PROBE],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
    ).stdout.split()
    assert set(printed) >= CORE
    assert list_engine_files() == printed


def test_an_untouched_copy_agrees_with_its_manifest(engine_copy):
    root, manifest = engine_copy
    assert compare_manifest(manifest, root) == []


def test_one_changed_byte_in_any_file_is_found(engine_copy):
    root, manifest = engine_copy
    for name in list_engine_files(root):
        path = root / name
        original = path.read_bytes()
        path.write_bytes(original + b"\n")
        assert compare_manifest(manifest, root) == [f"{name}: changed after the freeze"]
        path.write_bytes(original)
    assert compare_manifest(manifest, root) == []


def test_a_new_import_of_ours_is_found_wherever_it_stands(engine_copy):
    root, manifest = engine_copy
    (root / "backtest/extra.py").write_text("X = 1\n")
    jit = root / "backtest/jit.py"
    for line in (
        "import backtest.extra\n",
        "from backtest import extra\n",
        "def late():\n    from backtest.extra import X\n",
        "from . import extra\n",
        "from .extra import X\n",
    ):
        original = jit.read_text()
        jit.write_text(original + line)
        assert "backtest/extra.py: imported by the engine, but not frozen" in compare_manifest(
            manifest, root
        ), line
        jit.write_text(original)


def test_a_module_that_is_no_longer_imported_is_found(engine_copy):
    root, manifest = engine_copy
    (root / "backtest/headline.py").unlink()
    assert "backtest/headline.py: frozen, but no longer imported by the engine" in (
        compare_manifest(manifest, root)
    )


def test_another_version_is_found(engine_copy):
    root, manifest = engine_copy
    engine = root / "backtest/engine.py"
    engine.write_text(engine.read_text().replace(f'"{ENGINE_VERSION}"', '"9.9.9"'))
    assert read_version(root) == "9.9.9"
    assert f"version: frozen {ENGINE_VERSION}, now 9.9.9" in compare_manifest(manifest, root)


def test_a_tree_without_the_engine_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"backtest\.engine is not under"):
        list_engine_files(tmp_path)


def test_modules_that_the_engine_does_not_import_may_change():
    names = list_engine_files()
    assert not {"backtest/metrics.py", "backtest/bars.py", "backtest/manifest.py"} & set(names)
    assert all(name.startswith("backtest/") for name in names)


def test_the_engine_hash_survives_the_freeze_and_follows_the_source(
    engine_copy, monkeypatch, tmp_path
):
    root, manifest = engine_copy
    path = tmp_path / "manifest.json"
    monkeypatch.setattr(manifest_module, "load_manifest", lambda: load_manifest(path))
    monkeypatch.setattr(manifest_module, "build_manifest", lambda: build_manifest(root))
    compute = compute_engine_hash.__wrapped__
    before = compute()
    save_manifest(manifest, path)
    assert compute() == before
    assert len(before) == 64
    path.unlink()
    (root / "backtest/jit.py").write_text("# another compiler\n")
    assert compute() != before


def test_the_script_freezes_once_and_then_only_checks(tmp_path):
    for name in [*list_engine_files(), "backtest/manifest.py", "scripts/freeze_engine.py"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, tmp_path / name)

    def freeze(*flags):
        return subprocess.run(
            [sys.executable, str(Path("scripts") / "freeze_engine.py"), *flags],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    assert freeze("--check").returncode == 1
    assert f"{len(list_engine_files())} files frozen" in freeze().stdout
    written = (tmp_path / "backtest/engine_manifest.json").read_bytes()
    assert freeze("--check").returncode == 0
    changed = tmp_path / "backtest/bar_step.py"
    changed.write_bytes(changed.read_bytes() + b" ")
    again = freeze()
    assert again.returncode == 1
    assert "backtest/bar_step.py: changed after the freeze" in again.stderr
    assert (tmp_path / "backtest/engine_manifest.json").read_bytes() == written
