"""The script that joins the page's own scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.scripts import load_script
from webapp.bundles import VERSION_FILE, find_bundles, hash_sources

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "build_bundles.py"


@pytest.fixture(scope="module")
def bundler() -> ModuleType:
    return load_script("build_bundles")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A web tier of one script and one page, with bundles of them."""
    for name in (
        *("static/js/run/page.js", "templates/run.html", "static/bundles/run/page.js"),
        "static/vendor/bootstrap.min.css",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "static" / "bundles" / VERSION_FILE).write_text(hash_sources(tmp_path))
    return tmp_path


def _run(*options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *options],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_bundles_of_the_present_files_are_found(package: Path) -> None:
    assert find_bundles(package) == (hash_sources(package), package / "static" / "bundles")


@pytest.mark.parametrize(
    "edited", ["static/js/run/page.js", "templates/run.html", "static/vendor/bootstrap.min.css"]
)
def test_an_edit_makes_bundles_stale(package: Path, edited: str) -> None:
    (package / edited).write_text("edited")
    assert find_bundles(package)[1] is None


def test_a_new_script_makes_bundles_stale(package: Path) -> None:
    (package / "static" / "js" / "new.js").write_text("")
    assert find_bundles(package)[1] is None


def test_every_page_gets_one_script_and_the_rules_of_bootstrap_that_it_uses(
    bundler: ModuleType, tmp_path: Path
) -> None:
    target = tmp_path / "bundles"
    done = _run("--target", str(target))
    if done.returncode == 3:
        pytest.skip(f"the registries cannot be reached: {done.stderr}")
    assert done.returncode == 0, done.stderr
    pages = sorted(path.parent.name for path in bundler.SCRIPTS.glob("*/page.js"))
    assert sorted(path.parent.name for path in target.glob("*/page.js")) == pages
    for name in pages:
        assert "import" not in (target / name / "page.js").read_text().split('"', 1)[0]
    whole, used = bundler.BOOTSTRAP.read_text(), (target / "bootstrap.css").read_text()
    assert len(used) < len(whole) / 5
    for rule in (".btn{", ".form-control{", ".form-select:focus{", ".visually-hidden"):
        assert rule in whole
        assert rule in used
    assert ".accordion" in whole
    assert ".accordion" not in used


def test_unreachable_registries_are_one_clear_message_and_exit_code_3(tmp_path: Path) -> None:
    nowhere = {
        "npm_config_registry": "http://127.0.0.1:9/",
        "npm_config_cache": str(tmp_path / "c"),
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
        "PIP_TIMEOUT": "1",
    }
    target = tmp_path / "bundles"
    done = _run("--target", str(target), "--tools", str(tmp_path / "tools"), **nowhere)
    assert done.returncode == 3
    assert done.stderr.startswith(("build_bundles: npm could not", "build_bundles: pip could not"))
    assert "Traceback" not in done.stderr
    assert not target.exists()


def test_a_broken_script_is_named(
    bundler: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = tmp_path / "js"
    shutil.copytree(bundler.SCRIPTS, scripts)
    (scripts / "run" / "page.js").write_text("import { nothing } from './pin.js'; nothing(;")
    monkeypatch.setattr(bundler, "SCRIPTS", scripts)
    tools = bundler.TOOLS
    if not (tools / "npm" / "fetched.lock").is_file():
        pytest.skip("esbuild could not be fetched when this was installed")
    with pytest.raises(bundler.BuildError, match=r"run/page\.js"):
        bundler.build_bundles(tmp_path / "bundles", tools, force=True)
    assert not (tmp_path / "bundles").exists()
