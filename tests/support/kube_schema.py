"""What an API server says of a Job before it stores it: unknown fields, names, labels, policies."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

from tasks.executors.kubernetes.lean_client import load_client

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_MAX_LABEL = 63


def find_unknown(document: Any, kind: str = "V1Job", path: str = "") -> Iterator[str]:
    """Yield the paths that the published model of `kind` does not have."""
    load_client()  # the models below are then modules of a package that is entered
    if kind.startswith("list["):
        for idx, item in enumerate(document or ()):
            yield from find_unknown(item, kind[5:-1], f"{path}[{idx}]")
        return
    if not re.match(r"V\d", kind):
        return
    name = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", kind).lower()
    model = getattr(importlib.import_module(f"kubernetes.client.models.{name}"), kind)
    types = {
        field: model.openapi_types[attribute] for attribute, field in model.attribute_map.items()
    }
    for field, value in document.items():
        where = f"{path}.{field}" if path else field
        if field in types:
            yield from find_unknown(value, types[field], where)
        else:
            yield where


def find_invalid(job: dict[str, Any]) -> Iterator[str]:
    """Yield what a 422 would say."""
    metadata, spec = job["metadata"], job["spec"]
    name = metadata.get("name") or ""
    if _NAME.fullmatch(name) is None:
        yield f'metadata.name: Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist'
    indexed = spec.get("completionMode") == "Indexed"
    last = f"-{spec.get('completions', 1) - 1}" if indexed else ""
    if len(name + last) > _MAX_LABEL:
        yield f'metadata.name: Invalid value: "{name}": must be no more than 63 characters'
    for path, labels in (
        ("metadata.labels", metadata.get("labels")),
        ("spec.template.labels", spec["template"].get("metadata", {}).get("labels")),
    ):
        for value in (labels or {}).values():
            if len(value) > _MAX_LABEL:
                yield f'{path}: Invalid value: "{value}": must be no more than 63 characters'
            elif _LABEL.fullmatch(value) is None:
                yield f'{path}: Invalid value: "{value}": a valid label must be'
    pod = spec["template"]["spec"]
    if pod.get("restartPolicy") not in ("Never", "OnFailure"):
        yield 'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'
    yield from _find_invalid_rules(spec, pod)
    for container in pod["containers"]:
        path = f"spec.template.spec.containers[{container['name']}].resources.requests"
        resources = container.get("resources") or {}
        for what, wanted in (resources.get("requests") or {}).items():
            most = (resources.get("limits") or {}).get(what)
            if most is not None and _read_quantity(wanted) > _read_quantity(most):
                yield f"{path}: Invalid value: must be less than or equal to {what} limit of {most}"


def _find_invalid_rules(spec: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    path = "spec.podFailurePolicy.rules"
    names = {container["name"] for container in pod["containers"]}
    rules = (spec.get("podFailurePolicy") or {}).get("rules", ())
    if rules and pod.get("restartPolicy") != "Never":
        yield 'spec.podFailurePolicy: only "Never" is supported as restartPolicy'
    for idx, rule in enumerate(rules):
        where = f"{path}[{idx}]"
        if rule["action"] not in ("FailJob", "Ignore", "Count"):
            yield f"{where}.action: Unsupported value"
        if ("onExitCodes" in rule) == ("onPodConditions" in rule):
            yield f"{where}: specifying one of OnExitCodes and OnPodConditions is required"
        for condition in rule.get("onPodConditions", ()):
            if condition.get("status") not in ("True", "False", "Unknown"):
                yield f"{where}.onPodConditions.status: Required value"
        codes = rule.get("onExitCodes") or {"values": []}
        if codes["values"] != sorted(set(codes["values"])):
            yield f"{where}.onExitCodes.values: Invalid value: must be ordered"
        if codes.get("operator") == "In" and 0 in codes["values"]:
            yield f"{where}.onExitCodes.values: Invalid value: 0: must not be 0 for the In operator"
        if codes.get("containerName", next(iter(names))) not in names:
            yield f"{where}.onExitCodes.containerName: Invalid value: must be one of the container"


def _read_quantity(text: str) -> float:
    found = re.fullmatch(r"(\d+)(m|Mi|Gi)?", text)
    assert found is not None, text
    return int(found[1]) * {None: 1, "m": 1e-3, "Mi": 2**20, "Gi": 2**30}[found[2]]


def find_violations(pod: dict[str, Any]) -> list[str]:
    """Return what the profile ``restricted`` has against a pod."""
    found = []
    outer = pod.get("securityContext") or {}
    for container in pod["containers"]:
        own = container.get("securityContext") or {}
        named = f'(container "{container["name"]}" must set '
        if own.get("allowPrivilegeEscalation") is not False:
            found.append(
                f"allowPrivilegeEscalation != false {named}"
                "securityContext.allowPrivilegeEscalation=false)"
            )
        if (own.get("capabilities") or {}).get("drop") != ["ALL"]:
            found.append(
                f'unrestricted capabilities {named}securityContext.capabilities.drop=["ALL"])'
            )
        if not own.get("runAsNonRoot", outer.get("runAsNonRoot")):
            found.append(f"runAsNonRoot != true {named}securityContext.runAsNonRoot=true)")
        profile = own.get("seccompProfile") or outer.get("seccompProfile") or {}
        if profile.get("type") not in ("RuntimeDefault", "Localhost"):
            found.append(f"seccompProfile {named}securityContext.seccompProfile.type)")
    return found
