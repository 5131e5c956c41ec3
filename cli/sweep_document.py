"""The object of `sweep --json` for a sweep of this process; `cli.sweep_client` has a platform's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from adapters.sweep_plateau import find_plateau
from adapters.sweep_ranking import query_ranking
from adapters.sweep_rows import build_row
from adapters.sweep_tops import gather_rows

if TYPE_CHECKING:
    from tasks.sweep_local import LocalSweep


def build_sweep_document(sweep: LocalSweep, top: int) -> dict[str, Any]:
    """Return counts, hash, the best `top` combinations and the plateau of a finished sweep."""
    spec = sweep.spec
    ranking = query_ranking(
        sweep.columns, spec, spec.objective, limit=top, min_trades=spec.min_trades
    )
    return {
        "sweep_id": None,
        "n_combinations": sweep.n_combinations,
        "n_excluded": sweep.n_excluded,
        "n_failed": sweep.n_failed,
        "seconds": sweep.seconds,
        "result_sha256": sweep.result_sha256,
        "objective": spec.objective,
        "top": [drop_extras(row) for row in ranking["rows"]],
        "plateau": _build_plateau(sweep),
        "spec": spec.to_json_dict(),
        "warnings": sweep.warnings,
    }


def drop_extras(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of a ranking without what its place says or only a platform knows."""
    return {name: value for name, value in row.items() if name not in ("rank", "near")}


def _build_plateau(sweep: LocalSweep) -> dict[str, Any] | None:
    spec = sweep.spec
    plateau = find_plateau(sweep.columns, spec, spec.objective, spec.min_trades)
    if plateau is None:
        return None
    _, values = gather_rows(sweep.columns, np.array([plateau["position"]]))
    return {
        **build_row(spec, plateau["point"], values[0].tolist()),
        "score": plateau["score"],
        "n_neighbours": plateau["n_neighbours"],
    }
