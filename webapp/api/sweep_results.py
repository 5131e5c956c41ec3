"""Results of sweeps: what the finaliser stored at once, anything else by a worker, and exports."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from flask import Response, request

from adapters.sweep_filters import parse_filters
from adapters.sweep_heatmap import validate_heatmap
from adapters.verdict_version import VERDICT_VERSION
from backtest.errors import FieldError, InputError
from storage.sweep_records import SweepRecord
from webapp.bodies import read_query
from webapp.child_stream import ChildFailed, ChildStream
from webapp.context import get_context
from webapp.problems import RETRY_AFTER_SECONDS, ProblemError, build_problem
from webapp.responses import build_json
from webapp.routing import Route
from webapp.run_views import answer_unchanged, is_unchanged
from webapp.sweep_queries import answer_by_worker, read_axes, read_metric, read_order
from webapp.sweep_results import (
    load_partial_ranking,
    load_stored,
    load_stored_ranking,
)
from webapp.sweep_schemas import (
    ChunkStates,
    CombinationView,
    Heatmap,
    HeatmapQuery,
    Importance,
    Marginals,
    MetricQuery,
    Parallel,
    Ranking,
    RankingQuery,
    SweepPending,
)
from webapp.sweep_views import build_chunk_counts, load_sweep, unknown_sweep
from webapp.verdict_schemas import Verdict

_TAG = "Sweep results"
_PATH = "/api/v1/sweeps/{sweep_id}"
_MEDIA_TYPES = {"parquet": "application/vnd.apache.parquet", "csv": "text/csv"}
_CHILD = "tasks.sweep_export_child"


def show_ranking(sweep_id: str) -> Response:
    """Answer one page of the combinations by a metric."""
    query = read_query(RankingQuery, lists=("filter",))
    record = load_sweep(sweep_id)
    metric = read_metric(query.metric, record)
    space = get_context().specs.load(record).build_space() if query.filter else None
    filters = parse_filters(query.filter, space) if space is not None else []
    min_trades = record.min_trades if query.min_trades is None else query.min_trades
    is_plain = not filters and query.order == "best" and min_trades == record.min_trades
    found = None
    if is_plain and record.state == "succeeded":
        found = load_stored_ranking(record, metric, query.offset, query.limit)
    elif is_plain and metric == record.objective and not query.near:
        found = load_partial_ranking(record, query.offset, query.limit)
    if found is not None:
        return _answer_stored(record, found)
    return answer_by_worker(
        record,
        "ranking",
        {
            "metric": metric,
            "order": read_order(query.order, metric),
            "min_trades": min_trades,
            "filters": [item.to_json_dict() for item in filters],
            "offset": query.offset,
            "limit": query.limit,
        },
        {"order": query.order},
    )


def show_heatmap(sweep_id: str) -> Response:
    """Answer a metric over two axes."""
    fixed = {
        name.removeprefix("fixed."): text
        for name, text in request.args.items()
        if name.startswith("fixed.")
    }
    query = read_query(HeatmapQuery, ignored={f"fixed.{name}" for name in fixed})
    record = load_sweep(sweep_id)
    metric = read_metric(query.metric, record)
    min_trades = record.min_trades if query.min_trades is None else query.min_trades
    if fixed and query.other != "fixed":
        name, text = next(iter(fixed.items()))
        raise InputError.of(f"fixed.{name}", text, "only other=fixed holds an axis; send it too")
    space = get_context().specs.load(record).build_space()
    wanted = None
    if query.x is not None or query.y is not None or fixed:
        wanted = read_axes(space, query.x, query.y)
    # What the finaliser stored does not tell what failed.
    is_own = metric == record.objective and min_trades == record.min_trades and not record.n_failed
    stored = load_stored(record, "heatmap") if is_own and query.other == "best" else None
    if stored is not None and wanted in (None, (stored["x"]["name"], stored["y"]["name"])):
        return _answer_stored(record, stored)
    x, y = wanted or read_axes(space, None, None)
    validate_heatmap(space, x, y, query.other, fixed)
    return answer_by_worker(
        record,
        "heatmap",
        {
            "x": x,
            "y": y,
            "metric": metric,
            "other": query.other,
            "fixed": fixed,
            "min_trades": min_trades,
            "n_failed_chunks": _count_failed_chunks(record),
        },
    )


def _count_failed_chunks(record: SweepRecord) -> int:
    if record.state == "succeeded":
        return 0
    pulse = get_context().store.sweeps.load_pulse(record.sweep_id)
    return 0 if pulse is None else pulse.n_failed


def show_marginals(sweep_id: str) -> Response:
    """Answer the distribution of a metric over the values of each axis."""
    return _show_view(sweep_id, "marginals")


def show_importance(sweep_id: str) -> Response:
    """Answer which axes explain a metric."""
    return _show_view(sweep_id, "importance")


def show_parallel(sweep_id: str) -> Response:
    """Answer rows for parallel coordinates."""
    return _show_view(sweep_id, "parallel")


def show_verdict(sweep_id: str) -> Response:
    """Answer whether the winner is real or luck."""
    record = load_sweep(sweep_id)
    question = {"is_final": record.state == "succeeded", "version": VERDICT_VERSION}
    return answer_by_worker(record, "verdict", question)


def _show_view(sweep_id: str, kind: str) -> Response:
    query = read_query(MetricQuery)
    record = load_sweep(sweep_id)
    metric = read_metric(query.metric, record)
    min_trades = record.min_trades if query.min_trades is None else query.min_trades
    if metric == record.objective and min_trades == record.min_trades:
        stored = load_stored(record, kind)
        if stored is not None:
            return _answer_stored(record, stored)
    return answer_by_worker(record, kind, {"metric": metric, "min_trades": min_trades})


def _answer_stored(record: SweepRecord, found: dict[str, Any]) -> Response:
    """Answer a stored document; what a sweep that has succeeded says never changes."""
    complete = record.state == "succeeded"
    body = {"sweep_id": record.sweep_id, "complete": complete, **found}
    if not complete:
        return build_json(body)
    etag = f"{record.sweep_id}.{record.attempt}"
    if is_unchanged(etag):
        return answer_unchanged(etag)
    response = build_json(body, headers={"Cache-Control": "private, no-cache"})
    response.set_etag(etag, weak=True)
    return response


def show_chunks(sweep_id: str) -> Response:
    """Answer the state of every chunk, one letter each."""
    record = load_sweep(sweep_id)
    sweeps = get_context().store.sweeps
    progress = sweeps.progress(record.sweep_id)
    if progress is None:
        raise unknown_sweep(record.sweep_id)
    return build_json(
        {
            "sweep_id": record.sweep_id,
            "chunks": build_chunk_counts(progress),
            "states": sweeps.chunks(record.sweep_id),
        }
    )


def show_combination(sweep_id: str, index: str) -> Response:
    """Answer what the combination with a number is, and the body that opens it as a run."""
    record = load_sweep(sweep_id)
    spec = get_context().specs.load(record)
    space = spec.build_space()
    point = int(index) if index.isdecimal() and len(index) <= 20 else -1
    if not 0 <= point < space.n_points:
        remedy = f"write a whole number from 0 to {space.n_points - 1}"
        raise ProblemError(
            404, f"the sweep has no combination {index[:40]}", [FieldError("index", index, remedy)]
        )
    dataset, params, trading = spec.combination(point)
    return build_json(
        {
            "index": point,
            "excluded": not bool(space.admitted(np.array([point], dtype=np.int64))[0]),
            "dataset": dataset.symbol,
            "params": params,
            "trading": trading.model_dump(),
            "run": {
                "dataset": dataset.sha256,
                "rule": spec.rule,
                "params": params,
                "trading": trading.model_dump(),
                "start": spec.start,
                "end": spec.end,
                "adjust": dataset.adjusted,
            },
        }
    )


def export_parquet(sweep_id: str) -> Response:
    """Answer all combinations as a Parquet file."""
    return _export(sweep_id, "parquet")


def export_csv(sweep_id: str) -> Response:
    """Answer all combinations as CSV."""
    return _export(sweep_id, "csv")


def _export(sweep_id: str, ending: str) -> Response:
    record = load_sweep(sweep_id)
    if record.state != "succeeded":
        raise ProblemError(
            409, f"the sweep is {record.state}; all combinations are there once it has succeeded"
        )
    context = get_context()
    if not context.exporting.acquire(blocking=False):
        return build_problem(
            503,
            "other exports are under way; ask again when they are done",
            headers={"Retry-After": "10"},
        )
    config = {
        "database_url": context.settings.database_url,
        "sweep_id": record.sweep_id,
        "format": ending,
    }
    try:
        stream = ChildStream(_CHILD, config, on_close=context.exporting.release).start()
    except ChildFailed:
        return build_problem(
            503,
            "the export could not be started; ask again, the server's log says why",
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        )
    response = Response(stream, mimetype=_MEDIA_TYPES[ending])
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", f"{record.symbol}_{record.rule}_{record.sweep_id[:8]}")
    response.headers["Content-Disposition"] = f'attachment; filename="{stem}_sweep.{ending}"'
    response.headers["Cache-Control"] = "no-store"
    return response


_UNCHANGED = ((304, "The client holds it already"),)
_PENDING = ((202, SweepPending, "A worker computes it; ask again"),)

ROUTES = (
    *(
        Route(
            "GET",
            f"{_PATH}/{name}",
            handler,
            summary,
            _TAG,
            answer,
            also=_UNCHANGED,
            others=_PENDING,
            query=query,
            refusals=(404, 409, 422),
        )
        for name, handler, summary, answer, query in (
            ("ranking", show_ranking, "Combinations by a metric", Ranking, RankingQuery),
            ("heatmap", show_heatmap, "A metric over two axes", Heatmap, HeatmapQuery),
            ("marginals", show_marginals, "A metric over each axis", Marginals, MetricQuery),
            ("importance", show_importance, "What explains a metric", Importance, MetricQuery),
            ("parallel", show_parallel, "Rows for parallel coordinates", Parallel, MetricQuery),
        )
    ),
    Route(
        "GET",
        f"{_PATH}/verdict",
        show_verdict,
        "Is the winner real or luck",
        _TAG,
        Verdict,
        others=_PENDING,
        refusals=(404, 409),
    ),
    Route(
        "GET",
        f"{_PATH}/chunks",
        show_chunks,
        "State of every chunk",
        _TAG,
        ChunkStates,
        refusals=(404,),
    ),
    Route(
        "GET",
        f"{_PATH}/combinations/{{index}}",
        show_combination,
        "A combination by its number, with the body that opens it as a run",
        _TAG,
        CombinationView,
        refusals=(404,),
    ),
    *(
        Route(
            "GET",
            f"{_PATH}/export.{ending}",
            handler,
            f"All combinations as {shown}, streamed",
            _TAG,
            _MEDIA_TYPES[ending],
            refusals=(404, 409),
        )
        for ending, handler, shown in (
            ("parquet", export_parquet, "Parquet"),
            ("csv", export_csv, "CSV"),
        )
    ),
)
