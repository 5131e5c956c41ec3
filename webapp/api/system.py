"""Rules, health, metrics and the API's own description."""

from __future__ import annotations

from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from backtest.version import __version__
from tasks.executors import ExecutorHealth, get_executor
from webapp.context import get_context
from webapp.definition_schemas import Definitions
from webapp.health import check_database, judge, list_reasons
from webapp.metadata import build_definitions, build_rule_list, build_trading_fields
from webapp.metrics import render_platform
from webapp.problems import RETRY_AFTER_SECONDS
from webapp.responses import build_json
from webapp.routing import Route
from webapp.schemas import Alive, Health, RuleList

_TAG = "System"


def list_rules() -> Response:
    """List all rules with their parameters, and the trading parameters they share."""
    return build_json({"rules": build_rule_list(), "trading": build_trading_fields()})


def show_definitions() -> Response:
    """Answer what every metric means, and in which term other libraries differ."""
    return build_json(build_definitions(), headers={"Cache-Control": "no-cache"})


def show_health() -> Response:
    """Answer the state of database, broker and workers."""
    return _answer_health(*get_context().health.ask(lambda: _check(count_workers=True)))


def show_alive() -> Response:
    """Answer that this process answers."""
    return build_json({"status": "ok"})


def show_ready() -> Response:
    """Answer whether requests can be served: the database and the broker are there."""
    return _answer_health(*get_context().readiness.ask(lambda: _check(count_workers=False)))


def _check(*, count_workers: bool) -> tuple[str, ExecutorHealth]:
    context = get_context()
    executor = get_executor(context.settings).check_health(count_workers=count_workers)
    return check_database(context.engine), executor


def _answer_health(database: str, executor: ExecutorHealth) -> Response:
    status = judge(database, executor)
    body = {
        "status": status,
        "database": database,
        "broker": executor.broker,
        "workers": executor.workers,
        "reasons": list_reasons(database, executor),
        "version": __version__,
    }
    if status == "down":
        return build_json(body, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)})
    return build_json(body)


def show_metrics() -> Response:
    """Answer counters in Prometheus' text format."""
    context = get_context()
    own = generate_latest(context.telemetry.registry)
    body = own + render_platform(context.store, context.settings)
    return Response(body, content_type=CONTENT_TYPE_LATEST)


ROUTES = (
    Route("GET", "/api/v1/rules", list_rules, "List rules", _TAG, RuleList),
    Route(
        "GET",
        "/api/v1/definitions",
        show_definitions,
        "Every metric explained",
        _TAG,
        Definitions,
    ),
    Route(
        "GET",
        "/health",
        show_health,
        "State of all parts",
        _TAG,
        Health,
        also=((503, "Database or broker cannot be reached"),),
    ),
    Route("GET", "/health/live", show_alive, "The process answers", _TAG, Alive),
    Route(
        "GET",
        "/health/ready",
        show_ready,
        "Requests can be served",
        _TAG,
        Health,
        also=((503, "Database or broker cannot be reached"),),
    ),
    Route("GET", "/metrics", show_metrics, "Prometheus metrics", _TAG, "text/plain"),
)
