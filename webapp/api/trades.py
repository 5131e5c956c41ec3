"""Trades of runs that succeeded: all as records, those of a window, all in columns."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from flask import Response, request

from adapters.trade_columns import TradeColumns, build_trade_view
from storage.records import RunRecord
from webapp.bodies import read_query
from webapp.context import get_context
from webapp.responses import encode_json
from webapp.result_answers import answer_in_turn, build_etag, build_immutable, require
from webapp.routing import Route
from webapp.run_views import answer_unchanged, is_unchanged, load_succeeded_run
from webapp.schemas import PageTrades, TradeView, TradeViewQuery

_LINES = "application/x-ndjson"
# A line is parsed at once: 2,000 trades are some 450 kB, a few milliseconds of a browser.
_BLOCK_TRADES = 2000
# Below it an answer is on its way sooner as it is.
_MIN_PACKED = 50
_NOT_DONE = (404, 409)
_TAG = "Results"


def show_trades(run_id: str) -> Response:
    """Answer all trades with the bars they belong to."""
    record = load_succeeded_run(run_id)
    etag = build_etag(record)
    if is_unchanged(etag):
        return answer_unchanged(etag)

    def build() -> Response:
        trades = require(get_context().store.runs.load_trades(record.run_id), record)
        return build_immutable([encode_json({"trades": trades})], etag)

    return answer_in_turn(record, build)


def show_trade_view(run_id: str) -> Response:
    """Answer the trades that touch a window of bars, thinned where they are many."""
    query = read_query(TradeViewQuery)

    def build(trades: TradeColumns, etag: str) -> Response:
        view = build_trade_view(trades, query.start_idx, query.end_idx, query.limit)
        return _pack([encode_json(view)], len(view["trades"]["number"]), etag)

    return _answer_columns(run_id, build)


def show_trade_lines(run_id: str) -> Response:
    """Answer all trades in columns, a block of them a line, so that none takes long to parse."""

    def build(trades: TradeColumns, etag: str) -> Response:
        response = _pack(_write_lines(trades), trades.n_trades, etag)
        response.mimetype = _LINES
        return response

    return _answer_columns(run_id, build)


def _answer_columns(run_id: str, build: Callable[[TradeColumns, str], Response]) -> Response:
    record = load_succeeded_run(run_id)
    etag = build_etag(record)
    if is_unchanged(etag):
        return answer_unchanged(etag)
    known = get_context().trades.find(record.run_id)
    if known is not None:
        return build(known, etag)
    return answer_in_turn(record, lambda: build(_load(record), etag))


def _load(record: RunRecord) -> TradeColumns:
    context = get_context()
    trades = TradeColumns(require(context.store.runs.load_trades(record.run_id), record))
    context.trades.keep(record.run_id, trades)
    return trades


def _write_lines(trades: TradeColumns) -> Iterator[bytes]:
    for first in range(0, trades.n_trades, _BLOCK_TRADES):
        last = min(first + _BLOCK_TRADES, trades.n_trades)
        yield encode_json(trades.take(np.arange(first, last, dtype=np.int64))) + b"\n"


def _pack(body: Iterable[bytes], n_trades: int, etag: str) -> Response:
    """Build an answer, packed where it is long and the client unpacks.

    Level 1 takes 4 ms of the web tier for 1,000 trades, and makes a third of them.
    """
    is_packed = n_trades >= _MIN_PACKED and request.accept_encodings.quality("gzip") > 0
    response = build_immutable(_compress(body) if is_packed else body, etag)
    response.vary.add("Accept-Encoding")
    if is_packed:
        response.headers["Content-Encoding"] = "gzip"
    return response


def _compress(body: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)  # the header of gzip
    for block in body:
        if packed := packer.compress(block):  # nothing, while it gathers
            yield packed
    yield packer.flush()


_UNCHANGED = ((304, "The client holds it already"),)

ROUTES = (
    Route(
        "GET",
        "/api/v1/runs/{run_id}/trades",
        show_trades,
        "Trades",
        _TAG,
        PageTrades,
        also=_UNCHANGED,
        refusals=_NOT_DONE,
    ),
    Route(
        "GET",
        "/api/v1/runs/{run_id}/trades/view",
        show_trade_view,
        "Trades of a window in columns, thinned for drawing",
        _TAG,
        TradeView,
        query=TradeViewQuery,
        also=_UNCHANGED,
        refusals=(*_NOT_DONE, 422),
    ),
    Route(
        "GET",
        "/api/v1/runs/{run_id}/trades/lines",
        show_trade_lines,
        "All trades in columns, a JSON object of some a line",
        _TAG,
        _LINES,
        also=_UNCHANGED,
        refusals=_NOT_DONE,
    ),
)
