"""The web tier writes nothing to the local file system.

The database is MariaDB, behind a socket, as in production: with SQLite the file would be the
database's. Two nets are spread. The kernel refuses any byte written to a file by the process or
its children (RLIMIT_FSIZE of 0), and an audit hook notes every attempt to create or open one.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.mariadb import MariaDbServer
from tests.support.web import build_csv, build_web, submit

SCRIPT = """
import io, json, os, sys

written = []

def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (
            isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if writes and isinstance(path, (str, bytes)) and os.fsdecode(path) != "/dev/null":
            written.append(os.fsdecode(path))
    elif event in ("os.mkdir", "os.rename", "os.symlink", "os.link", "tempfile.mkstemp",
                   "tempfile.mkdtemp"):
        written.append(event)

sys.dont_write_bytecode = True
sys.addaudithook(watch)
if sys.argv[1] == "write":  # does the net hold?
    try:
        with open(sys.argv[2], "w") as stream:
            stream.write("x")
    except OSError as error:
        print(json.dumps({"error": error.strerror, "written": written}))
    sys.exit()

from tasks.settings import load_settings
from webapp.app import create_app

client = create_app(load_settings()).test_client()
run = f"/api/v1/runs/{sys.argv[1]}"
csv = open(sys.argv[2], "rb").read()
answers = {
    "page": client.get("/"),
    "rules": client.get("/api/v1/rules"),
    "submit": client.post("/api/v1/runs", json={"dataset": "WALK", "rule": "rsi"}),
    "upload": client.post(
        "/api/v1/datasets", data={"symbol": "UP", "file": (io.BytesIO(csv), "a.csv")}
    ),
    "preview": client.post(
        "/api/v1/datasets?preview=1", data={"symbol": "UP", "file": (io.BytesIO(csv), "a.csv")}
    ),
    "tag": client.patch("/api/v1/datasets/UP", json={"tags": ["a"]}),
    "report": client.get("/api/v1/datasets/UP/report"),
    "closes": client.get("/api/v1/datasets/UP/series"),
    "form": client.post("/run_backtest", data={"dataset": "UP", "rule": "rsi"}),
    "preset": client.post("/api/strategies", json={"name": "p", "rule": "rsi"}),
    "poll": client.get(run),
    "metrics": client.get("/metrics"),
    **{
        name: client.get(f"{run}/{name}")
        for name in ("result", "charts", "view", "series", "trades", "export/equity.csv")
    },
    "sweep": client.post(
        "/api/v1/sweeps", json={"dataset": "WALK", "rule": "rsi", "space": {"window": "2:4"}}
    ),
    **{
        name: client.get(f"/api/v1/sweeps/{sys.argv[3]}/{name}")
        for name in ("ranking", "heatmap", "marginals", "export.csv", "export.parquet")
    },
}
statuses = {name: answer.status_code for name, answer in answers.items()}
print(json.dumps({"statuses": statuses, "written": written}))
"""


def refuse_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def run_script(environ: dict[str, str], *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        env={**os.environ, "TMPDIR": "/nonexistent", "PYTHONPATH": os.getcwd(), **environ},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=100,
        preexec_fn=refuse_files,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_everything_is_served_where_no_file_can_be_written(
    tmp_path: Path, mariadb_server: MariaDbServer
) -> None:
    web = build_web(tmp_path, url=mariadb_server.create_database(), executor="inline")
    run_id = submit(web, rule="macd", params={})
    body = {"dataset": "WALK", "rule": "rsi", "space": {"window": "3:5", "oversold": "20:30:5"}}
    sweep_id = web.client.post("/api/v1/sweeps", json=body).json["sweep_id"]
    web.store.engine.dispose()
    upload = tmp_path / "upload.csv"
    upload.write_bytes(build_csv(3000))  # 120 kB, more than any buffer on the way
    seen = run_script(
        {
            "STOCK_BACKTEST_DATABASE_URL": web.settings.database_url,
            "STOCK_BACKTEST_BROKER_URL": web.settings.broker_url,
        },
        run_id,
        str(upload),
        sweep_id,
    )
    accepted = {"submit": 202, "form": 202, "sweep": 202, "upload": 201, "preset": 201}
    assert seen["statuses"] == {name: accepted.get(name, 200) for name in seen["statuses"]}
    assert seen["written"] == []


def test_the_nets_of_this_test_hold(tmp_path: Path) -> None:
    path = str(tmp_path / "file.txt")
    assert run_script({}, "write", path) == {"error": "File too large", "written": [path]}
