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
    for rule in (spec.get("podFailurePolicy") or {}).get("rules", ()):
        values = (rule.get("onExitCodes") or {}).get("values", [])
        if values != sorted(set(values)):
            yield "spec.podFailurePolicy.rules.onExitCodes.values: Invalid value: must be ordered"
        if pod.get("restartPolicy") != "Never":
            yield 'spec.podFailurePolicy: only "Never" is supported as restartPolicy'


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
