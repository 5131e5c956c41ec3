"""The sweep command as a person or a program meets it, in-process and on a platform."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet
import pytest

from tests.support.commands import Done, here, run_apart
from tests.support.live_web import serving
from tests.support.processes import wait_until
from tests.support.web import Web, build_csv, build_web

__all__ = ["here"]

ROOT = Path(__file__).resolve().parents[2]
Cli = Callable[..., subprocess.CompletedProcess[str]]
Command = Callable[..., Done]
SWEEP = ("sweep", "AAPL", "--rule", "rsi", "-p", "window=10:14", "-p", "oversold=20:30:5")
OBJECT = {
    "sweep_id",
    "n_combinations",
    "n_excluded",
    "n_failed",
    "seconds",
    "result_sha256",
    "objective",
    "top",
    "plateau",
    "spec",
    "warnings",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def cli(folder: Path) -> Cli:
    """The installed command, run where nothing else is."""
    return partial(run_apart, folder)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Web, str]]:
    """A platform that computes within its requests."""
    web = build_web(tmp_path_factory.mktemp("platform"), executor="inline")
    with serving(web) as url:
        yield web, url


@pytest.fixture(scope="module")
def document(cli: Cli) -> dict[str, Any]:
    done = cli(*SWEEP, "--stop-loss", "off,0.1", "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_sweep_prints_the_contracts_object(document: dict[str, Any]) -> None:
    assert set(document) == OBJECT
    assert document["sweep_id"] is None
    assert (document["n_combinations"], document["n_excluded"], document["n_failed"]) == (30, 0, 0)
    assert document["objective"] == "sharpe"
    assert len(document["result_sha256"]) == 64
    assert len(document["top"]) == 10
    sharpes = [row["metrics"]["sharpe"] for row in document["top"]]
    assert sharpes == sorted(sharpes, reverse=True)
    row = document["top"][0]
    assert {"index", "params", "trading", "metrics"} <= set(row)
    assert set(document["plateau"]) >= {"index", "params", "trading", "metrics"}


def test_a_combination_of_the_top_equals_its_backtest(cli: Cli, document: dict[str, Any]) -> None:
    row = document["top"][0]
    flags = [item for name, value in row["params"].items() for item in ("-p", f"{name}={value}")]
    stop = row["trading"]["stop_loss"]
    done = cli("backtest", "AAPL", "-r", "rsi", *flags, "--stop-loss", str(stop or "off"), "--json")
    metrics = json.loads(done.stdout)["metrics"]
    for name, value in row["metrics"].items():
        assert metrics[name] == pytest.approx(value, rel=1e-9), name


def test_a_report_for_people_shows_counts_best_plateau_and_top(cli: Cli, folder: Path) -> None:
    out = folder / "all.csv"
    done = cli(*SWEEP, "--top", "3", "--where", "window + oversold < 42", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "12 combinations, 3 excluded, 0 failed" in done.stdout
    for word in ("best", "plateau", "window", "oversold", "sharpe", "result "):
        assert word in done.stdout
    assert "verdict" not in done.stdout
    assert "%|" not in done.stderr  # no bar where nobody watches
    table = pyarrow.csv.read_csv(out)
    assert table.num_rows == 12
    assert list(folder.glob(".*part")) == []


def build_waves(n_bars: int) -> Iterator[str]:
    """Rows of prices that rise and fall: there is something to trade and to judge."""
    first = date(2020, 1, 1)
    for i in range(n_bars):
        price = 100 + 10 * math.sin(i / 3) + 5 * math.sin(i / 1.7)
        yield f"{first + timedelta(days=i)},{price},{price + 1},{price - 1},{price}"


def test_a_verdict_is_told_to_people_and_programs(cli: Cli, platform: tuple[Web, str]) -> None:
    arguments = ("sweep", "WALK", "-r", "rsi", "-p", "window=2:6", "--server", platform[1])
    told = cli(*arguments, "--verdict")
    assert told.returncode == 0, told.stderr
    verdict = json.loads(cli(*arguments, "--verdict", "--json").stdout)["verdict"]
    assert f"verdict  {verdict['word'].replace('_', ' ').upper()}" in told.stdout
    for reason in verdict["reasons"]:
        assert f"{reason['sign']} {reason['text']}" in told.stdout
    assert verdict["advice"] in told.stdout


def test_a_platform_gives_the_same_numbers_and_hash(
    cli: Cli, folder: Path, platform: tuple[Web, str]
) -> None:
    web, url = platform
    path = folder / "gold.csv"
    path.write_text("\n".join(["Date,Open,High,Low,Close", *build_waves(300)]))
    arguments = ("sweep", str(path), "-r", "rsi", "-p", "window=2:6", "--fee-rate", "0,0.001")
    arguments += ("-p", "oversold=35,45", "-p", "overbought=55", "--verdict")
    here = cli(*arguments, "--json", "--out", str(folder / "here.parquet"))
    there = cli(*arguments, "--json", "--out", str(folder / "there.parquet"), "--server", url)
    assert (here.returncode, there.returncode) == (0, 0), here.stderr + there.stderr
    local, remote = json.loads(here.stdout), json.loads(there.stdout)
    assert remote["sweep_id"] is not None
    for name in OBJECT - {"sweep_id", "seconds"} | {"verdict"}:
        assert remote[name] == local[name], name
    assert local["verdict"]["pbo"]["n_splits"] == 12_870
    tables = [pyarrow.parquet.read_table(folder / f"{name}.parquet") for name in ("here", "there")]
    assert tables[0].equals(tables[1])
    assert "GOLD" in {record.symbol for record in web.store.datasets.list()}


@pytest.mark.parametrize("command", [("backtest",), ("sweep", "-p", "window=3:4")])
def test_content_that_a_platform_has_is_not_uploaded_again(
    here: Command, folder: Path, platform: tuple[Web, str], command: tuple[str, ...]
) -> None:
    web, url = platform
    first, second = folder / "iron.csv", folder / "zinc.csv"
    first.write_bytes(build_csv(130))
    second.write_bytes(build_csv(130))
    for path in (first, second):
        done = here(command[0], str(path), "-r", "rsi", *command[1:], "--server", url)
        assert done.returncode == 0, done.stderr
    symbols = {record.symbol: record.version for record in web.store.datasets.list()}
    assert symbols["IRON"] == 1
    assert "ZINC" not in symbols


def test_sweeps_of_a_platform_are_listed_shown_and_deleted(
    cli: Cli, here: Command, platform: tuple[Web, str]
) -> None:
    web, url = platform
    done = cli("sweep", "WALK", "-r", "macd", "-p", "fast=3:5", "--server", url, "--json")
    sweep_id = json.loads(done.stdout)["sweep_id"]
    settings = {"STOCK_BACKTEST_DATABASE_URL": web.settings.database_url}
    # What the platform of this process logs would stand between the lines of a command in it.
    for command, place, environ in ((cli, ("--server", url), {}), (here, (), settings)):
        assert sweep_id in command("sweep-run", "list", *place, **environ).stdout
        shown = json.loads(command("sweep-run", "show", sweep_id, *place, **environ).stdout)
        assert (shown["state"], shown["chunks"]["failed"]) == ("succeeded", 0)
        for action in ("pause", "resume", "retry"):
            refused = command("sweep-run", action, sweep_id, *place, **environ)
            assert refused.returncode == 2
            assert "succeeded" in refused.stderr
    assert cli("sweep-run", "delete", sweep_id, "--server", url).returncode == 0
    assert cli("sweep-run", "show", sweep_id, "--server", url).returncode == 2


BAD_FLAGS = {
    "empty space": ((), "-p = {}: is empty; give a parameter or a trading setting several"),
    "setting as parameter": (("-p", "fee_rate=0,0.1"), "write it as --fee-rate"),
    "too many for a guided search": (("-p", "window=2:9", "--adaptive", "99999"), "use --random"),
    "unknown parameter": (("-p", "windw=2:5"), "-p windw = '2:5'"),
    "step 0": (("-p", "window=2:5:0"), "-p window = '2:5:0'"),
    "wrong sign": (("-p", "window=9:5"), "-p window = '9:5'"),
    "not name=spec": (("-p", "window"), "-p = 'window'"),
    "out of range": (("-p", "window=0:5"), "-p window = '0:5'"),
    "trading setting": (("--stop-loss", "0.1:2:0.1"), "--stop-loss = '0.1:2:0.1'"),
    "constraint with a call": (("--where", "abs(window) > 1"), "--where = "),
    "constraint that nothing meets": (
        ("-p", "window=2:5", "--where", "window > 9"),
        "--where = 'window > 9'",
    ),
    "unknown objective": (("--objective", "luck"), "--objective = 'luck'"),
    "no combinations": (("-p", "window=2:5", "--random", "0"), "--random = 0"),
    "two searches": (("--random", "5", "--adaptive", "5"), "--adaptive = 5"),
    "negative trades": (("--min-trades", "-1"), "--min-trades = -1"),
    "no rows": (("--top", "0"), "--top"),
    "odd file": (("-p", "window=2:5", "--out", "all.xlsx"), "--out = 'all.xlsx'"),
    "no directory": (("-p", "window=2:5", "--out", "/no/such/all.csv"), "--out = "),
    "no bars in range": (("-p", "window=2:5", "--start", "2030-01-01"), "--start = '2030-01-01'"),
    "unknown flag": (("--nonsense",), "--nonsense"),
}


@pytest.mark.parametrize("what", BAD_FLAGS)
def test_a_refusal_is_one_line_and_exit_code_2(here: Command, what: str) -> None:
    flags, expected = BAD_FLAGS[what]
    done = here("sweep", "AAPL", "--rule", "rsi", *flags)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1
    assert expected in lines[0]


@pytest.mark.parametrize("data", ["NOPE", "AAPL,NOPE", "AAPL,", "AAPL,AAPL", "nope.csv"])
def test_data_that_is_not_there_is_refused(here: Command, data: str) -> None:
    done = here("sweep", data, "-r", "rsi", "-p", "window=2:5")
    assert done.returncode == 2
    assert "FILE_OR_SYMBOL" in done.stderr


def test_more_combinations_than_the_limit_are_refused_in_process_too(here: Command) -> None:
    done = here(*SWEEP, STOCK_BACKTEST_MAX_COMBINATIONS="7")
    assert done.returncode == 2
    assert "15" in done.stderr
    assert "window" in done.stderr


def test_a_server_that_does_not_answer_is_exit_code_3(here: Command) -> None:
    done = here(*SWEEP, "--server", "http://127.0.0.1:9")
    assert done.returncode == 3
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", [SWEEP, ("backtest", "AAPL", "-r", "rsi")])
def test_output_that_cannot_be_written_is_one_line_and_exit_code_1(
    folder: Path, command: tuple[str, ...]
) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *command, "--json"],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=110,
            check=False,
        )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "standard output cannot be written" in done.stderr


def test_several_symbols_are_one_more_axis(here: Command) -> None:
    done = here("sweep", "AAPL,MSFT", "-r", "rsi", "-p", "window=10:12", "--json")
    found = json.loads(done.stdout)
    assert found["n_combinations"] == 6
    assert {row["dataset"] for row in found["top"]} == {"AAPL", "MSFT"}


@pytest.mark.parametrize("search", ["--random", "--adaptive"])
def test_a_part_of_the_space_is_searched_the_same_way_each_time(cli: Cli, search: str) -> None:
    arguments = ("sweep", "AAPL", "-r", "rsi", "-p", "window=2:40", search, "20", "--seed", "3")
    first, second = (json.loads(cli(*arguments, "--json").stdout) for _ in range(2))
    assert first["n_combinations"] == 20
    assert first["result_sha256"] == second["result_sha256"]
    assert first["top"] == second["top"]


@contextlib.contextmanager
def _starting(*words: str, folder: Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command; whatever happens to the test, no process is left."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", *words],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the suite in the background has the signal ignored, and so have we.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _holds_file_in(pid: int, folder: Path) -> bool:
    names = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            names.append(os.readlink(link))
    return any(name.startswith(f"{folder}/") and name.endswith("(deleted)") for name in names)


def test_an_interrupted_sweep_ends_with_130_and_leaves_no_file(folder: Path) -> None:
    words = ("sweep", "AAPL", "-r", "rsi", "-p", "window=2:2000", "-p", "oversold=1:49")
    more = ("-p", "overbought=51:99", "--out", "interrupted.csv")
    with _starting(*words, *more, folder=folder, TMPDIR=str(folder)) as process:
        # It computes once its results have a file, which has no name.
        wait_until(lambda: _holds_file_in(process.pid, folder), 60, "the sweep computes")
        time.sleep(1)
        os.kill(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert output == ""
    assert "Traceback" not in errors
    assert not (folder / "interrupted.csv").exists()


def test_an_interrupted_client_says_that_the_sweep_goes_on(folder: Path) -> None:
    (folder / "idle").mkdir()
    web = build_web(folder / "idle")  # nobody computes there
    words = ("sweep", "WALK", *SWEEP[2:], "--server")
    with serving(web) as url, _starting(*words, url, folder=folder) as process:
        wait_until(lambda: bool(web.store.sweeps.list().items), 30, "the sweep is stored")
        time.sleep(2)  # the submission is answered after a second
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    sweep_id = web.store.sweeps.list().items[0].sweep_id
    assert f"sweep-run cancel {sweep_id} --server {url}" in errors
    assert "Traceback" not in errors
