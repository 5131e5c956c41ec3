"""Column types and one SQL function that mean the same on SQLite and on MySQL."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, LargeBinary, String, Text, literal
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

# SQLite numbers rows by itself only for a column declared exactly INTEGER PRIMARY KEY.
RowNumber: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")
# 16 MiB, where TEXT and BLOB of MySQL end at 64 KiB.
LongText: TypeEngine[str] = Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
Blob: TypeEngine[bytes] = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql")

Sha256 = String(64)
Uuid = String(36)


class UtcDateTime(TypeDecorator[datetime]):
    """An instant with microseconds; aware in Python, UTC without a zone in the database."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose DATETIME(6) on MySQL, whose plain DATETIME drops the fraction."""
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Drop the zone after moving to UTC."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Say that the instant is UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class JsonText(TypeDecorator[Any]):
    """A small JSON document as text.

    Not the JSON type of the database: MySQL sorts its keys, so a spec would come back in another
    order than it was written in. NaN is refused, as it is no JSON; None is SQL NULL.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose a text type that a long document fits into."""
        return dialect.type_descriptor(mysql.MEDIUMTEXT() if dialect.name == "mysql" else Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Serialise."""
        if value is None:
            return None
        return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Parse."""
        return None if value is None else json.loads(value)


class _DatabaseTime(FunctionElement[datetime]):
    """See `database_time`."""

    type = UtcDateTime()
    inherit_cache = True


def database_time(offset_seconds: float = 0.0) -> FunctionElement[datetime]:
    """Return the SQL expression for the database's own clock, shifted by `offset_seconds`.

    Leases are granted and judged by this clock only, so that machines whose clocks disagree by
    minutes still agree on which lease has ended. Microseconds on MySQL; SQLite's clock ticks in
    milliseconds and is written with six digits, so that text compares as time.
    """
    microseconds = round(offset_seconds * 1_000_000)  # [s] * [us / s] = [us]
    return _DatabaseTime(literal(microseconds, BigInteger()))


@compiles(_DatabaseTime, "sqlite")
def _render_sqlite(element: _DatabaseTime, compiler: SQLCompiler, **kwargs: Any) -> str:
    shift = compiler.process(element.clauses, **kwargs)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', ({shift} / 1000000.0) || ' seconds')"


@compiles(_DatabaseTime, "mysql")
def _render_mysql(element: _DatabaseTime, compiler: SQLCompiler, **kwargs: Any) -> str:
    shift = compiler.process(element.clauses, **kwargs)
    return f"TIMESTAMPADD(MICROSECOND, {shift}, UTC_TIMESTAMP(6))"
