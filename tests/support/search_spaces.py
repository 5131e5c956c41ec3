"""Search spaces of real rules for tests, and their one error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from backtest.errors import InputError
from rules.base_rule import get_rule
from rules.optimizer import SearchSpace, build_search_space


@dataclass(frozen=True)
class Search:
    method: Any = "grid"
    n: int | None = None
    seed: int = 0


def build(rule: str = "rsi", **parts: Any) -> SearchSpace:
    where = parts.pop("where", None)
    trading = parts.pop("trading", {})
    datasets = parts.pop("datasets", ())
    return build_search_space(get_rule(rule).metadata, parts, trading, datasets, where)


def find_error(call: Any, *args: Any) -> tuple[str, Any, str]:
    with pytest.raises(InputError) as caught:
        call(*args)
    (error,) = caught.value.errors
    return error.field, error.value, error.message
