"""The image's recipe: what it is built from, as whom it runs, what is in it."""

from __future__ import annotations

import re
import subprocess

import pytest

from scripts.audit_dependencies import read_pins
from tests.support.manifests import ROOT, find_tool

DOCKERFILE = (ROOT / "Dockerfile").read_text()
FINAL = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]


def hadolint(text: str) -> str:
    command = [find_tool("hadolint"), "--no-color", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_the_recipe_parses_and_lints_clean() -> None:
    assert hadolint(DOCKERFILE) == ""


def test_the_linter_finds_what_it_is_for() -> None:
    assert "DL3002" in hadolint(DOCKERFILE.replace("USER 10001:10001", "USER root"))


def test_every_stage_is_of_one_base_by_its_digest() -> None:
    (image,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", image)
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${PYTHON_IMAGE}"}
    (base,) = re.findall(r'base\.name="([^"]+)"', FINAL)
    assert image.startswith(f"{base}@")


def test_it_runs_as_nobody_in_particular_with_an_init_and_without_a_shell() -> None:
    assert "\nUSER 10001:10001\n" in FINAL
    (entry,) = re.findall(r"^ENTRYPOINT (.+)$", FINAL, re.MULTILINE)
    assert entry == '["dumb-init", "--single-child", "--", "stock-backtest"]'
    commands = re.findall(r"^\s*(?:CMD|ENTRYPOINT) (\S)", FINAL, re.MULTILINE)
    assert commands == ["["] * 3
    assert "HEALTHCHECK" in FINAL


def test_everything_in_it_is_locked_by_hash() -> None:
    installs = re.findall(r"pip (?:--python \S+ )?install ([^\\\n]+)", DOCKERFILE)
    assert len(installs) == 3
    for words in installs:
        assert words.startswith("--require-hashes -r ") or "--no-deps --no-index /wheels" in words
    assert "PIP_ONLY_BINARY=:all:" in DOCKERFILE
    assert "curl" not in DOCKERFILE
    assert "apt-get" not in DOCKERFILE


def test_it_has_what_the_product_is_tested_with_and_an_init() -> None:
    product = read_pins((ROOT / "requirements.txt").read_text())
    image = read_pins((ROOT / "requirements-image.txt").read_text())
    assert {name: image.get(name) for name in product} == product
    assert {"dumb-init", "kubernetes", "apprise"} <= set(image)
    assert not {"pytest", "pip", "setuptools"} & set(image)


@pytest.mark.parametrize("needed", ["webapp", "tasks", "cli", "data/*.csv", "setup.cfg"])
def test_only_what_the_wheel_is_made_of_goes_in(needed: str) -> None:
    lines = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in "#"
    ]
    assert lines[0] == "*"
    assert f"!{needed}" in lines
    # Nobody's caches or secrets.
    assert not [line for line in lines if re.search(r"^!.*(\.env|\.git|tests|\.venv)", line)]


def test_what_is_copied_is_there_and_is_let_in() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for words in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for name in words.split():
            if name != ".":
                assert (ROOT / name).is_file(), name
                assert f"!{name}" in ignored, name
