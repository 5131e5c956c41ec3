"""Freeze the engine: write the SHA-256 of it and of every module of ours that it imports.

Run once, when the engine is finished. Afterwards ``tests/unit/test_freeze.py`` fails on any change,
and this script refuses to overwrite the manifest: a new behaviour is a new engine beside this one,
with its own version (see ARCHITECTURE.md).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# Run as a file, the folder on the path is this one.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from backtest.manifest import (
    MANIFEST_PATH,
    build_manifest,
    compare_manifest,
    load_manifest,
    save_manifest,
)


def main(arguments: list[str] | None = None) -> int:
    """Write the manifest, or check it with ``--check``; the exit code says whether it holds."""
    parser = argparse.ArgumentParser(description="Freeze the engine, or check that it still is.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    options = parser.parse_args(arguments)
    frozen = load_manifest()
    if options.check and frozen is None:
        print(f"{MANIFEST_PATH.name} does not exist: the engine is not frozen", file=sys.stderr)
        return 1
    if frozen is not None:
        differences = compare_manifest(frozen)
        for line in differences:
            print(line, file=sys.stderr)
        if not differences:
            print(f"engine {frozen['version']} is frozen and unchanged")
        return 1 if differences else 0
    manifest = build_manifest()
    save_manifest(manifest)
    print(f"engine {manifest['version']}: {len(manifest['files'])} files frozen")
    for name, digest in manifest["files"].items():
        print(f"  {digest}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
