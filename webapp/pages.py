"""Pages: each renders one template with what it needs to work before its first request."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, current_app, g, make_response, render_template, request

from backtest.version import __version__
from storage.errors import StorageUnavailable
from storage.records import TERMINAL_STATES
from tasks.logs import get_logger
from webapp.access import get_access, get_identity
from webapp.context import get_context
from webapp.dataset_views import build_dataset_view
from webapp.metadata import build_definitions, build_rule_list, build_trading_fields
from webapp.run_views import UUID_TEXT, build_links, build_run_view, read_run_id

PAGES = {
    "/": "run",
    "/sweep": "sweep",
    "/runs": "runs",
    "/data": "data",
    "/help": "help",
}
# What a token that may read is needed for; the login page is for everybody.
PAGE_ENDPOINTS = (*(f"page_{name}" for name in PAGES.values()), "page_one_sweep")


def add_pages(app: Flask) -> None:
    """Register one route per page."""
    app.add_url_rule("/login", "page_login", show_login, methods=["GET"])
    app.after_request(_show_login_instead)
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


def show_login(status: int = 200) -> Response:
    """Answer the page where a token is pasted; it shows nothing that belongs to anybody."""
    has_key = bool(get_context().settings.secret_key)
    body = render_template("login.html", version=__version__, has_key=has_key)
    response = make_response(body, status)
    response.headers["Cache-Control"] = "no-store"
    return response


def _show_login_instead(response: Response) -> Response:
    """Let a person who opens a page without being known log in, where a program reads why."""
    wanted = request.accept_mimetypes.best_match(("application/problem+json", "text/html"))
    if not g.get("unauthorized") or request.method != "GET" or wanted != "text/html":
        return response
    page = show_login(response.status_code)
    page.headers["WWW-Authenticate"] = response.headers["WWW-Authenticate"]
    return page


def _show_page(page: str, sweep_id: str = "") -> Response:
    datasets, is_available = _load_datasets()
    run = _load_ended_run(request.args.get("run", "")) if page == "run" and is_available else None
    identity = get_identity()
    proof = None
    if identity.session_id is not None:
        proof = get_access(current_app).build_proof(identity.session_id)
    response = make_response(
        render_template(
            f"{page}.html",
            page=page,
            version=__version__,
            rules=build_rule_list(),
            trading_fields=build_trading_fields(),
            definitions=build_definitions(),
            datasets=datasets,
            known_run=run,
            preloads=_list_preloads(run),
            storage_available=is_available,
            max_upload_mb=get_context().settings.max_upload_mb,
            sources=get_context().settings.sources,
            identity=identity,
            csrf_token=proof,
        )
    )
    # With a login the page holds what writes need: no cache keeps that.
    response.headers["Cache-Control"] = "no-cache" if proof is None else "no-store"
    return response


def _load_datasets() -> tuple[list[dict[str, Any]], bool]:
    """Return all datasets; without the database a page still opens and says so."""
    try:
        records = get_context().store.datasets.list()
    except StorageUnavailable as error:
        get_logger(__name__).warning("database_unavailable", reason=str(error))
        return [], False
    return [build_dataset_view(record) for record in records], True


def _load_ended_run(text: str) -> dict[str, Any] | None:
    """Return the run that the address names, if nothing of it will change: one request less."""
    if UUID_TEXT.fullmatch(text) is None:
        return None
    try:
        record = get_context().store.runs.get(read_run_id(text))
    except StorageUnavailable as error:
        get_logger(__name__).warning("database_unavailable", reason=str(error))
        return None
    if record is None or record.state not in TERMINAL_STATES:
        return None
    return build_run_view(record)


def _list_preloads(run: dict[str, Any] | None) -> list[str]:
    """Return what the page's script is going to ask for, so that it comes while scripts load."""
    if run is None or run["state"] != "succeeded":
        return []
    links = build_links(run["run_id"])
    return [links["view"], f"{links['self']}/trades/view"]
