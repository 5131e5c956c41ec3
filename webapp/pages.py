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
from webapp.responses import encode_json
from webapp.run_views import UUID_TEXT, build_links, build_run_view, read_run_id

PAGES = {
    "/": "run",
    "/sweep": "sweep",
    "/runs": "runs",
    "/data": "data",
    "/help": "help",
}
# What somebody finds who mistyped an address.
_SIGNPOSTS = (
    ("/", "Run", "one rule on one dataset"),
    ("/sweep", "Sweep", "a rule over ranges of its parameters"),
    ("/runs", "Runs", "the history, and runs compared"),
    ("/data", "Data", "what is stored, and adding to it"),
    ("/help", "Help", "keys, commands and definitions"),
)
_FOR_PROGRAMS = ("/api/", "/static/")
_MAX_PATH = 120  # characters of a mistyped address that are shown
# What a token that may read is needed for; the login page is for everybody.
PAGE_ENDPOINTS = (*(f"page_{name}" for name in PAGES.values()), "page_one_sweep")


def add_pages(app: Flask) -> None:
    """Register one route per page; what pages carry is JSON as the API writes it."""
    app.jinja_env.policies["json.dumps_function"] = lambda value, **_: encode_json(value).decode()
    app.add_url_rule("/login", "page_login", show_login, methods=["GET"])
    app.after_request(_show_login_instead)
    app.after_request(_show_missing_instead)
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
    if not g.get("unauthorized") or not _is_person():
        return response
    page = show_login(response.status_code)
    page.headers["WWW-Authenticate"] = response.headers["WWW-Authenticate"]
    return page


def _show_missing_instead(response: Response) -> Response:
    """Show a person who mistyped an address what there is, where a program reads the problem."""
    is_elsewhere = request.url_rule is None and not request.path.startswith(_FOR_PROGRAMS)
    if response.status_code != 404 or not is_elsewhere or not _is_person():
        return response
    path = request.path if len(request.path) <= _MAX_PATH else f"{request.path[:_MAX_PATH]}…"
    body = render_template("missing.html", version=__version__, path=path, pages=_SIGNPOSTS)
    page = make_response(body, 404)
    page.headers["Cache-Control"] = "no-store"
    return page


def _is_person() -> bool:
    """Return whether the answer is going to be looked at in a browser."""
    wanted = request.accept_mimetypes.best_match(("application/problem+json", "text/html"))
    return request.method in ("GET", "HEAD") and wanted == "text/html"


def _show_page(page: str, sweep_id: str = "") -> Response:
    datasets, is_available = _load_datasets()
    wanted = request.args.get("run", "") if page == "run" and is_available else ""
    known = _load_known(wanted)
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
            known=known,
            preloads=_list_preloads(known["view"]),
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


def _load_known(text: str) -> dict[str, Any]:
    """Return the run that the address names, if nothing of it will change, and its figures.

    They are the first thing to be seen: asked for by the page's script they would come later.
    """
    known: dict[str, Any] = {"run": None, "view": None}
    if UUID_TEXT.fullmatch(text) is None:
        return known
    runs = get_context().store.runs
    try:
        record = runs.get(read_run_id(text))
        if record is None or record.state not in TERMINAL_STATES:
            return known
        known["run"] = build_run_view(record)
        if record.state == "succeeded" and (summary := runs.load_summary(record.run_id)):
            known["view"] = {"run_id": record.run_id, **summary}
    except StorageUnavailable as error:
        get_logger(__name__).warning("database_unavailable", reason=str(error))
    return known


def _list_preloads(view: dict[str, Any] | None) -> list[str]:
    """Return what the page's script is going to ask for, so that it comes while scripts load."""
    if view is None:
        return []
    return [f"{build_links(view['run_id'])['self']}/trades/view"]
