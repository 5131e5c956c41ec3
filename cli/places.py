"""Where datasets and runs live: on a server, or in a database reached directly.

Commands speak to one of two classes with the same methods, so that they exist once.
"""

from __future__ import annotations

import getpass
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from backtest.errors import InputError
from cli.client import PlatformClient
from cli.state import DEFAULT_STATE_DIR, StateDir
from tasks.settings import Settings, load_settings

if TYPE_CHECKING:
    from storage.access import Scope
    from storage.store import Store
    from storage.sweep_records import SweepRecord

_API = "/api/v1"
_REMEDIES = {
    "pause": "only a sweep that is going on can be paused",
    "resume": "only a paused sweep can be resumed",
    "cancel": "nothing to cancel",
    "retry": "only a sweep that failed can be retried",
}


class Place(Protocol):
    """What the commands need of a server or a database; records are plain dicts."""

    def list_datasets(self) -> list[dict[str, Any]]:
        """Return the newest version of every symbol."""
        ...

    def add_dataset(self, path: Path, symbol: str, date_format: str | None) -> dict[str, Any]:
        """Store a bar file under a symbol."""
        ...

    def patch_dataset(self, ref: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change a dataset's symbol or tags."""
        ...

    def remove_dataset(self, ref: str) -> None:
        """Forget a dataset that no run stands on."""
        ...

    def list_runs(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return runs, newest first."""
        ...

    def show_run(self, run_id: str) -> dict[str, Any]:
        """Return one run."""
        ...

    def load_report(self, run_id: str) -> str:
        """Return a result as one HTML page."""
        ...

    def cancel_run(self, run_id: str) -> None:
        """Cancel a run that is not done."""
        ...

    def delete_run(self, run_id: str) -> None:
        """Delete a run and its result."""
        ...

    def list_sweeps(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return sweeps, newest first."""
        ...

    def show_sweep(self, sweep_id: str) -> dict[str, Any]:
        """Return one sweep."""
        ...

    def control_sweep(self, sweep_id: str, action: str) -> str:
        """Pause, resume, cancel or retry a sweep; return its state."""
        ...

    def delete_sweep(self, sweep_id: str) -> None:
        """Delete a sweep and its results."""
        ...

    def create_token(self, name: str, scope: Scope, expires_days: int | None) -> dict[str, Any]:
        """Make a token; its secret is under ``token``, and nowhere else."""
        ...

    def list_tokens(self) -> list[dict[str, Any]]:
        """Return all tokens, oldest first."""
        ...

    def revoke_token(self, ref: str) -> dict[str, Any]:
        """Revoke a token by id or name."""
        ...

    def list_audit(self, limit: int) -> list[dict[str, Any]]:
        """Return what was changed last, newest first."""
        ...


class ServerPlace:
    """Datasets and runs of a platform, over HTTP."""

    def __init__(self, client: PlatformClient) -> None:
        self._client = client

    def list_datasets(self) -> list[dict[str, Any]]:
        """Return the newest version of every symbol."""
        return list(self._client.call("GET", f"{_API}/datasets")["datasets"])

    def add_dataset(self, path: Path, symbol: str, date_format: str | None) -> dict[str, Any]:
        """Upload a bar file under a symbol."""
        return self._client.upload_dataset(path, symbol, date_format)

    def patch_dataset(self, ref: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change a dataset's symbol or tags."""
        path = f"{_API}/datasets/{quote(ref, safe='')}"
        return dict(self._client.call("PATCH", path, json=dict(changes)))

    def remove_dataset(self, ref: str) -> None:
        """Forget a dataset that no run stands on."""
        self._client.call("DELETE", f"{_API}/datasets/{quote(ref, safe='')}")

    def list_runs(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return runs, newest first."""
        return list(self._client.call("GET", f"{_API}/runs", params=dict(query))["runs"])

    def show_run(self, run_id: str) -> dict[str, Any]:
        """Return one run."""
        return dict(self._client.call("GET", f"{_API}/runs/{quote(run_id, safe='')}"))

    def load_report(self, run_id: str) -> str:
        """Return a result as one HTML page."""
        page = io.BytesIO()
        self._client.download(f"{_API}/runs/{quote(run_id, safe='')}/report.html", page)
        return page.getvalue().decode()

    def cancel_run(self, run_id: str) -> None:
        """Cancel a run that is not done."""
        self._client.call("POST", f"{_API}/runs/{quote(run_id, safe='')}/cancel")

    def delete_run(self, run_id: str) -> None:
        """Delete a run and its result."""
        self._client.call("DELETE", f"{_API}/runs/{quote(run_id, safe='')}")

    def list_sweeps(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return sweeps, newest first."""
        return list(self._client.call("GET", f"{_API}/sweeps", params=dict(query))["sweeps"])

    def show_sweep(self, sweep_id: str) -> dict[str, Any]:
        """Return one sweep."""
        return dict(self._client.call("GET", f"{_API}/sweeps/{quote(sweep_id, safe='')}"))

    def control_sweep(self, sweep_id: str, action: str) -> str:
        """Pause, resume, cancel or retry a sweep; return its state."""
        path = f"{_API}/sweeps/{quote(sweep_id, safe='')}/{action}"
        return str(self._client.call("POST", path)["state"])

    def delete_sweep(self, sweep_id: str) -> None:
        """Delete a sweep and its results."""
        self._client.call("DELETE", f"{_API}/sweeps/{quote(sweep_id, safe='')}")

    def create_token(self, name: str, scope: Scope, expires_days: int | None) -> dict[str, Any]:
        """Make a token; its secret is under ``token``, and nowhere else."""
        body = {"name": name, "scope": scope, "expires_days": expires_days}
        return dict(self._client.call("POST", f"{_API}/tokens", json=body))

    def list_tokens(self) -> list[dict[str, Any]]:
        """Return all tokens, oldest first."""
        return list(self._client.call("GET", f"{_API}/tokens")["tokens"])

    def revoke_token(self, ref: str) -> dict[str, Any]:
        """Revoke a token by id or name."""
        return dict(self._client.call("DELETE", f"{_API}/tokens/{quote(ref, safe='')}"))

    def list_audit(self, limit: int) -> list[dict[str, Any]]:
        """Return what was changed last, newest first."""
        return list(self._client.call("GET", f"{_API}/audit", params={"limit": limit})["events"])


class DatabasePlace:
    """Datasets and runs of a database, without any server."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list_datasets(self) -> list[dict[str, Any]]:
        """Return the newest version of every symbol."""
        return [_plain(record) for record in self._store.datasets.list()]

    def add_dataset(self, path: Path, symbol: str, date_format: str | None) -> dict[str, Any]:
        """Store a bar file under a symbol."""
        from storage.ingest import parse_local_file

        parsed = parse_local_file(path, date_format)
        return _plain(self._store.datasets.add(parsed, symbol, path.name))

    def patch_dataset(self, ref: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change a dataset's symbol or tags."""
        from storage.errors import SymbolTaken

        try:
            record = self._store.datasets.patch(ref, **changes)
        except SymbolTaken as error:
            raise InputError.of("symbol", changes["symbol"], f"{error}; choose another") from None
        if record is None:
            raise _unknown_dataset(ref)
        return _plain(record)

    def remove_dataset(self, ref: str) -> None:
        """Forget a dataset that no run stands on."""
        from storage.errors import DatasetInUse

        try:
            is_removed = self._store.datasets.remove(ref)
        except DatasetInUse as error:
            raise InputError.of("dataset", ref, f"{error}; delete them first") from None
        if not is_removed:
            raise _unknown_dataset(ref)

    def list_runs(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return runs, newest first."""
        from storage.records import RunFilter

        return [_plain(record) for record in self._store.runs.list(RunFilter(**query)).items]

    def show_run(self, run_id: str) -> dict[str, Any]:
        """Return one run."""
        record = self._store.runs.get(run_id)
        if record is None:
            raise _unknown_run(run_id)
        return _plain(record)

    def load_report(self, run_id: str) -> str:
        """Return a result as one HTML page."""
        from adapters.report import REPORT_COLUMNS, render_report

        state = self.show_run(run_id)["state"]
        runs = self._store.runs
        summary, trades = runs.load_summary(run_id), runs.load_trades(run_id)
        columns = runs.load_columns(run_id, REPORT_COLUMNS)
        if summary is None or trades is None or columns is None:
            raise InputError.of("run_id", run_id, f"is {state} and has no result to report")
        return render_report(summary, trades, columns, run_id)

    def cancel_run(self, run_id: str) -> None:
        """Cancel a run that is not done."""
        state = self.show_run(run_id)["state"]
        if not self._store.runs.cancel(run_id):
            raise InputError.of("run_id", run_id, f"is already {state}; nothing to cancel")

    def delete_run(self, run_id: str) -> None:
        """Delete a run and its result."""
        if not self._store.runs.delete(run_id):
            raise _unknown_run(run_id)

    def list_sweeps(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return sweeps, newest first."""
        from storage.sweep_records import SweepFilter

        page = self._store.sweeps.list(SweepFilter(**query))
        return [self._describe_sweep(record) for record in page.items]

    def show_sweep(self, sweep_id: str) -> dict[str, Any]:
        """Return one sweep."""
        record = self._store.sweeps.get(sweep_id)
        if record is None:
            raise _unknown_sweep(sweep_id)
        return self._describe_sweep(record)

    def _describe_sweep(self, record: SweepRecord) -> dict[str, Any]:
        progress = self._store.sweeps.progress(record.sweep_id)
        if progress is None:
            raise _unknown_sweep(record.sweep_id)
        return {
            **_plain(record),
            "seconds": record.seconds,
            "progress": progress.fraction,
            "n_done": progress.n_combinations_done,
            "chunks": {
                "total": progress.n_chunks,
                "done": progress.n_done,
                "failed": progress.n_failed,
                "queued": progress.n_queued,
                "running": progress.n_running,
                "cancelled": progress.n_cancelled,
            },
            "eta_seconds": progress.eta_seconds,
        }

    def control_sweep(self, sweep_id: str, action: str) -> str:
        """Pause, resume, cancel or retry a sweep; return its state."""
        from tasks.sweeps import cancel_sweep, pause_sweep, resume_sweep, retry_sweep

        changes = {
            "pause": pause_sweep,
            "resume": resume_sweep,
            "cancel": cancel_sweep,
            "retry": retry_sweep,
        }
        before = self.show_sweep(sweep_id)["state"]
        if not changes[action](self._store, load_settings(), sweep_id):
            message = f"is {before}; {_REMEDIES[action]}"
            raise InputError.of("sweep_id", sweep_id, message)
        return str(self.show_sweep(sweep_id)["state"])

    def delete_sweep(self, sweep_id: str) -> None:
        """Delete a sweep and its results."""
        if not self._store.sweeps.delete(sweep_id):
            raise _unknown_sweep(sweep_id)

    def create_token(self, name: str, scope: Scope, expires_days: int | None) -> dict[str, Any]:
        """Make a token; its secret is under ``token``, and nowhere else."""
        record, secret = self._store.tokens.create(name, scope, expires_days)
        self._note("token create", record.id)
        return {**_plain(record), "token": secret}

    def list_tokens(self) -> list[dict[str, Any]]:
        """Return all tokens, oldest first."""
        return [_plain(record) for record in self._store.tokens.list()]

    def revoke_token(self, ref: str) -> dict[str, Any]:
        """Revoke a token by id or name."""
        record = self._store.tokens.revoke(ref)
        if record is None:
            raise InputError.of("TOKEN", ref, "no such live token; `token list` shows all")
        self._note("token revoke", record.id)
        return _plain(record)

    def list_audit(self, limit: int) -> list[dict[str, Any]]:
        """Return what was changed last, newest first."""
        return [_plain(event) for event in self._store.audit.list(limit)]

    def _note(self, action: str, object_id: str) -> None:
        # Whoever holds the database's password is known to the machine only.
        self._store.audit.add(f"command line of {getpass.getuser()}", action, object_id)


@contextmanager
def open_place(server: str | None) -> Iterator[Place]:
    """Open the server if one is named, else the database; see `find_database_url`."""
    if server:
        with PlatformClient(server) as client:
            yield ServerPlace(client)
        return
    with open_store() as store:
        yield DatabasePlace(store)


@contextmanager
def open_store() -> Iterator[Store]:
    """Open the database of `find_database_url` with its schema checked."""
    from storage.database import create_database
    from storage.schema import check_schema
    from storage.store import Store

    database = create_database(find_database_url(load_settings()))
    try:
        check_schema(database)
        yield Store(database)
    finally:
        database.dispose()


def find_database_url(settings: Settings) -> str:
    """Return the database of the environment, else that of the local state directory.

    Raises
    ------
    InputError
        If there is neither.
    """
    if settings.database_url:
        return settings.database_url
    if not os.path.isdir(DEFAULT_STATE_DIR):
        raise InputError.of(
            "--server",
            None,
            f"no database: name a --server, set STOCK_BACKTEST_DATABASE_URL, or stand where "
            f"`stock-backtest up` keeps its {DEFAULT_STATE_DIR}",
        )
    return StateDir(Path(DEFAULT_STATE_DIR)).database_url


def _plain(record: Any) -> dict[str, Any]:
    return {
        name: value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in asdict(record).items()
    }


def _unknown_dataset(ref: str) -> InputError:
    return InputError.of("dataset", ref, "no such dataset; `dataset list` shows all")


def _unknown_run(run_id: str) -> InputError:
    return InputError.of("run_id", run_id, "no such run; `run list` shows all")


def _unknown_sweep(sweep_id: str) -> InputError:
    return InputError.of("sweep_id", sweep_id, "no such sweep; `sweep-run list` shows all")
