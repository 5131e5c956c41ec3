"""Where datasets and runs live: on a server, or in a database reached directly.

Commands speak to one of two classes with the same methods, so that they exist once.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from backtest.errors import InputError
from cli.client import PlatformClient
from cli.database_place import DatabasePlace
from cli.state import DEFAULT_STATE_DIR, StateDir
from tasks.settings import Settings, load_settings

if TYPE_CHECKING:
    from storage.access import Scope
    from storage.store import Store

_API = "/api/v1"


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
