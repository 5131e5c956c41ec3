"""The application factory; gunicorn calls it as ``webapp.app:create_app()``."""

from __future__ import annotations

from flask import Flask, Response

from storage.database import create_database
from storage.errors import StorageUnavailable
from storage.schema import check_schema
from storage.store import Store
from tasks.executors import check_executor
from tasks.exposure import check_exposure, check_secret_key
from tasks.logs import configure_logging, get_logger
from tasks.settings import PREFIX, Settings, load_settings
from webapp.access import AccessControl, add_access, build_policy
from webapp.api import (
    access,
    datasets,
    presets,
    results,
    runs,
    sources,
    sweep_presets,
    sweep_results,
    sweeps,
    system,
    trades,
)
from webapp.audit import add_audit
from webapp.context import WebContext, save_context
from webapp.openapi import build_openapi
from webapp.page_scripts import add_page_scripts
from webapp.pages import PAGE_ENDPOINTS, add_pages
from webapp.problems import add_error_handlers
from webapp.responses import build_json
from webapp.routing import Route, add_routes
from webapp.security import add_security
from webapp.static_files import add_compression, add_static_versions
from webapp.style_sheets import add_style_sheets
from webapp.telemetry import Telemetry, add_telemetry


def create_app(settings: Settings | None = None) -> Flask:
    """Build the web application.

    Parameters
    ----------
    settings : Settings, optional
        Without them this is a process of its own: they are read from the environment, and logging
        is set up.

    Raises
    ------
    InputError
        For settings that cannot be used.
    SchemaError
        If the database's schema is not the one this version works on; the message names the
        command. A database that cannot be reached is waited for: requests answer 503 until then.
    """
    # The command line has checked the address with the tokens in view. Here, whoever started this
    # process, an address on the network is closed, whether there are tokens or not.
    if settings is None:
        settings = load_settings()
        configure_logging(settings, "web")
    mode = check_exposure(settings, f"{PREFIX}BIND", settings.bind, lambda: True)
    check_secret_key(settings, mode)
    check_executor(settings)
    engine = create_database(settings.database_url)
    try:
        check_schema(engine)
    except StorageUnavailable as error:
        get_logger(__name__).warning("database_unavailable", reason=str(error))
    # A server may fork after this: no connection must be shared by its processes.
    engine.dispose()

    app = Flask("webapp")
    app.url_map.strict_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.config["MAX_FORM_MEMORY_SIZE"] = settings.max_body_bytes
    telemetry, store, routes = Telemetry(), Store(engine), build_routes()
    save_context(app, WebContext(settings, engine, store, telemetry))
    add_audit(app)  # its line is written last, when all is said
    add_telemetry(app, telemetry)
    add_security(app, settings)
    add_access(app, AccessControl(settings, store, build_policy(routes, PAGE_ENDPOINTS)))
    add_error_handlers(app)
    add_static_versions(app)
    add_page_scripts(app)
    add_style_sheets(app)
    add_compression(app)
    add_routes(app, routes)
    add_pages(app)
    return app


def build_routes() -> tuple[Route, ...]:
    """Return all operations of the API, its own description last."""
    described: list[Route] = []

    def show_openapi() -> Response:
        """Answer the description of the API."""
        headers = {"Cache-Control": "no-cache"}
        return build_json(build_openapi(described), headers=headers)

    described += (
        *runs.ROUTES,
        *results.ROUTES,
        *trades.ROUTES,
        *sweeps.ROUTES,
        *sweep_results.ROUTES,
        *datasets.ROUTES,
        *sources.ROUTES,
        *presets.ROUTES,
        *sweep_presets.ROUTES,
        *access.ROUTES,
        *system.ROUTES,
        Route(
            "GET",
            "/api/openapi.json",
            show_openapi,
            "This description",
            "System",
            "application/json",
        ),
    )
    return tuple(described)
