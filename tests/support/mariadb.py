"""A real MariaDB server for tests: its own directory, a free loopback port, gone afterwards."""

from __future__ import annotations

import ctypes
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from types import TracebackType

import pymysql

HOW_TO_INSTALL = (
    "these tests need a real MariaDB server: `apt-get install mariadb-server` "
    "(looked for {name} in PATH and in /usr/sbin)"
)
USER, PASSWORD = "backtest", "s3cret-of-the-test"

# Small and unsafe, as befits data that nobody wants back; the packet is the smallest default that
# any supported server has, so that every test also is one of the size of our rows.
_OPTIONS = (
    "--skip-name-resolve",
    "--bind-address=127.0.0.1",
    "--max-allowed-packet=1M",
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=16M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-flush-method=nosync",
    "--performance-schema=off",
    "--skip-log-bin",
    "--max-connections=50",
    "--key-buffer-size=64K",
    "--aria-pagecache-buffer-size=1M",
)
_START_SECONDS = 60


class MariaDbMissing(AssertionError):
    """The server is not installed; a test that needs it fails and says what to do."""


def find_program(name: str) -> str:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise MariaDbMissing(HOW_TO_INSTALL.format(name=name))
    return found


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


class MariaDbServer:
    """Context manager around one server process; `create_database` gives fresh databases."""

    def __init__(self, *options: str, directory: Path | None = None) -> None:
        self._options = options
        # Not pytest's tmp_path: a UNIX socket's path must stay below 108 bytes.
        self._home = Path(tempfile.mkdtemp(prefix="mdb-", dir=directory))
        # One of its own: a server that starts removes what looks temporary, others' tables too.
        (self._home / "tmp").mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> MariaDbServer:
        try:
            self._install()
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def _install(self) -> None:
        done = subprocess.run(
            [
                find_program("mariadb-install-db"),
                "--no-defaults",
                f"--user={getpass.getuser()}",
                f"--datadir={self._home / 'data'}",
                f"--tmpdir={self._home / 'tmp'}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
                "--innodb-log-file-size=16M",
                "--innodb-flush-log-at-trx-commit=0",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (self._home / "init.sql").write_text(
            f"CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON *.* TO '{USER}'@'127.0.0.1' WITH GRANT OPTION;\n"
        )

    def start(self) -> None:
        """Start the process (again) on a free port, or on the port it had."""
        self.port = self.port or find_free_port()
        log = self._home / "server.log"
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                [
                    find_program("mariadbd"),
                    "--no-defaults",
                    f"--user={getpass.getuser()}",
                    f"--datadir={self._home / 'data'}",
                    f"--tmpdir={self._home / 'tmp'}",
                    f"--socket={self._home / 's'}",
                    f"--pid-file={self._home / 'pid'}",
                    f"--init-file={self._home / 'init.sql'}",
                    f"--port={self.port}",
                    *_OPTIONS,
                    *self._options,
                ],
                stdout=sink,
                stderr=sink,
                preexec_fn=_die_with_parent,
            )
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, log.read_text(errors="replace")
            try:
                self._execute("SELECT 1")
            except pymysql.err.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("MariaDB did not start:\n" + log.read_text(errors="replace"))

    def kill(self) -> None:
        """End the process at once.

        Commits of the last second are lost with it, unless the server was started with
        ``--innodb-flush-log-at-trx-commit=2``, as a test of durability must.
        """
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def pause(self) -> None:
        """Let it accept connections, by its kernel's backlog, and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _remove(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self._home, ignore_errors=True)

    def execute(self, statement: str) -> None:
        """Execute a statement as a user with every right."""
        self._execute(statement)

    def create_plain_user(self, url: str) -> str:
        """Create a user with rights on one database alone, and return its URL of it."""
        user = "platform"
        self._execute(f"CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
        self._execute(f"GRANT ALL ON {url.rpartition('/')[2]}.* TO '{user}'@'127.0.0.1'")
        return url.replace(f"//{USER}:", f"//{user}:")

    def count(self, variable: str) -> int:
        """Return one of the server's status counters."""
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE %s", (variable,))
            return int(cursor.fetchone()[1])

    def kill_connections(self, user: str) -> int:
        """Cut whatever connections a user has now, in the middle of whatever they do."""
        n_killed = 0
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE user = %s", (user,))
            for (number,) in cursor.fetchall():
                try:
                    cursor.execute("KILL CONNECTION %s", (number,))
                    n_killed += 1
                except pymysql.err.MySQLError:  # it went by itself
                    continue
        return n_killed

    def hold_locks(self, url: str, seconds: float) -> None:
        """Lock every row of runs and of chunks for so long."""
        with self._connect(url) as connection, connection.cursor() as cursor:
            connection.begin()
            cursor.execute("SELECT idx FROM sweep_chunks FOR UPDATE")
            cursor.execute("SELECT id FROM runs FOR UPDATE")
            time.sleep(seconds)
            connection.rollback()

    def lock_in_reverse(self, url: str, seconds: float) -> int:
        """Lock chunks before their sweep, over and over, where everybody else begins with the
        sweep; return how often."""
        end = time.monotonic() + seconds
        n_held = 0
        with self._connect(url) as connection, connection.cursor() as cursor:
            while time.monotonic() < end:
                try:
                    connection.begin()
                    cursor.execute("SELECT idx FROM sweep_chunks WHERE state <> 'done' FOR UPDATE")
                    cursor.execute("SELECT id FROM sweeps FOR UPDATE")
                    n_held += 1
                except pymysql.err.OperationalError:  # this side was chosen to lose
                    continue
                finally:
                    connection.rollback()
                time.sleep(0.02)
        return n_held

    def _connect(self, url: str = "") -> pymysql.Connection:
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            password=PASSWORD,
            database=url.rpartition("/")[2] or None,
            connect_timeout=5,
        )

    def _execute(self, statement: str) -> None:
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def build_url(self, name: str) -> str:
        return f"mysql+pymysql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def create_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return self.build_url(name)

    def drop_database(self, url: str) -> None:
        self._execute(f"DROP DATABASE {url.rpartition('/')[2]}")
