"""`stock-backtest up`: one command, the whole product, and nothing left behind."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.platform import Platform, run_platform
from tests.support.processes import is_alive, wait_until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with run_platform(tmp_path_factory.mktemp("up") / 'a "state" of its own') as running:
        yield running


def run_up(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "cli.main", "up", *options],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def read_status(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_up_json_says_what_runs_where(platform: Platform) -> None:
    up = platform.up
    assert set(up) == {"web_url", "flower_url", "broker_url", "database_url", "pids", "log_file"}
    assert up["pids"].pop("up") == platform.process.pid
    assert set(up["pids"]) == {"broker", "worker", "web", "maintenance", "flower"}
    assert all(is_alive(pid) for pid in up["pids"].values())
    assert Path(up["log_file"]).is_file()
    assert up["database_url"] == f"sqlite:///{platform.state_dir}/stock_backtest.db"
    # It holds the broker's password.
    assert stat.S_IMODE((platform.state_dir / "up.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(platform.state_dir.stat().st_mode) == 0o700


def test_the_demo_data_are_there_and_a_run_goes_all_the_way(platform: Platform) -> None:
    datasets = platform.call("GET", "/api/v1/datasets")["datasets"]
    assert {item["symbol"] for item in datasets} == {"AAPL", "IBM", "MSFT"}
    run_id = platform.submit(dataset="AAPL", rule="rsi")
    run = platform.wait_for_run(run_id)
    assert run["state"] == "succeeded", run["error"]
    assert run["metrics"]["n_bars"] == 3270


def test_web_and_worker_log_the_run_under_its_id_one_object_a_line(platform: Platform) -> None:
    run_id = platform.submit(dataset="AAPL", rule="rsi", force=True)
    platform.wait_for_run(run_id)
    wait_until(lambda: f"[{run_id}] succeeded" in platform.log, 20, "the worker's last line")
    lines = [json.loads(line) for line in platform.log.splitlines()]
    services = {line["service"] for line in lines if line.get("run_id") == run_id}
    assert services == {"web", "worker"}


def test_everything_listens_on_loopback_only(platform: Platform) -> None:
    import psutil

    for pid in platform.processes:
        for connection in psutil.Process(pid).net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip == "127.0.0.1", (pid, connection)


def test_the_broker_wants_its_password(platform: Platform) -> None:
    import redis

    port = int(platform.up["broker_url"].rpartition(":")[2].partition("/")[0])
    with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    with redis.Redis.from_url(platform.up["broker_url"]) as friend:
        assert friend.ping()
    assert platform.up["broker_url"].split(":")[2].partition("@")[0] not in platform.log


def test_flower_sees_the_worker_and_cannot_be_used_from_outside(platform: Platform) -> None:
    flower = platform.up["flower_url"]
    wait_until(
        lambda: [
            item
            for item in platform.call("GET", "/workers?json=1", base=flower)["data"]
            if item["status"]
        ],
        30,
        "the worker shows up",
    )
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        request = urllib.request.Request(f"{flower}/api/workers", headers=headers)
        assert read_status(request) == 403
    # Controls are off even for those who may look.
    shutdown = urllib.request.Request(f"{flower}/api/worker/shutdown/worker", method="POST")
    assert read_status(shutdown) == 403


def test_a_second_platform_on_the_same_state_is_refused_in_one_line(platform: Platform) -> None:
    done = run_up("--state-dir", str(platform.state_dir), "--port", "0", "--flower-port", "0")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "already running" in done.stderr
    assert platform.url in done.stderr
    assert platform.process.poll() is None
    assert platform.up["web_url"]


@pytest.mark.parametrize("option", ["--port", "--flower-port"])
def test_a_taken_port_is_one_line_that_offers_a_free_one(tmp_path: Path, option: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        ports = {"--port": "0", "--flower-port": "0"} | {option: str(taken)}
        arguments = [text for pair in ports.items() for text in pair]
        done = run_up("--state-dir", str(tmp_path / "state"), *arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"{option} = {taken}" in done.stderr
    free = int(done.stderr.split()[-1])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free))


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    done = run_up("--state-dir", str(blocker / "state"))
    assert done.returncode == 2
    assert "--state-dir" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_end_leaves_no_process_and_the_next_start_finds_the_runs(tmp_path: Path) -> None:
    state = tmp_path / "state"
    run_id = ""
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):
        with run_platform(state) as running:
            if run_id:
                assert running.call("GET", f"/api/v1/runs/{run_id}")["state"] == "succeeded"
                assert running.submit(dataset="AAPL", rule="rsi") == run_id
            else:
                run_id = running.submit(dataset="AAPL", rule="rsi")
                running.wait_for_run(run_id)
            processes = running.processes
            assert len(processes) >= 6
            code = running.end(number)
            wait_until(lambda: not running.processes, 10, f"no orphan of {processes}")
        if number is not signal.SIGKILL:
            assert code == 0, number
            assert not (state / "up.json").exists()
