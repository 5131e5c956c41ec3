"""Pages: each renders one template with what it needs to work before its first request."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, make_response, render_template

from backtest.version import __version__
from storage.errors import StorageUnavailable
from tasks.logs import get_logger
from webapp.api.datasets import build_dataset_view
from webapp.context import get_context
from webapp.metadata import build_rule_list, build_trading_fields

PAGES = {
    "/": "run",
    "/sweep": "sweep",
    "/runs": "runs",
    "/data": "data",
    "/help": "help",
}


def add_pages(app: Flask) -> None:
    """Register one route per page."""
    for path, name in PAGES.items():
        app.add_url_rule(path, f"page_{name}", _show_page, defaults={"page": name}, methods=["GET"])
    # The script reads the id from the address: a page that opens without the database can say why.
    app.add_url_rule(
        "/sweep/<sweep_id>",
        "page_one_sweep",
        _show_page,
        defaults={"page": "sweep"},
        methods=["GET"],
    )


def _show_page(page: str, sweep_id: str = "") -> Response:
    datasets, is_available = _load_datasets()
    response = make_response(
        render_template(
            f"{page}.html",
            page=page,
            version=__version__,
            rules=build_rule_list(),
            trading_fields=build_trading_fields(),
            datasets=datasets,
            storage_available=is_available,
        )
    )
    response.headers["Cache-Control"] = "no-cache"
    return response


def _load_datasets() -> tuple[list[dict[str, Any]], bool]:
    """Return all datasets; without the database a page still opens and says so."""
    try:
        records = get_context().store.datasets.list()
    except StorageUnavailable as error:
        get_logger(__name__).warning("database_unavailable", reason=str(error))
        return [], False
    return [build_dataset_view(record) for record in records], True
