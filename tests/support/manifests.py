"""The manifests as an operator applies them: built by kustomize, once a test process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ("dev", "production", "dev/schema", "production/schema")
# Beside what the production overlay takes by itself.
OPTIONS = ("keda", "monitoring")


def find_tool(name: str) -> str:
    """Return a program that a wheel installed beside this interpreter."""
    return str(Path(sys.executable).with_name(name))


@cache
def _build(folder: str) -> str:
    command = [find_tool("kubectl"), "kustomize", folder]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def build_overlay(name: str) -> list[Manifest]:
    """Return the objects of an overlay, each a fresh copy."""
    return parse(_build(f"k8s/overlays/{name}"))


def parse(text: str) -> list[Manifest]:
    """Return the objects of a stream of documents."""
    return [item for item in yaml.load_all(text, Loader=yaml.CSafeLoader) if item]


def build_with(folder: Path, *components: str, overlay: str = "production") -> list[Manifest]:
    """Return an overlay with more components, as one written into `folder` would be."""
    copy = folder / "k8s"
    subprocess.run(["cp", "-r", str(ROOT / "k8s"), str(copy)], check=True)
    file = copy / "overlays" / overlay / "kustomization.yaml"
    lines = file.read_text().replace("#components:\n", "components:\n")
    for name in components:
        assert f"#  - ../../components/{name}\n" in lines
        lines = lines.replace(f"#  - ../../components/{name}\n", f"  - ../../components/{name}\n")
    file.write_text(lines)
    return parse(_build(str(file.parent)))


def list_pods(objects: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield name and pod template's spec of whatever starts pods."""
    for item in objects:
        if "template" in item.get("spec", {}):
            yield f"{item['kind']}/{item['metadata']['name']}", item["spec"]["template"]["spec"]


def list_containers(objects: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield name and container of every container, init containers too."""
    for name, pod in list_pods(objects):
        for part in ("initContainers", "containers"):
            for container in pod.get(part, []):
                yield f"{name}/{container['name']}", container


def get_one(objects: list[Manifest], kind: str, name: str) -> Manifest:
    """Return the one object of that kind and name."""
    (found,) = [
        item for item in objects if (item["kind"], item["metadata"]["name"]) == (kind, name)
    ]
    return found
