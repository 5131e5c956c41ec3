"""Check what this product is built from, without a network.

- Every requirement of the lock files has one exact version and hashes, and names no index.
- What is installed is what is locked, and nothing that another needs is missing.
- Every licence is one that was looked at (`ALLOWED`).

`make audit` then lets pip-audit compare the lock files with the advisories of PyPA and OSV, where
its data can be reached. Why each package is here: ``docs/decisions/0002-dependencies.md``.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK_FILES = (
    "requirements.txt",
    "requirements-test.txt",
    "requirements-assets.txt",
    "requirements-bundler.txt",
    "requirements-image.txt",
    "requirements-build.txt",
)
# Permissive, or weak copyleft that stays within its own files (MPL).
ALLOWED = re.compile(
    r"MIT|BSD|Apache|Python Software Foundation|PSF|MPL|Mozilla Public|HPND|ISC|Zlib|0BSD|CC0|"
    r"Unlicense|matplotlib",
    re.IGNORECASE,
)
_PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[\w,]+\])?==(\S+)")
_FOREIGN = re.compile(r"https?://|--(?:extra-)?index|--find-links|git\+|@ file:|-e ", re.IGNORECASE)


def read_pins(text: str) -> dict[str, str]:
    """Return the version of each package of a lock file.

    Raises
    ------
    ValueError
        For a line that pins no exact version, has no hash, or names where to get it.
    """
    pins: dict[str, str] = {}
    for block in re.split(r"\n(?=[^\s#])", "\n" + re.sub(r"(?m)^\s*#.*$", "", text)):
        entry = block.strip()
        if not entry:
            continue
        found = _PIN.match(entry)
        if found is None:
            raise ValueError(f"no exact version: {entry.splitlines()[0]}")
        if "--hash=sha256:" not in entry:
            raise ValueError(f"no hash: {found[1]}")
        if _FOREIGN.search(entry):
            raise ValueError(f"names a place to get it from: {found[1]}")
        pins[found[1].lower()] = found[2]
    return pins


def find_licence(name: str) -> str:
    """Return what a package says of its licence, in one line."""
    metadata = importlib.metadata.metadata(name)
    classifiers = [
        item.rpartition(" :: ")[2]
        for item in metadata.get_all("Classifier") or []
        if item.startswith("License ::")
    ]
    first = (metadata.get("License") or "").strip().splitlines()[:1]
    said = [metadata.get("License-Expression") or "", *classifiers, *(first if first else [])]
    return "; ".join(item for item in said if item)


def check_offline() -> list[str]:
    """Return everything that is wrong."""
    faults: list[str] = []
    for name in LOCK_FILES:
        try:
            pins = read_pins((ROOT / name).read_text())
        except ValueError as error:
            faults.append(f"{name}: {error}")
            continue
        if name != LOCK_FILES[0]:
            continue
        for package, version in pins.items():
            installed = importlib.metadata.version(package)
            if installed != version:
                faults.append(f"{package} {installed} is installed, {version} is locked")
            licence = find_licence(package)
            if not ALLOWED.search(licence):
                faults.append(f"{package}: licence {licence or 'not said'} was not looked at")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "check", "--disable-pip-version-check"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        faults += done.stdout.splitlines()
    return faults


def main() -> int:
    """Print what is wrong; 0 if nothing is."""
    faults = check_offline()
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    sys.stdout.write("nothing found\n" if not faults else f"{len(faults)} found\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
