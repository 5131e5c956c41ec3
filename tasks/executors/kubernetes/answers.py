"""What an API server's answers mean: its errors as ours, its warnings, when to come again."""

from __future__ import annotations

import re
from typing import Any

import orjson

from tasks.settings import PREFIX

_WARNING = re.compile(r'^\s*\d{3}\s+\S+\s+"(?P<text>(?:[^"\\]|\\.)*)"')


class ClusterError(Exception):
    """The API server did not do what it was asked; the message is one line for an operator.

    `brief` is what fits on a run that waits for it.
    """

    brief = "waits for Kubernetes; the web tier's log says why"


class ClusterUnavailable(ClusterError):
    """It cannot be reached, is overloaded or broken: trying later may help."""

    brief = "waits for the Kubernetes API server, which does not answer"


class ClusterDenied(ClusterError):
    """It does not know us, or does not let us: somebody has to change a rule."""

    brief = "waits: Kubernetes lets us create no Jobs; see the web log"


class ClusterRefused(ClusterError):
    """It does not take what we send: somebody has to change a setting, or us."""

    brief = "waits: Kubernetes refuses its Job; see the web log"


class ListExpired(Exception):
    """The list changed too much between two of its pages."""


def translate(verb: str, error: Any, namespace: str) -> ClusterError | None:
    """Return our error for the API server's, or None where it only says what is the case.

    Raises
    ------
    ListExpired
    """
    status = int(error.status or 0)
    reason, message = _read_status(error.body)
    if status == 404:
        if verb in ("create", "list"):
            return ClusterRefused(
                f"there is no namespace {namespace} to create Jobs in; check "
                f"{PREFIX}KUBERNETES_NAMESPACE"
            )
        return None
    if status == 409:
        if verb == "create" and reason != "AlreadyExists":
            return ClusterUnavailable(f"the API server has a conflict: {message}")
        return None  # there already; or, of a deletion, another one of that name
    if status == 410 and verb == "list":
        raise ListExpired from error
    if status in (401, 403):
        return _describe_denial(verb, status, message, namespace)
    if status in (0, 408, 410, 429) or status >= 500:
        return ClusterUnavailable(f"the API server answers {status}: {message or error.reason}")
    return ClusterRefused(f"the API server refuses to {verb} a Job ({status}): {message}")


def _describe_denial(verb: str, status: int, message: str, namespace: str) -> ClusterDenied:
    if status == 401:
        return ClusterDenied(
            "the API server does not know the token of this service account (401); mount one that "
            "is valid"
        )
    found = re.search(r'User "(?P<user>[^"]*)" cannot', message)
    if found is None:  # a quota, a namespace that goes, an admission rule: its own words
        return ClusterDenied(f"the API server does not let us {verb} a Job: {message}")
    user = found["user"]
    if user == "system:anonymous":
        return ClusterDenied(
            "the API server sees no token of ours (system:anonymous); mount the service account's "
            "token"
        )
    return ClusterDenied(
        f"{user} may not {verb} Jobs in namespace {namespace}: its Role needs apiGroups [batch], "
        f"resources [jobs], verbs [{verb}]"
    )


def _read_status(body: Any) -> tuple[str, str]:
    """Return reason and message of a Status document, in one line."""
    try:
        document = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
        return "", " ".join(text.split())[:200]
    if not isinstance(document, dict):
        return "", ""
    message = " ".join(str(document.get("message") or "").split())
    return str(document.get("reason") or ""), message[:500]


def read_retry_after(error: Any) -> float:
    """Return the seconds after which to ask again; 0 if nothing is said."""
    text = (error.headers or {}).get("Retry-After", "") if error.headers is not None else ""
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0


def read_warnings(headers: Any) -> tuple[str, ...]:
    """Return the texts of `Warning` headers, which look like ``299 - "text"`` (RFC 7234, 5.5)."""
    found = []
    for line in headers.getlist("Warning") if hasattr(headers, "getlist") else ():
        match = _WARNING.match(line)
        text = match["text"].replace('\\"', '"') if match else line
        found.append(" ".join(text.split()))
    return tuple(found)
