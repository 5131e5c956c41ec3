"""Bundles: what ``scripts/build_bundles.py`` makes of the page's own scripts and of Bootstrap.

They carry the version of the files that they were made of, so that bundles of other files, as after
an edit, are not served. Standard library only: the builder needs no installed product.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

HASH_CHARS = 12
# Inside the folder of bundles.
VERSION_FILE = "version.txt"
_SOURCES = ("static/js/**/*.js", "templates/**/*.html", "static/vendor/bootstrap.min.css")


def hash_sources(package: Path) -> str:
    """Return a hash over all that bundles are made of: names and contents of these files."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in _SOURCES for path in package.glob(pattern)):
        content = hashlib.sha256(path.read_bytes()).digest()
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + content)
    return digest.hexdigest()[:HASH_CHARS]


def find_bundles(package: Path) -> tuple[str, Path | None]:
    """Return the version of the present files, and the folder of their bundles if there is one."""
    version = hash_sources(package)
    named = package / "static" / "bundles" / VERSION_FILE
    is_current = named.is_file() and named.read_text(encoding="utf-8") == version
    return version, named.parent if is_current else None


@cache
def find_bundles_once(package: Path) -> tuple[str, Path | None]:
    """Return what `find_bundles` said first: what is served does not change while it is."""
    return find_bundles(package)
