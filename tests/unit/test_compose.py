"""docker-compose.yml: what starts, in which order, with which rights, what it refuses without."""

from __future__ import annotations

import re
import subprocess
from functools import lru_cache
from typing import Any

import pytest
import yaml

from tests.support.manifests import ROOT, find_tool

OURS = ("schema", "web", "worker", "flower")
SECRETS = {
    "STOCK_BACKTEST_IMAGE": "ghcr.io/owner/stock-backtest:1.2.3",
    "DATABASE_PASSWORD": "of-the-database",
    "DATABASE_ROOT_PASSWORD": "of-the-root",
    "BROKER_PASSWORD": "of-the-broker",
    "SECRET_KEY": "a-key-of-more-than-thirty-two-characters",
}


def compose(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [find_tool("docker-compose"), "--env-file", "/dev/null", *words],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


@lru_cache(maxsize=1)
def load_services() -> dict[str, Any]:
    done = compose("config", **SECRETS)
    assert (done.returncode, done.stderr) == (0, "")
    services: dict[str, Any] = yaml.safe_load(done.stdout)["services"]
    return services


def test_the_file_is_taken_without_a_warning() -> None:
    assert set(load_services()) == {"mariadb", "valkey", *OURS}


@pytest.mark.parametrize("missing", SECRETS)
def test_without_a_secret_nothing_starts_and_the_message_names_it(missing: str) -> None:
    done = compose("config", **{name: text for name, text in SECRETS.items() if name != missing})
    assert done.returncode != 0
    assert f"required variable {missing} is missing a value: set it in .env" in done.stderr


def test_the_example_names_every_secret_and_gives_none() -> None:
    example = dict(re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert {name for name, text in example.items() if not text} == {*SECRETS, "ALLOWED_HOSTS"}
    used = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert set(example) == used


def test_every_service_is_stripped_of_rights_and_bounded() -> None:
    for name, service in load_services().items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["pids_limit"] > 0, name
        assert int(service["mem_limit"]) > 0, name
        assert service["cpus"] > 0, name
        assert "privileged" not in service, name
        # Our image has its own user, by number.
        assert name in OURS or re.fullmatch(r"\d+:\d+", service["user"]), name


def test_only_loopback_is_published() -> None:
    for name, service in load_services().items():
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", name
    assert {n for n, s in load_services().items() if "ports" in s} == {"web", "flower"}


def test_what_needs_the_database_starts_once_its_schema_is_there() -> None:
    services = load_services()
    assert services["schema"]["command"] == ["db", "upgrade"]
    assert services["schema"]["restart"] == "no"
    for name in ("web", "worker", "flower"):
        waits = {who: how["condition"] for who, how in services[name]["depends_on"].items()}
        assert waits == {
            "schema": "service_completed_successfully",
            "mariadb": "service_healthy",
            "valkey": "service_healthy",
        }
        assert services[name]["restart"] == "unless-stopped"
    for name in ("mariadb", "valkey", "worker", "flower"):
        assert services[name]["healthcheck"]["test"], name


def test_all_processes_run_one_image_that_never_moves() -> None:
    services = load_services()
    assert {services[name]["image"] for name in OURS} == {SECRETS["STOCK_BACKTEST_IMAGE"]}
    for name in ("mariadb", "valkey"):
        assert re.search(r":\d+\.\d+\.\d+", services[name]["image"])


def test_only_the_page_writes_nothing_and_only_workers_have_room() -> None:
    services = load_services()
    assert [name for name in OURS if "tmpfs" in services[name]] == ["worker"]
    assert [name for name in OURS if services[name].get("volumes")] == []
    assert services["mariadb"]["volumes"][0]["target"] == "/var/lib/mysql"
    assert services["valkey"]["volumes"][0]["target"] == "/data"


def test_the_broker_asks_for_a_password_and_keeps_what_it_has() -> None:
    (_, _, script) = load_services()["valkey"]["command"]
    assert "requirepass" in script
    assert "--appendonly yes" in script
    # Not where every process of the machine reads it.
    assert SECRETS["BROKER_PASSWORD"] not in script
