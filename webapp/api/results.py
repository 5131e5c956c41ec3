"""Results of runs that succeeded: the whole, the charts, and what the page reads piece by piece."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from flask import Response

from adapters.adapter import identify_result
from adapters.views import build_series_view
from backtest.errors import FieldError, InputError
from backtest.version import __version__
from storage.records import RunRecord
from webapp.bodies import read_query
from webapp.context import get_context
from webapp.exports import (
    EPISODE_COLUMNS,
    SERIES_TABLES,
    TABLES,
    TRADE_COLUMNS,
    iterate_beside,
    iterate_metric_rows,
    iterate_series_rows,
    iterate_trade_rows,
    list_episodes,
    write_csv,
    write_result,
    write_series_json,
)
from webapp.problems import ProblemError
from webapp.responses import JSON, build_json, encode_json
from webapp.result_answers import answer_in_turn, build_etag, build_immutable, require
from webapp.routing import Route
from webapp.run_views import answer_unchanged, is_unchanged, load_succeeded_run
from webapp.schemas import PageSeries, PageView, RunCharts, RunResult, SeriesQuery
from webapp.submissions import hold_answer

_CHART_WAIT_SECONDS = 10.0  # the first charts of a worker load Matplotlib on the way
_CHART_POLL_SECONDS = 0.05
_RESULT_COLUMNS = ("time", "equity", "cash", "position", "close")
# Of every run; its indicators come on top.
_SERIES = (
    *("open", "high", "low", "close", "equity", "cash", "position"),
    *("position_value", "exposure", "benchmark", "drawdown", "benchmark_drawdown"),
)
_EXTENSIONS = {"csv": "text/csv", "json": JSON}
_HTML = "text/html"
_NOT_DONE = (404, 409)
_TAG = "Results"


def show_result(run_id: str) -> Response:
    """Answer the object of ``backtest --json``."""
    record = load_succeeded_run(run_id)
    etag = build_etag(record)
    if is_unchanged(etag):
        return answer_unchanged(etag)
    runs = get_context().store.runs

    def build() -> Response:
        body = write_result(
            require(runs.load_summary(record.run_id), record),
            require(runs.load_trades(record.run_id), record),
            require(runs.load_columns(record.run_id, _RESULT_COLUMNS), record),
            record.run_id,
        )
        return build_immutable(body, etag)

    return answer_in_turn(record, build)


def show_charts(run_id: str) -> Response:
    """Answer the four pictures, which are drawn right after the result: wait for them."""
    record = load_succeeded_run(run_id)
    etag = build_etag(record)
    if is_unchanged(etag):
        return answer_unchanged(etag)
    runs = get_context().store.runs

    def wait() -> dict[str, str] | None:
        deadline = time.monotonic() + _CHART_WAIT_SECONDS
        while not (found := runs.load_charts(record.run_id)) and time.monotonic() < deadline:
            time.sleep(_CHART_POLL_SECONDS)
        return found

    charts = runs.load_charts(record.run_id)
    if not charts:
        charts = hold_answer(charts, wait)
    if not charts:
        raise ProblemError(409, "the charts are not drawn yet; ask again in a second")
    return build_immutable([encode_json(charts)], etag)


def show_view(run_id: str) -> Response:
    """Answer everything of the five tabs but series and trades."""
    record = load_succeeded_run(run_id)
    etag = build_etag(record)
    if is_unchanged(etag):
        return answer_unchanged(etag)
    summary = require(get_context().store.runs.load_summary(record.run_id), record)
    return build_immutable([encode_json({"run_id": record.run_id, **summary})], etag)


def show_series(run_id: str) -> Response:
    """Answer series between two bars, thinned so that no spike is lost."""
    query = read_query(SeriesQuery)
    record = load_succeeded_run(run_id)
    return answer_in_turn(record, lambda: _build_series(record, query))


def _build_series(record: RunRecord, query: SeriesQuery) -> Response:
    runs = get_context().store.runs
    names = _read_names(query.names)
    summary = require(runs.load_summary(record.run_id), record)
    columns = require(runs.load_columns(record.run_id, ("time", *names)), record)
    unknown = [name for name in names if name not in columns or name == "time"]
    if unknown:
        shown = ", ".join(
            (*_SERIES, *(f"indicator:{name}" for name in summary["rule"]["indicators"]))
        )
        raise InputError(
            [FieldError("names", name, f"no such series; choose of {shown}") for name in unknown]
        )
    view = build_series_view(
        columns,
        names,
        summary["spacing"],
        start_idx=query.start_idx,
        end_idx=query.end_idx,
        max_points=query.points,
    )
    return build_json(view, headers={"Cache-Control": "private, max-age=300"})


def _read_names(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise InputError.of("names", text, "name at least one series, separated by commas")
    return names


def export(run_id: str, table: str, extension: str) -> Response:
    """Answer one table as a file to save."""
    if table not in TABLES or extension not in _EXTENSIONS:
        raise ProblemError(
            404,
            f"export one of {', '.join(TABLES)} as .csv or .json, not {table}.{extension}"[:300],
        )
    record = load_succeeded_run(run_id)
    return answer_in_turn(record, lambda: _build_export(record, table, extension))


def _build_export(record: RunRecord, table: str, extension: str) -> Response:
    body = _write_table(record, table, extension)
    response = Response(body, mimetype=_EXTENSIONS[extension])
    name = f"{_stem(record)}_{table}.{extension}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    return response


def _stem(record: RunRecord) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{record.symbol}_{record.rule}_{record.run_id[:8]}")


def _write_table(record: RunRecord, table: str, extension: str) -> Iterator[bytes]:
    runs, run_id = get_context().store.runs, record.run_id
    summary = require(runs.load_summary(run_id), record)
    identity = identify_result(summary, run_id)
    is_csv = extension == "csv"
    if table == "metrics":
        if is_csv:
            rows = iterate_metric_rows(summary)
            return write_csv(("metric", "run", "benchmark"), rows, identity)
        chosen = ("metrics", "benchmark", "undefined")
        return iter([encode_json({**identity, **{name: summary[name] for name in chosen}})])
    if table == "trades":
        trades = require(runs.load_trades(run_id), record)
        if is_csv:
            return write_csv(TRADE_COLUMNS, iterate_trade_rows(trades), identity)
        listed = [{name: trade[name] for name in TRADE_COLUMNS} for trade in trades]
        return iter([encode_json({**identity, "trades": listed})])
    names = SERIES_TABLES[table]
    columns = require(runs.load_columns(run_id, ("time", *names)), record)
    # The drawdown's table is more than its series: the episodes stand beside the first bars.
    episodes = list_episodes(summary) if table == "drawdown" else None
    if is_csv:
        header: tuple[str, ...] = ("time", *names)
        rows = iterate_series_rows(columns, names, summary["spacing"])
        if episodes is not None:
            header = (*header, *EPISODE_COLUMNS)
            cells = (list(episode.values()) for episode in episodes)
            rows = iterate_beside(rows, cells, len(EPISODE_COLUMNS))
        return write_csv(header, rows, identity)
    beside = {} if episodes is None else {"episodes": episodes}
    return write_series_json(columns, names, summary["spacing"], {**identity, **beside})


def show_report(run_id: str) -> Response:
    """Answer the whole result as one page that can be saved, sent and printed."""
    record = load_succeeded_run(run_id)
    # The page is drawn by this version: another draws it anew.
    etag = f"{build_etag(record)}.{__version__}"
    if is_unchanged(etag):
        return answer_unchanged(etag)
    return answer_in_turn(record, lambda: _build_report(record, etag))


def _build_report(record: RunRecord, etag: str) -> Response:
    from adapters.report import REPORT_COLUMNS, build_policy, render_report

    runs = get_context().store.runs
    page = render_report(
        require(runs.load_summary(record.run_id), record),
        require(runs.load_trades(record.run_id), record),
        require(runs.load_columns(record.run_id, REPORT_COLUMNS), record),
        record.run_id,
    )
    response = build_immutable([page.encode()], etag)
    response.mimetype = _HTML
    # Stricter than the dashboard's: no script at all, and one style element by its hash.
    response.headers["Content-Security-Policy"] = f"{build_policy()}; frame-ancestors 'none'"
    response.headers["Content-Disposition"] = f'inline; filename="{_stem(record)}_report.html"'
    return response


_UNCHANGED = ((304, "The client holds it already"),)

ROUTES = (
    Route(
        "GET",
        "/api/v1/runs/{run_id}/result",
        show_result,
        "Result of a run, as `backtest --json`",
        _TAG,
        RunResult,
        also=_UNCHANGED,
        refusals=_NOT_DONE,
    ),
    Route(
        "GET",
        "/api/v1/runs/{run_id}/charts",
        show_charts,
        "Four pictures",
        _TAG,
        RunCharts,
        also=_UNCHANGED,
        refusals=_NOT_DONE,
    ),
    Route(
        "GET",
        "/api/v1/runs/{run_id}/view",
        show_view,
        "View model of the five tabs",
        _TAG,
        PageView,
        also=_UNCHANGED,
        refusals=_NOT_DONE,
    ),
    Route(
        "GET",
        "/api/v1/runs/{run_id}/series",
        show_series,
        "Series, thinned for drawing",
        _TAG,
        PageSeries,
        query=SeriesQuery,
        refusals=(*_NOT_DONE, 422),
    ),
    Route(
        "GET",
        "/api/v1/runs/{run_id}/export/{table}.{extension}",
        export,
        "One table as CSV or JSON",
        _TAG,
        "text/csv",
        refusals=_NOT_DONE,
    ),
    Route(
        "GET",
        "/api/v1/runs/{run_id}/report.html",
        show_report,
        "The whole result as one page",
        _TAG,
        _HTML,
        also=_UNCHANGED,
        refusals=_NOT_DONE,
    ),
)
