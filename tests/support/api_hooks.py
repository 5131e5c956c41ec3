"""Lets a run of schemathesis speak of runs, sweeps and names that exist: it knows none of them.

Loaded by schemathesis itself; `ENVIRONMENT` holds the known values by parameter as JSON. Most
values that are valid are replaced by a known one. What is invalid stays: that is what it looks for.
"""

from __future__ import annotations

import json
import os
import random
import re
from typing import Any

import schemathesis

ENVIRONMENT = "API_HOOKS_KNOWN"
KNOWN: dict[str, list[Any]] = json.loads(os.environ.get(ENVIRONMENT, "{}"))
_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
_CHANCE = random.Random(1)


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> Any:
    """Put known ids into addresses."""
    for name, value in (path_parameters or {}).items():
        if name in KNOWN and _UUID.fullmatch(str(value)) and _CHANCE.random() < 0.9:
            assert path_parameters is not None
            path_parameters[name] = _CHANCE.choice(KNOWN[name])
    return path_parameters


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Put names that exist into bodies that are well-formed."""
    if isinstance(body, dict):
        for name in ("dataset", "rule"):
            value = body.get(name)
            if isinstance(value, str) and 1 <= len(value) <= 64 and _CHANCE.random() < 0.7:
                body[name] = _CHANCE.choice(KNOWN[name])
    return body
