"""Whether what the web tier depends on answers."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Engine

from storage.errors import SchemaError, StorageUnavailable
from storage.schema import check_schema
from tasks.executors import ExecutorHealth

Status = Literal["ok", "degraded", "down"]


def check_database(engine: Engine) -> str:
    """Return ``ok``, ``unreachable``, or what is wrong with the schema."""
    try:
        check_schema(engine)
    except StorageUnavailable:
        return "unreachable"
    except SchemaError as error:
        return str(error)
    return "ok"


def judge(database: str, executor: ExecutorHealth) -> Status:
    """Return the state of the whole: without workers runs are accepted, but wait."""
    if database != "ok" or executor.broker == "unreachable":
        return "down"
    return "degraded" if executor.workers == 0 or executor.reasons else "ok"


def list_reasons(database: str, executor: ExecutorHealth) -> list[str]:
    """Return a sentence for everything that keeps the state from being ok."""
    reasons = []
    if database == "unreachable":
        reasons.append(
            "the database does not answer: nothing can be stored or read; check that the server "
            "runs and STOCK_BACKTEST_DATABASE_URL"
        )
    elif database != "ok":
        reasons.append(database)
    if executor.broker == "unreachable":
        reasons.append(
            "the broker does not answer: what is submitted is stored, and starts once it is back; "
            "check that the server runs and STOCK_BACKTEST_BROKER_URL"
        )
    if executor.workers == 0:
        reasons.append(
            "no worker answers: what is submitted waits; start one with `stock-backtest worker`"
        )
    return [*reasons, *executor.reasons]
