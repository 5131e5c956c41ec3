"""The state directory of `stock-backtest up`: everything it keeps, in one place to delete."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from pathlib import Path
from typing import Any

from backtest.errors import InputError

DEFAULT_STATE_DIR = ".stock-backtest"


class StateDir:
    """Paths, lock and secrets of one state directory.

    Parameters
    ----------
    path : Path
        Created with access for its owner only, as it holds the broker's password.

    Raises
    ------
    InputError
        If the directory cannot be created or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise InputError.of(
                "--state-dir", str(path), f"cannot be created ({error.strerror}); choose another"
            ) from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise InputError.of("--state-dir", str(path), "cannot be written; choose another")
        self._lock_fd: int | None = None

    @property
    def up_file(self) -> Path:
        """What runs where, while the platform is up."""
        return self.path / "up.json"

    @property
    def log_file(self) -> Path:
        """Lines of all processes."""
        return self.path / "platform.log"

    @property
    def broker_config_file(self) -> Path:
        """The broker's configuration, with its password."""
        return self.path / "broker.conf"

    @property
    def database_file(self) -> Path:
        """The SQLite database."""
        return self.path / "stock_backtest.db"

    @property
    def database_url(self) -> str:
        """URL of the SQLite database."""
        return f"sqlite:///{self.database_file}"

    @property
    def is_prepared(self) -> bool:
        """Whether the database has this version's schema and the demo data had their chance."""
        try:
            done = json.loads(self._prepared_file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return False
        return bool(done == list_migrations() and self.database_file.exists())

    @property
    def was_prepared_once(self) -> bool:
        """Whether some version prepared it: removed demo data do not come back."""
        return self._prepared_file.exists()

    def mark_prepared(self) -> None:
        """Note that the database is at this version's schema, so that the next start is quick."""
        self._write(self._prepared_file, json.dumps(list_migrations()))

    @property
    def _prepared_file(self) -> Path:
        return self.path / "prepared.json"

    def lock(self) -> None:
        """Take the directory for this process, until it ends by whatever means.

        Raises
        ------
        InputError
            If another platform runs on it.
        """
        lock_fd = os.open(self.path / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock_fd)
            page = (self.read_up_file() or {}).get("web_url", "starting")
            raise InputError.of(
                "--state-dir",
                str(self.path),
                f"a platform is already running on it ({page}); open that page, stop it, or choose "
                "another directory",
            ) from None
        self._lock_fd = lock_fd

    def unlock(self) -> None:
        """Give the directory back."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def load_secret(self, name: str) -> str:
        """Return a random secret that stays the same as long as the directory exists."""
        file = self.path / name
        if not file.exists():
            self._write(file, secrets.token_urlsafe(32))
        return file.read_text().strip()

    def read_up_file(self) -> dict[str, Any] | None:
        """Return what `write_up_file` wrote last, None if nothing runs."""
        try:
            content: dict[str, Any] = json.loads(self.up_file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return content

    def write_up_file(self, content: dict[str, Any]) -> None:
        """Replace ``up.json`` in one step, so that nobody reads half of it."""
        self._write(self.up_file, json.dumps(content, indent=2) + "\n")

    def write_broker_config(self, text: str) -> None:
        """Replace the broker's configuration."""
        self._write(self.broker_config_file, text)

    def _write(self, file: Path, text: str) -> None:
        fresh = file.with_name(file.name + ".new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
        fresh.replace(file)


def list_migrations() -> list[str]:
    """Return the names of this version's migrations; they stand for its schema."""
    folder = Path(__file__).resolve().parents[1] / "storage" / "migrations" / "versions"
    return sorted(file.stem for file in folder.glob("[0-9]*.py"))
