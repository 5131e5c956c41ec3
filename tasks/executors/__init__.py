"""Executors: what gets accepted runs and sweeps done, chosen by ``STOCK_BACKTEST_EXECUTOR``.

``celery`` sends messages to workers, ``kubernetes`` creates Jobs, ``inline`` computes on the spot,
for tests and scripts. Nothing above this package knows which of them is in use.
"""

from __future__ import annotations

from functools import lru_cache

from tasks.executors.port import Executor, ExecutorHealth, ExecutorUnavailable, WorkKind
from tasks.settings import Settings

__all__ = [
    "Executor",
    "ExecutorHealth",
    "ExecutorUnavailable",
    "WorkKind",
    "check_executor",
    "get_executor",
]


@lru_cache(maxsize=8)
def get_executor(settings: Settings) -> Executor:
    """Return this process's executor for these settings; nothing is connected yet.

    Each is imported only where it is chosen: a Job must not wait for a broker's client, nor a web
    process carry a cluster's.

    Raises
    ------
    InputError
        If the settings lack what the executor needs.
    """
    if settings.executor == "inline":
        from tasks.executors.inline import InlineExecutor

        return InlineExecutor(settings)
    if settings.executor == "kubernetes":
        from tasks.executors.kubernetes import KubernetesExecutor

        return KubernetesExecutor(settings)
    from tasks.executors.celery import CeleryExecutor

    return CeleryExecutor(settings)


def check_executor(settings: Settings) -> None:
    """Refuse settings with which nothing could be executed from this process.

    Raises
    ------
    InputError
        Naming the setting and the remedy.
    """
    if settings.executor == "kubernetes":
        from tasks.executors.kubernetes import check_settings

        check_settings(settings)
