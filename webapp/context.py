"""What a request handler may reach: one frozen record per application, no module-level state."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import cast

from flask import Flask, current_app
from sqlalchemy import Engine

from storage.store import Store
from tasks.settings import Settings
from webapp.bar_budget import BarBudget
from webapp.shared_check import SharedCheck
from webapp.spec_cache import SpecCache
from webapp.telemetry import Telemetry
from webapp.trade_cache import TradeCache

_KEY = "stock_backtest"
# Each holds a thread for as long as its client reads, and a child process.
_MOST_EXPORTING = 2
# Each holds a thread for as long as its client sends, and a child process that may take gigabytes.
_MOST_UPLOADING = 4


@dataclass(frozen=True, slots=True)
class WebContext:
    """Everything an application instance owns.

    Parameters
    ----------
    settings : Settings
        As read from the environment when the application was built.
    engine : Engine
        Connections to the database.
    store : Store
        Repositories over it.
    telemetry : Telemetry
        Counters behind ``/metrics``.
    waiting : threading.BoundedSemaphore
        Taken by a request that holds its answer until a worker is done.
    exporting : threading.BoundedSemaphore
        Taken by an export for as long as it streams.
    uploading : threading.BoundedSemaphore
        Taken by an upload for as long as it arrives and is parsed.
    reading : BarBudget
        Taken by an answer for as long as it holds the columns or trades of a large result.
    specs : SpecCache
        Specifications of the sweeps last asked for.
    trades : TradeCache
        Trades of the results last looked at.
    health, readiness : SharedCheck
        Answers about what the web tier depends on.
    """

    settings: Settings
    engine: Engine
    store: Store
    telemetry: Telemetry
    waiting: threading.BoundedSemaphore = field(init=False)
    exporting: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(_MOST_EXPORTING)
    )
    uploading: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(_MOST_UPLOADING)
    )
    reading: BarBudget = field(default_factory=BarBudget)
    specs: SpecCache = field(default_factory=SpecCache)
    trades: TradeCache = field(default_factory=TradeCache)
    health: SharedCheck = field(default_factory=SharedCheck)
    readiness: SharedCheck = field(default_factory=SharedCheck)

    def __post_init__(self) -> None:
        """Leave a quarter of the threads, and one at least, to polls and probes."""
        most = self.settings.web_threads - max(1, self.settings.web_threads // 4)
        object.__setattr__(self, "waiting", threading.BoundedSemaphore(most))


def save_context(app: Flask, context: WebContext) -> None:
    """Attach `context` to `app`."""
    app.extensions[_KEY] = context


def get_context() -> WebContext:
    """Return the context of the application that serves the current request."""
    return cast(WebContext, current_app.extensions[_KEY])
