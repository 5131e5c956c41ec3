"""What a run leaves behind: summary, trades, columns, charts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select, update
from sqlalchemy import delete as delete_from

from storage.blobs import (
    insert_blobs,
    load_blobs,
    pack_array,
    pack_json,
    unpack_array,
    unpack_json,
)
from storage.models import SORTABLE_METRICS, run_artifacts, runs
from storage.repository import Repository
from storage.run_rows import build_ending, match_holder

if TYPE_CHECKING:
    import numpy as np

_SUMMARY, _TRADES, _CHARTS, _COLUMNS = "summary", "trades", "charts", "columns"


class RunResults(Repository):
    """Writing and reading results; see `Repository`."""

    def finish(
        self,
        run_id: str,
        attempt: int,
        summary: Mapping[str, Any],
        trades: Iterable[Mapping[str, Any]],
        columns: Mapping[str, np.ndarray[Any, Any]],
    ) -> bool:
        """Store the whole result and end the run as succeeded, in one transaction.

        Parameters
        ----------
        attempt : int
            Token of the claim.
        summary : mapping
            JSON-safe; ``summary["metrics"]`` also becomes the run's `metrics`.
        columns : mapping of name to array
            Of any fixed-size type; stored bit by bit, NaN included.

        Returns
        -------
        bool
            False if the token is stale: nothing was stored. True again if this very result was
            stored before, so that a COMMIT whose answer was lost can be repeated.
        """
        blobs = _pack_result(summary, trades, columns)  # before any lock is taken
        metrics = {name: _as_json(value) for name, value in summary["metrics"].items()}
        values = {
            **build_ending("succeeded"),
            "progress": 1.0,
            "stage": "",
            "metrics": metrics,
            **{name: metrics.get(name) for name in SORTABLE_METRICS},
        }

        def work(connection: Connection) -> bool:
            ended = connection.execute(
                update(runs).where(*match_holder(run_id, attempt)).values(**values)
            )
            if ended.rowcount == 0:
                return _is_finished(connection, run_id, attempt)
            insert_blobs(connection, run_artifacts, {"run_id": run_id}, blobs)
            return True

        return self._write_again(work)

    def save_charts(self, run_id: str, attempt: int, charts: Mapping[str, str]) -> bool:
        """Store the charts of a run that this token finished; False if it did not."""
        blobs = {_CHARTS: pack_json(dict(charts))}
        statement = (
            update(runs)
            .where(runs.c.run_id == run_id, runs.c.attempt == attempt)
            .where(runs.c.state == "succeeded")
            .values(has_charts=True, version=runs.c.version + 1)
        )

        def work(connection: Connection) -> bool:
            if connection.execute(statement).rowcount == 0:
                return False
            old = run_artifacts.c.run_id == run_id, run_artifacts.c.kind == _CHARTS
            connection.execute(delete_from(run_artifacts).where(*old))
            insert_blobs(connection, run_artifacts, {"run_id": run_id}, blobs)
            return True

        return self._write_again(work)

    def load_summary(self, run_id: str) -> dict[str, Any] | None:
        """Return the summary, or None if the run has no result."""
        summary: dict[str, Any] | None = self._load_json(run_id, _SUMMARY)
        return summary

    def load_trades(self, run_id: str) -> list[dict[str, Any]] | None:
        """Return the trades, or None if the run has no result."""
        trades: list[dict[str, Any]] | None = self._load_json(run_id, _TRADES)
        return trades

    def load_charts(self, run_id: str) -> dict[str, str] | None:
        """Return the charts as data URLs, or None if there are none yet."""
        charts: dict[str, str] | None = self._load_json(run_id, _CHARTS)
        return charts

    def load_columns(
        self, run_id: str, names: Iterable[str] | None = None
    ) -> dict[str, np.ndarray[Any, Any]] | None:
        """Return columns as read-only arrays, in the order in which they were stored.

        Parameters
        ----------
        names : iterable of str or None
            Columns to read; unknown names are left out; None reads all.

        Returns
        -------
        dict or None
            None if the run has no result.
        """
        wanted = None if names is None else set(names)

        def work(connection: Connection) -> dict[str, np.ndarray[Any, Any]] | None:
            owner = {"run_id": run_id}
            found = load_blobs(connection, run_artifacts, owner, [_COLUMNS])
            if not found:
                return None
            listed = {
                _column_kind(number): item
                for number, item in enumerate(unpack_json(found[_COLUMNS]))
                if wanted is None or item["name"] in wanted
            }
            blobs = load_blobs(connection, run_artifacts, owner, listed)
            return {
                item["name"]: unpack_array(blobs[kind], item["dtype"])
                for kind, item in listed.items()
            }

        return self._read(work)

    def _load_json(self, run_id: str, kind: str) -> Any:
        found = self._read(
            lambda connection: load_blobs(connection, run_artifacts, {"run_id": run_id}, [kind])
        )
        return unpack_json(found[kind]) if found else None


def _pack_result(
    summary: Mapping[str, Any],
    trades: Iterable[Mapping[str, Any]],
    columns: Mapping[str, np.ndarray[Any, Any]],
) -> dict[str, bytes]:
    # Columns are numbered, so that an indicator's name may be as long as it likes.
    listing = [
        {"name": name, "dtype": values.dtype.newbyteorder("<").str}
        for name, values in columns.items()
    ]
    return {
        _SUMMARY: pack_json(dict(summary)),
        _TRADES: pack_json([dict(trade) for trade in trades]),
        _COLUMNS: pack_json(listing),
        **{
            _column_kind(number): pack_array(values)
            for number, values in enumerate(columns.values())
        },
    }


def _column_kind(number: int) -> str:
    return f"column:{number}"


def _is_finished(connection: Connection, run_id: str, attempt: int) -> bool:
    query = select(runs.c.id).where(
        runs.c.run_id == run_id, runs.c.attempt == attempt, runs.c.state == "succeeded"
    )
    return connection.scalar(query) is not None


def _as_json(value: Any) -> Any:
    """Return null for what neither JSON nor a sort column can hold: an undefined metric."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
