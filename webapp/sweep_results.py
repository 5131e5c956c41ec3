"""What is known of a sweep's numbers without asking a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.adapter import to_json_number
from adapters.sweep_columns import HEADLINE_METRICS
from adapters.sweep_ranking import build_ranking_page
from adapters.sweep_rows import build_row
from storage.sweep_records import SweepRecord
from webapp.context import get_context


def load_stored(record: SweepRecord, kind: str) -> dict[str, Any] | None:
    """Return a document of the finaliser, None if the sweep has none of the kind (yet).

    Parameters
    ----------
    kind : str
        See `adapters.sweep_summary.SweepSummary`.
    """
    if record.state != "succeeded":
        return None
    found: dict[str, Any] | None = get_context().store.sweeps.load_artifact(record.sweep_id, kind)
    return found


def load_best(record: SweepRecord) -> dict[str, Any] | None:
    """Return the best combination, of those computed so far if the sweep has not succeeded."""
    if record.state == "succeeded":
        return load_stored(record, "best")
    rows = _load_best_rows(record, 0, 1)
    return rows[0] if rows else None


def load_plateau(record: SweepRecord) -> dict[str, Any] | None:
    """Return the best combination by its neighbourhood, None before the sweep has succeeded."""
    return load_stored(record, "plateau")


def load_winners(records: Sequence[SweepRecord]) -> dict[str, tuple[Any, Any]]:
    """Return best and plateau of every sweep of a list, by id; None where there is none (yet).

    Of a sweep that has not succeeded the best says ``index`` and ``metrics`` only: more would take
    its search space.
    """
    sweeps = get_context().store.sweeps
    ended = [record.sweep_id for record in records if record.state == "succeeded"]
    stored = sweeps.load_artifacts(ended, ("best", "plateau")) if ended else {}
    found: dict[str, tuple[Any, Any]] = {}
    for record in records:
        if record.state == "succeeded":
            key = record.sweep_id
            found[key] = stored.get((key, "best")), stored.get((key, "plateau"))
            continue
        rows = sweeps.best_so_far(record.sweep_id, 1)
        best = {"index": rows[0].point, "metrics": _clean(rows[0].metrics)} if rows else None
        found[record.sweep_id] = best, None
    return found


def _clean(metrics: Mapping[str, float | None]) -> dict[str, Any]:
    shown = {name: to_json_number(metrics[name]) for name in HEADLINE_METRICS}
    return {**shown, "n_trades": None if shown["n_trades"] is None else int(shown["n_trades"])}


def load_stored_ranking(
    record: SweepRecord, metric: str, offset: int, limit: int
) -> dict[str, Any] | None:
    """Return a page of a stored ranking, None if it reaches beyond what is stored."""
    document = load_stored(record, f"ranking.{metric}")
    if document is None:
        return None
    spec = get_context().specs.load(record)
    return build_ranking_page(document, spec, metric, offset, limit)


def load_partial_ranking(record: SweepRecord, offset: int, limit: int) -> dict[str, Any]:
    """Return a page of the best rows of the chunks done; how many compete is not known yet."""
    rows = _load_best_rows(record, offset, limit)
    return {
        "metric": record.objective,
        "order": "best",
        "total": None,
        "offset": offset,
        "rows": [{"rank": offset + i, **row} for i, row in enumerate(rows, start=1)],
    }


def _load_best_rows(record: SweepRecord, offset: int, limit: int) -> list[dict[str, Any]]:
    found = get_context().store.sweeps.best_so_far(record.sweep_id, offset + limit)[offset:]
    if not found:
        return []
    spec = get_context().specs.load(record)
    return [
        build_row(spec, item.point, [item.metrics[name] for name in HEADLINE_METRICS])
        for item in found
    ]
