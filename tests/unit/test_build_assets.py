"""The script that fetches the page's third-party files."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from fontTools.ttLib import TTFont

from tests.support.scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "build_assets.py"


@pytest.fixture(scope="module")
def assets() -> ModuleType:
    return load_script("build_assets")


def _fill(assets: ModuleType, target: Path) -> None:
    names = [name for files in assets.WHEEL_FILES.values() for name in files.values()]
    basic = map(assets.name_basic, assets.list_typefaces())
    for name in [*names, *assets.FONT_FILES.values(), *basic]:
        (target / name).write_text("x")
    (target / assets.STAMP_NAME).write_text(assets.compute_stamp())


def test_a_complete_folder_of_this_lock_is_current(assets: ModuleType, tmp_path: Path) -> None:
    _fill(assets, tmp_path)
    assert assets.is_current(tmp_path)
    assert assets.build_assets(tmp_path) is False


@pytest.mark.parametrize(
    "spoil", ["uPlot.iife.js", "DejaVuSansMono.ttf", "DejaVuSansMono-basic.woff", ".stamp"]
)
def test_a_missing_file_makes_the_folder_stale(
    assets: ModuleType, tmp_path: Path, spoil: str
) -> None:
    _fill(assets, tmp_path)
    (tmp_path / spoil).unlink()
    assert not assets.is_current(tmp_path)


def test_the_stamp_of_another_lock_makes_the_folder_stale(
    assets: ModuleType, tmp_path: Path
) -> None:
    _fill(assets, tmp_path)
    (tmp_path / assets.STAMP_NAME).write_text("of another lock")
    assert not assets.is_current(tmp_path)


def test_only_the_named_files_leave_the_wheels_and_source_maps_are_cut(
    assets: ModuleType, tmp_path: Path
) -> None:
    wheels, target = tmp_path / "wheels", tmp_path / "target"
    wheels.mkdir()
    target.mkdir()
    for prefix, files in assets.WHEEL_FILES.items():
        with zipfile.ZipFile(wheels / f"{prefix}1-py3-none-any.whl", "w") as archive:
            archive.writestr("evil/other.js", "not wanted")
            for pattern in files:
                body = "body{}\n/*# sourceMappingURL=x.css.map */\n"
                archive.writestr(pattern.replace("*", f"{prefix}1.dist-info"), body)
    assets.extract_wheels(wheels, target)
    assert sorted(path.name for path in target.iterdir()) == sorted(
        name for files in assets.WHEEL_FILES.values() for name in files.values()
    )
    assert (target / "bootstrap.min.css").read_text() == "body{}\n"


def test_a_wheel_without_the_expected_file_is_named(assets: ModuleType, tmp_path: Path) -> None:
    for prefix in assets.WHEEL_FILES:
        with zipfile.ZipFile(tmp_path / f"{prefix}1-py3-none-any.whl", "w") as archive:
            archive.writestr("README", "empty")
    with pytest.raises(assets.AssetError, match="disagree"):
        assets.extract_wheels(tmp_path, tmp_path)


def test_the_typeface_comes_from_matplotlib(assets: ModuleType, tmp_path: Path) -> None:
    assets.copy_fonts(tmp_path)
    assert (tmp_path / "DejaVuSansMono.ttf").read_bytes()[:4] == b"\x00\x01\x00\x00"


def test_the_part_of_the_typeface_is_what_the_sheet_says_and_small(
    assets: ModuleType, tmp_path: Path
) -> None:
    assets.copy_fonts(tmp_path)
    assets.cut_fonts(tmp_path)
    sheet = (ROOT / "webapp" / "static" / "css" / "tokens.css").read_text().replace(", U+", ",U+")
    assert sheet.count(f"unicode-range: {assets.BASIC_CHARACTERS};") == 2
    for name in assets.list_typefaces():
        part = tmp_path / assets.name_basic(name)
        assert part.read_bytes()[:4] == b"wOFF"
        assert part.stat().st_size < (tmp_path / name).stat().st_size / 8
        with TTFont(part) as font:
            characters = font.getBestCmap()
        assert {ord(character) for character in "Aé–−⏎▼◆"} <= set(characters)


def test_an_unreachable_index_is_one_clear_message_and_exit_code_3(tmp_path: Path) -> None:
    environ = {
        **os.environ,
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_RETRIES": "0",
        "PIP_TIMEOUT": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_CACHE_DIR": "1",
    }
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--force", "--target", str(tmp_path / "vendor")],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr.startswith("build_assets: pip could not fetch the wheels")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "vendor" / ".stamp").exists()
