"""Fill ``webapp/static/vendor`` with the third-party files that the dashboard serves.

They come from hash-locked wheels (``requirements-assets.txt``) and, for the typeface, from the
installed matplotlib; nothing is copied into the repository and no page ever asks another host.
Of the typeface there is also a part with the characters that pages are made of, a tenth of the
whole; fontTools, which matplotlib needs, cuts it out.

Usage: ``python scripts/build_assets.py [--force] [--target DIR]``
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK_FILE = ROOT / "requirements-assets.txt"
TARGET = ROOT / "webapp" / "static" / "vendor"
STAMP_NAME = ".stamp"
# Raise it when the lists below change, so that old copies are refreshed.
RECIPE_VERSION = "3"

# wheel prefix -> {path inside the wheel: file name in the target}
WHEEL_FILES: dict[str, dict[str, str]] = {
    "bootstrap_flask-": {
        "flask_bootstrap/static/bootstrap5/css/bootstrap.min.css": "bootstrap.min.css",
        "*/licenses/LICENSE": "bootstrap.LICENSE.txt",
    },
    "uplot_python-": {
        "uplot/static/uPlot.iife.js": "uPlot.iife.js",
        "uplot/static/uPlot.min.css": "uPlot.min.css",
        "*/licenses/LICENSE": "uplot-python.LICENSE.txt",
    },
}
# file in matplotlib's mpl-data/fonts/ttf -> file name in the target
FONT_FILES: dict[str, str] = {
    "DejaVuSansMono.ttf": "DejaVuSansMono.ttf",
    "DejaVuSansMono-Bold.ttf": "DejaVuSansMono-Bold.ttf",
    "LICENSE_DEJAVU": "DejaVu.LICENSE.txt",
}
# The same as the unicode-range in webapp/static/css/tokens.css: Latin, Greek, punctuation, arrows,
# the signs of mathematics and the marks that tables and charts draw.
BASIC_CHARACTERS = (
    "U+0020-017F,U+0391-03C9,U+2010-203A,U+2070-2079,U+20AC,U+2190-2193,U+2208,U+2211,U+2212,"
    "U+221A,U+2248,U+2260-2265,U+2308-230B,U+23CE,U+2500-257F,U+25A0-25FF,U+2713,U+2717"
)


class AssetError(Exception):
    """The assets cannot be built; the message says what to do."""


def compute_stamp() -> str:
    """Return what the target must carry to be up to date: a hash over lock and recipe."""
    return hashlib.sha256(LOCK_FILE.read_bytes() + RECIPE_VERSION.encode()).hexdigest()


def is_current(target: Path) -> bool:
    """Tell whether `target` holds every file of the present lock."""
    stamp = target / STAMP_NAME
    names = [name for files in WHEEL_FILES.values() for name in files.values()]
    return (
        stamp.is_file()
        and stamp.read_text() == compute_stamp()
        and all(
            (target / name).is_file()
            for name in [*names, *FONT_FILES.values(), *map(name_basic, list_typefaces())]
        )
    )


def download_wheels(folder: Path) -> None:
    """Fetch the locked wheels into `folder`; pip checks their hashes."""
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"),
        *("--only-binary", ":all:", "--disable-pip-version-check", "--quiet"),
        *("--dest", str(folder), "--requirement", str(LOCK_FILE)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last_lines = "\n  ".join(done.stderr.strip().splitlines()[-4:])
        raise AssetError(
            f"pip could not fetch the wheels of {LOCK_FILE.name}; "
            f"check that the package index can be reached, then run this again\n  {last_lines}"
        )


def extract_wheels(folder: Path, target: Path) -> None:
    """Copy the files of `WHEEL_FILES` from the wheels in `folder` to `target`."""
    for prefix, files in WHEEL_FILES.items():
        wheels = sorted(folder.glob(f"{prefix}*.whl"))
        if not wheels:
            raise AssetError(f"no wheel {prefix}* was fetched; is it in {LOCK_FILE.name}?")
        with zipfile.ZipFile(wheels[0]) as archive:
            for pattern, name in files.items():
                member = _find_member(archive, pattern)
                (target / name).write_bytes(_drop_source_map(name, archive.read(member)))


def _find_member(archive: zipfile.ZipFile, pattern: str) -> str:
    suffix = pattern.removeprefix("*")
    for name in archive.namelist():
        if name == pattern or (pattern != suffix and name.endswith(suffix)):
            return name
    raise AssetError(f"{archive.filename} holds no {pattern}; the lock and this script disagree")


def _drop_source_map(name: str, content: bytes) -> bytes:
    # The map is not shipped; developer tools would ask for it and find nothing.
    if not name.endswith((".css", ".js")):
        return content
    lines = content.splitlines(keepends=True)
    return b"".join(line for line in lines if b"sourceMappingURL=" not in line[:40])


def copy_fonts(target: Path) -> None:
    """Copy DejaVu Sans Mono out of the installed matplotlib, without importing it."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise AssetError("matplotlib, which carries the typeface, is not installed here")
    fonts = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    for source, name in FONT_FILES.items():
        if not (fonts / source).is_file():
            raise AssetError(f"matplotlib has no {source}; expected it in mpl-data/fonts/ttf")
        shutil.copyfile(fonts / source, target / name)


def list_typefaces() -> list[str]:
    """Return the names of the typefaces in the target."""
    return [name for name in FONT_FILES.values() if name.endswith(".ttf")]


def name_basic(typeface: str) -> str:
    """Return the file name of the part of a typeface that pages need at once."""
    return typeface.replace(".ttf", "-basic.woff")


def cut_fonts(target: Path) -> None:
    """Cut `BASIC_CHARACTERS` out of the typefaces in `target`."""
    try:
        from fontTools import subset
    except ImportError as error:
        raise AssetError("fontTools, which comes with matplotlib, is not installed here") from error
    for name in list_typefaces():
        options = subset.Options(flavor="woff", layout_features=[], drop_tables=["FFTM"])
        with subset.load_font(target / name, options) as font:
            cutter = subset.Subsetter(options)
            cutter.populate(unicodes=subset.parse_unicodes(BASIC_CHARACTERS))
            cutter.subset(font)
            subset.save_font(font, target / name_basic(name), options)


def build_assets(target: Path, *, force: bool = False) -> bool:
    """Build `target` unless it is current; return whether anything was done.

    The stamp is written last, so that an interrupted build is started again.
    """
    if not force and is_current(target):
        return False
    target.mkdir(parents=True, exist_ok=True)
    (target / STAMP_NAME).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="assets-") as folder:
        download_wheels(Path(folder))
        extract_wheels(Path(folder), target)
    copy_fonts(target)
    cut_fonts(target)
    (target / STAMP_NAME).write_text(compute_stamp())
    return True


def main() -> int:
    """Entry point; 0 done, 3 if a package cannot be reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--force", action="store_true", help="build even if up to date")
    parser.add_argument("--target", type=Path, default=TARGET, help="folder to fill")
    options = parser.parse_args()
    try:
        built = build_assets(options.target, force=options.force)
    except AssetError as error:
        print(f"build_assets: {error}", file=sys.stderr)
        return 3
    print(f"build_assets: {'built' if built else 'up to date'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
