"""The web tier writes nothing to the local file system."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.web import build_csv, build_web

# SQLite is a local file, so the writes of the *database* are kept apart: the server under test
# talks to it, but may create no file of its own. An audit hook sees every open, by whatever module.
SCRIPT = """
import io, json, os, sys

allowed = sys.argv[1]
written = []

def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (
            isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        )
        if writes and isinstance(path, (str, bytes)) and os.fsdecode(path) != "/dev/null":
            written.append(os.fsdecode(path))
    elif event in ("os.mkdir", "os.rename", "os.symlink", "os.link", "shutil.copyfile",
                   "tempfile.mkstemp", "tempfile.mkdtemp"):
        written.append(event)

sys.dont_write_bytecode = True
sys.addaudithook(watch)
from tasks.settings import load_settings
from webapp.app import create_app

client = create_app(load_settings()).test_client()
csv = open(sys.argv[2], "rb").read()
answers = [
    client.get("/"),
    client.get("/api/v1/rules"),
    client.post("/api/v1/runs", json={"dataset": "WALK", "rule": "rsi"}),
    client.post("/api/v1/datasets", data={"symbol": "UP", "file": (io.BytesIO(csv), "a.csv")}),
    client.post("/run_backtest", data={"dataset": "UP", "rule": "rsi"}),
    client.get("/health"),
    client.get("/metrics"),
]
done = client.get(sys.argv[3])
exported = [client.get(f"{sys.argv[3]}/{name}") for name in
            ("result", "charts", "view", "series", "export/equity.csv", "export/trades.json")]
print(json.dumps({
    "statuses": [item.status_code for item in (*answers, done, *exported)],
    "written": written,
}))
"""


def run_script(tmp_path: Path, *, limit: bool) -> dict[str, object]:
    web = build_web(tmp_path, executor="inline")
    run_id = web.client.post("/api/v1/runs", json={"dataset": "WALK", "rule": "macd"}).json[
        "run_id"
    ]
    web.store.engine.dispose()
    upload = tmp_path / "upload.csv"
    upload.write_bytes(build_csv(3000))
    environ = {
        **os.environ,
        "STOCK_BACKTEST_DATABASE_URL": web.settings.database_url,
        "STOCK_BACKTEST_BROKER_URL": "redis://127.0.0.1:1/0",
        "TMPDIR": "/nonexistent",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(upload), f"/api/v1/runs/{run_id}"],
        env=environ,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_no_request_opens_a_file_for_writing(tmp_path: Path) -> None:
    seen = run_script(tmp_path, limit=False)
    assert seen["statuses"] == [200, 200, 202, 201, 202, 503, 200, 200, *[200] * 6]
    assert seen["written"] == []
