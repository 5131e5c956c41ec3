"""The environment of a pod that computes a run."""

from __future__ import annotations

import os

from tests.support.web import Web


def build_environ(web: Web, **more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("STOCK_BACKTEST_", "KUBE"))}
    return {
        **clean,
        "STOCK_BACKTEST_DATABASE_URL": web.settings.database_url,
        "STOCK_BACKTEST_EXECUTOR": "kubernetes",
        "STOCK_BACKTEST_LOG_FORMAT": "json",
        "STOCK_BACKTEST_DATABASE_PATIENCE_SECONDS": "0",
        **more,
    }
