"""Which code computed a run: digests of the engine's modules, frozen into a manifest at a release.

Standard library only, and nothing of the engine is imported: the web tier reads it too.
"""

from __future__ import annotations

import ast
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

ENTRY_MODULE = "backtest.engine"
# Named, not found: installed, the folder above holds every other package too.
OUR_PACKAGES = ("adapters", "backtest", "cli", "rules", "storage", "tasks", "webapp")
REPOSITORY = Path(__file__).resolve().parent.parent
MANIFEST_PATH = Path(__file__).resolve().with_name("engine_manifest.json")


def list_engine_files(root: Path = REPOSITORY) -> list[str]:
    """Return the engine and every module of ours that it imports, as sorted relative paths.

    Imports are read from the source, wherever in it they stand. The ``__init__`` files of the
    packages on the way belong to it: they run too.

    Raises
    ------
    FileNotFoundError
        If `root` does not hold the engine.
    """
    if _find_module(root, ENTRY_MODULE) is None:
        raise FileNotFoundError(f"{ENTRY_MODULE} is not under {root}")
    found: set[Path] = set()
    waiting = [ENTRY_MODULE]
    while waiting:
        name = waiting.pop()
        path = _find_module(root, name)
        if path is None or path in found:
            continue
        found.add(path)
        if "." in name:
            waiting.append(name.rpartition(".")[0])
        waiting.extend(_list_imports(path, name))
    return sorted(path.relative_to(root).as_posix() for path in found)


def build_manifest(root: Path = REPOSITORY) -> dict[str, Any]:
    """Return version and digests of the engine under `root`, as `save_manifest` writes them."""
    files = {
        name: hashlib.sha256((root / name).read_bytes()).hexdigest()
        for name in list_engine_files(root)
    }
    return {"version": read_version(root), "files": files}


def read_version(root: Path = REPOSITORY) -> str:
    """Return ``ENGINE_VERSION`` from the engine's source, without importing it."""
    path = root / (ENTRY_MODULE.replace(".", "/") + ".py")
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ENGINE_VERSION":
            return str(ast.literal_eval(node.value))
    raise ValueError(f"{path} does not assign ENGINE_VERSION")


def save_manifest(manifest: dict[str, Any], path: Path = MANIFEST_PATH) -> None:
    """Write a manifest as JSON, the same bytes for the same content."""
    path.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", "utf-8")


def load_manifest(path: Path = MANIFEST_PATH) -> dict[str, Any] | None:
    """Return the manifest of the frozen engine, or None before the freeze."""
    if not path.exists():
        return None
    manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return manifest


def compare_manifest(manifest: dict[str, Any], root: Path = REPOSITORY) -> list[str]:
    """Return one line for every difference between a manifest and the source, [] if none."""
    current = build_manifest(root)
    differences = []
    if manifest["version"] != current["version"]:
        differences.append(f"version: frozen {manifest['version']}, now {current['version']}")
    frozen: dict[str, str] = manifest["files"]
    for name in sorted(frozen.keys() | current["files"].keys()):
        if name not in current["files"]:
            differences.append(f"{name}: frozen, but no longer imported by the engine")
        elif name not in frozen:
            differences.append(f"{name}: imported by the engine, but not frozen")
        elif frozen[name] != current["files"][name]:
            differences.append(f"{name}: changed after the freeze")
    return differences


@cache
def compute_engine_hash() -> str:
    """Return the SHA-256 that stands for the engine in a run's fingerprint.

    Of the manifest once the engine is frozen, before that of the sources themselves; freezing
    unchanged sources leaves it the same. Read once per process.
    """
    manifest = load_manifest() or build_manifest()
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _find_module(root: Path, name: str) -> Path | None:
    if name.partition(".")[0] not in OUR_PACKAGES:
        return None
    base = root / name.replace(".", "/")
    for path in (base.with_name(base.name + ".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _list_imports(path: Path, name: str) -> list[str]:
    """Return every module that a source may import, candidates included: ``from a import b``."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join([*parents[: len(parents) - node.level + 1], *base.split(".")])
            base = base.strip(".")
            names.append(base)
            names.extend(f"{base}.{alias.name}" for alias in node.names)
    return names
