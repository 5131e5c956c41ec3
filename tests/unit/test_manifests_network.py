"""Network policies of the manifests: who reaches whom, by named edges alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.manifests import (
    Manifest,
    build_overlay,
    build_with,
    get_one,
)


@pytest.fixture
def production() -> list[Manifest]:
    return build_overlay("production")


def test_nobody_is_reached_and_nobody_reaches_out_but_along_named_edges() -> None:
    for overlay in ("dev", "production"):
        policies = [i for i in build_overlay(overlay) if i["kind"] == "NetworkPolicy"]
        closed = get_one(policies, "NetworkPolicy", "default-deny")["spec"]
        assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        for policy in policies:
            for way in ("ingress", "egress"):
                for rule in policy["spec"].get(way, []):
                    assert rule.get("ports"), policy["metadata"]["name"]
                    if way == "ingress":
                        assert all(rule["from"]), policy["metadata"]["name"]


def test_who_speaks_to_what_is_what_each_process_needs(production: list[Manifest]) -> None:
    reached: dict[int, set[str]] = {}
    for policy in production:
        if policy["kind"] == "NetworkPolicy" and "egress" in policy["spec"]:
            components = set(_list_components(policy["spec"]["podSelector"]))
            for rule in policy["spec"]["egress"]:
                for port in rule["ports"]:
                    reached.setdefault(port["port"], set()).update(components)
    assert reached == {
        53: {"*"},
        443: {"web"},
        6443: {"web"},
        3306: {"web", "worker", "job", "maintenance", "flower", "schema"},
        6379: {"web", "worker", "maintenance", "flower"},
    }


def _list_components(selector: Manifest) -> Iterator[str]:
    if not selector:
        yield "*"
    if "matchLabels" in selector:
        yield selector["matchLabels"]["app.kubernetes.io/component"]
    for expression in selector.get("matchExpressions", []):
        if expression["key"] == "app.kubernetes.io/component":
            yield from expression["values"]


def test_every_edge_to_a_server_inside_has_its_other_end(tmp_path: Path) -> None:
    """Whoever may reach out to the broker or the database is let in there, and so is KEDA."""
    objects = build_with(tmp_path, "keda", overlay="dev")
    policies = [item["spec"] for item in objects if item["kind"] == "NetworkPolicy"]
    for server, port in (("mariadb", 3306), ("valkey", 6379)):
        out = {
            component
            for spec in policies
            for rule in spec.get("egress", [])
            if {"protocol": "TCP", "port": port} in rule["ports"]
            for component in _list_components(spec["podSelector"])
        }
        sources = [
            source
            for spec in policies
            if spec["podSelector"].get("matchLabels") == {"app.kubernetes.io/name": server}
            for rule in spec.get("ingress", [])
            if {"protocol": "TCP", "port": port} in rule["ports"]
            for source in rule["from"]
        ]
        inside = [s["podSelector"] for s in sources if "namespaceSelector" not in s]
        assert {c for selector in inside for c in _list_components(selector)} == out
        keda = [s for s in sources if "namespaceSelector" in s]
        wanted = [
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}},
                "podSelector": {"matchLabels": {"app": "keda-operator"}},
            }
        ]
        assert keda == (wanted if server == "valkey" else [])
