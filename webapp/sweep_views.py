"""Sweep records as the API shows them, and the checks every sweep address shares."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from backtest.errors import FieldError
from rules.base_rule import get_rule
from rules.spec import TradingSpec
from storage.sweep_records import ENDED_SWEEP_STATES, SweepProgress, SweepRecord
from webapp.context import get_context
from webapp.problems import ProblemError
from webapp.responses import format_instant
from webapp.run_views import UUID_TEXT
from webapp.telemetry import bind_sweep_id

_MOST_JSON_INTEGER = 2**63 - 1


def read_sweep_id(text: str) -> str:
    """Return a sweep's id in its stored form, and name it in the log from here on.

    Raises
    ------
    ProblemError
        404 for text that is no UUID: no sweep can have it.
    """
    if UUID_TEXT.fullmatch(text) is None:
        raise ProblemError(
            404,
            "a sweep's id is a UUID such as 123e4567-e89b-42d3-a456-426614174000",
            [FieldError("sweep_id", text, "is no UUID; copy the id that the submission answered")],
        )
    sweep_id = text.lower()
    bind_sweep_id(sweep_id)
    return sweep_id


def unknown_sweep(sweep_id: str) -> ProblemError:
    """Return the refusal of an id that no sweep has."""
    return ProblemError(
        404,
        f"there is no sweep {sweep_id}",
        [FieldError("sweep_id", sweep_id, "no such sweep; it may have been deleted")],
    )


def load_sweep(text: str) -> SweepRecord:
    """Return the sweep with the id `text`, or raise 404."""
    sweep_id = read_sweep_id(text)
    record = get_context().store.sweeps.get(sweep_id)
    if record is None:
        raise unknown_sweep(sweep_id)
    return record


def build_sweep_links(sweep_id: str) -> dict[str, str]:
    """Return where to go on from a sweep."""
    base = f"/api/v1/sweeps/{sweep_id}"
    parts = ("ranking", "heatmap", "marginals", "importance", "parallel", "verdict", "chunks")
    actions = ("pause", "resume", "cancel", "retry")
    return {
        "self": base,
        **{name: f"{base}/{name}" for name in (*parts, *actions)},
        "export_parquet": f"{base}/export.parquet",
        "export_csv": f"{base}/export.csv",
        "page": f"/sweep/{sweep_id}",
    }


def build_sweep_item(
    record: SweepRecord,
    progress: SweepProgress | None,
    best: Mapping[str, Any] | None,
    plateau: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return a sweep of the list as JSON-safe values; see `webapp.sweep_schemas.SweepItem`.

    Parameters
    ----------
    progress : SweepProgress or None
        None for a sweep that has succeeded: its record says all.
    best, plateau : mapping or None
        As far as the sweep has come; at least `index` and `metrics`.
    """
    done = 1.0 if progress is None else progress.fraction
    return {
        "sweep_id": record.sweep_id,
        "run_id": record.sweep_id,
        "state": record.state,
        "stage": record.stage,
        "progress": done,
        "submitted_at": format_instant(record.submitted_at),
        "started_at": format_instant(record.started_at),
        "finished_at": format_instant(record.finished_at),
        "fingerprint": record.fingerprint,
        "symbol": record.symbol,
        "rule": record.rule,
        "objective": record.objective,
        "method": record.method,
        "swept": name_axes(record.spec),
        "n_points": as_json_integer(record.n_points),
        "n_combinations": record.n_combinations,
        "result_sha256": record.result_sha256,
        "best": best,
        "plateau": plateau,
        "error": record.error,
        "tags": list(record.tags),
        "note": record.note,
        "links": build_sweep_links(record.sweep_id),
    }


def build_sweep_view(
    record: SweepRecord,
    progress: SweepProgress,
    best: Mapping[str, Any] | None,
    plateau: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return a sweep as JSON-safe values; see `webapp.sweep_schemas.SweepView`.

    Parameters
    ----------
    best, plateau : mapping or None
        Rows of `adapters.sweep_rows.build_row`, as far as the sweep has come.
    """
    ended = record.state == "succeeded"
    return {
        **build_sweep_item(record, progress, best, plateau),
        "queue_position": None,
        "attempt": record.attempt,
        "spec": record.spec,
        "min_trades": record.min_trades,
        "n_excluded": record.n_excluded if ended else progress.n_excluded_done,
        "n_failed": record.n_failed if ended else progress.n_failed_done,
        "n_done": progress.n_combinations_done,
        "n_positions": progress.n_positions,
        "n_positions_done": progress.n_positions_done,
        "n_bars": record.n_bars,
        "chunks": build_chunk_counts(progress),
        "rate": progress.rate,
        "eta_seconds": progress.eta_seconds,
        "seconds": _measure_seconds(record),
        "metrics": None if best is None else best["metrics"],
        "warnings": list(record.warnings),
    }


def name_axes(spec: Mapping[str, Any]) -> list[str]:
    """Return what a stored specification sweeps, in the order that numbers its combinations.

    Read off the document: building the space of every sweep of a list would count its points.
    """
    rule = get_rule(spec["rule"])
    declared = [] if rule is None else [item.name for item in rule.metadata.parameters]
    swept = [*spec["space"], *spec["trading_space"]]
    order = [*(declared or spec["space"]), *TradingSpec.model_fields]
    several = ["dataset"] if len(spec["datasets"]) > 1 else []
    return several + [name for name in order if name in swept]


def build_chunk_counts(progress: SweepProgress) -> dict[str, int]:
    """Return the chunks by state."""
    return {
        "total": progress.n_chunks,
        "done": progress.n_done,
        "failed": progress.n_failed,
        "queued": progress.n_queued,
        "running": progress.n_running,
        "cancelled": progress.n_cancelled,
    }


def as_json_integer(number: int) -> int | float:
    """Return a count as JSON carries it: beyond 64 bits as a float, like every reader does."""
    return number if number <= _MOST_JSON_INTEGER else float(number)


def wait_until_sweep_ends(sweep_id: str, seconds: float) -> str:
    """Return the sweep's state once nothing more is computed or `seconds` have passed."""
    sweeps = get_context().store.sweeps
    deadline = time.monotonic() + seconds
    pause = 0.02
    while True:
        pulse = sweeps.load_pulse(sweep_id)
        if pulse is None:
            raise unknown_sweep(sweep_id)
        left = deadline - time.monotonic()
        if pulse.state in ENDED_SWEEP_STATES or left <= 0:
            return str(pulse.state)
        time.sleep(min(pause, left))
        pause = min(0.2, pause * 1.5)


def _measure_seconds(record: SweepRecord) -> float | None:
    if record.started_at is None:
        return None
    if record.seconds is not None:
        return record.seconds
    # The database's clock set the start; ours may be behind it.
    return max(0.0, (datetime.now(UTC) - record.started_at).total_seconds())
