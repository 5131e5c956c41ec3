"""What operators see: counters for Prometheus, and log lines that name the run."""

from __future__ import annotations

import os
import time

import structlog
from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

from tasks.logs import get_logger

_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0, 10.0, 40.0)  # [seconds]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Telemetry:
    """Counters of one process.

    Each web process counts for itself: the usual multi-process mode of the client library writes
    files, and the web tier writes none. Several processes may answer behind one address, so their
    series are told apart by `process`, and sums over it are right; what the whole platform has in
    common is in `webapp.metrics`.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._process = str(os.getpid())
        self.requests = Counter(
            "stock_backtest_http_requests",
            "Requests answered by this process",
            ("process", "method", "endpoint", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "stock_backtest_http_request_seconds",
            "Time from reading a request to handing over its answer",
            ("process", "endpoint"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.submissions = Counter(
            "stock_backtest_submissions",
            "Accepted requests for runs and sweeps; cached: an earlier result answered it, "
            "repeated: its idempotency key was seen before",
            ("process", "kind", "result"),
            registry=self.registry,
        )
        for kind in ("run", "sweep"):
            for result in ("created", "cached", "repeated"):
                self.submissions.labels(self._process, kind, result)
        ProcessCollector(registry=self.registry)

    def observe(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        # Method names come from outside; a label for each would grow without bound.
        known = method if method in _METHODS else "other"
        self.requests.labels(self._process, known, endpoint, str(status)).inc()
        self.seconds.labels(self._process, endpoint).observe(seconds)

    def count_submission(self, kind: str, *, cached: bool, created: bool) -> None:
        """Count one accepted request for a ``run`` or a ``sweep``."""
        result = "cached" if cached else "created" if created else "repeated"
        self.submissions.labels(self._process, kind, result).inc()


def bind_run_id(run_id: str) -> None:
    """Name the run that the current request is about, in its log lines and problem documents."""
    g.run_id = run_id
    structlog.contextvars.bind_contextvars(run_id=run_id)


def bind_sweep_id(sweep_id: str) -> None:
    """Name the sweep that the current request is about; see `tasks.logs.bind_sweep`."""
    bind_run_id(sweep_id)
    structlog.contextvars.bind_contextvars(sweep_id=sweep_id)


def add_telemetry(app: Flask, telemetry: Telemetry) -> None:
    """Start a fresh log context before every request; count and log it afterwards."""

    def begin() -> None:
        structlog.contextvars.clear_contextvars()
        g.started = time.perf_counter()

    def end(response: Response) -> Response:
        seconds = time.perf_counter() - g.started
        endpoint = request.endpoint or "unknown"
        telemetry.observe(request.method, endpoint, response.status_code, seconds)
        log = get_logger(__name__)
        # Polls come by the thousand: what changes something or fails is worth a line by default.
        quiet = request.method in ("GET", "HEAD") and response.status_code < 500
        (log.debug if quiet else log.info)(
            "request",
            method=request.method,
            path=request.path[:200],
            status=response.status_code,
            milliseconds=round(seconds * 1000, 2),
        )
        return response

    app.before_request(begin)
    app.after_request(end)
