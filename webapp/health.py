"""Whether what the web tier depends on answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kombu.exceptions import KombuError
from redis.exceptions import RedisError
from sqlalchemy import Engine

from storage.errors import SchemaError, StorageUnavailable
from storage.schema import check_schema
from tasks.messages import count_workers as ask_workers
from tasks.settings import Settings

# Idle workers answer the first ping; busy ones may need the second, longer one.
_PING_SECONDS = (0.5, 1.0)

Status = Literal["ok", "degraded", "down"]


@dataclass(frozen=True, slots=True)
class BrokerHealth:
    """What the broker says.

    Parameters
    ----------
    text : str
        ``ok``, ``unused`` or ``unreachable``.
    workers : int or None
        Workers that answered a ping; None if nobody could be asked.
    """

    text: str
    workers: int | None


def check_database(engine: Engine) -> str:
    """Return ``ok``, ``unreachable``, or what is wrong with the schema."""
    try:
        check_schema(engine)
    except StorageUnavailable:
        return "unreachable"
    except SchemaError as error:
        return str(error)
    return "ok"


def check_broker(settings: Settings, *, count_workers: bool) -> BrokerHealth:
    """Ask the broker, and through it the workers.

    Parameters
    ----------
    count_workers : bool
        Whether to wait for workers to answer; this takes half a second, longer if none does.
    """
    if settings.executor == "inline":
        return BrokerHealth("unused", None)
    try:
        workers = ask_workers(settings, _PING_SECONDS if count_workers else ())
    except (KombuError, RedisError, OSError):
        return BrokerHealth("unreachable", None)
    return BrokerHealth("ok", workers if count_workers else None)


def judge(database: str, broker: BrokerHealth) -> Status:
    """Return the state of the whole: without workers runs are accepted, but wait."""
    if database != "ok" or broker.text == "unreachable":
        return "down"
    return "degraded" if broker.workers == 0 else "ok"


def list_reasons(database: str, broker: BrokerHealth) -> list[str]:
    """Return a sentence for everything that keeps the state from being ok."""
    reasons = []
    if database == "unreachable":
        reasons.append(
            "the database does not answer: nothing can be stored or read; check that the server "
            "runs and STOCK_BACKTEST_DATABASE_URL"
        )
    elif database != "ok":
        reasons.append(database)
    if broker.text == "unreachable":
        reasons.append(
            "the broker does not answer: what is submitted is stored, and starts once it is back; "
            "check that the server runs and STOCK_BACKTEST_BROKER_URL"
        )
    if broker.workers == 0:
        reasons.append(
            "no worker answers: what is submitted waits; start one with `stock-backtest worker`"
        )
    return reasons
