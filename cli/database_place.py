"""Datasets and runs of a database that is reached directly; see `cli.places`."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtest.errors import InputError
from tasks.settings import load_settings

if TYPE_CHECKING:
    from storage.access import Scope
    from storage.store import Store
    from storage.sweep_records import SweepRecord

_REMEDIES = {
    "pause": "only a sweep that is going on can be paused",
    "resume": "only a paused sweep can be resumed",
    "cancel": "nothing to cancel",
    "retry": "only a sweep that failed can be retried",
}


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
