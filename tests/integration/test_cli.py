"""The command line as a person or a program meets it: output, one line per refusal, exit codes."""

import csv
import json
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from storage.database import create_database
from storage.schema import upgrade_schema
from tests.support.commands import Done, here, run_apart

__all__ = ["here"]

ROOT = Path(__file__).resolve().parents[2]
Cli = Callable[..., subprocess.CompletedProcess[str]]
Command = Callable[..., Done]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """The installed command, run where nothing else is."""
    return partial(run_apart, tmp_path)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'platform.db'}"
    database = create_database(url)
    upgrade_schema(database)
    database.dispose()
    return url


def write_bars(path: Path, rows: list[list[object]]) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["Date", "Open", "High", "Low", "Close", "Volume"], *rows])
    return path


def test_a_backtest_of_a_shipped_symbol_prints_the_contracts_object(cli: Cli) -> None:
    done = cli("backtest", "AAPL", "--rule", "rsi", "-p", "window=14", "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert list(document) == [
        "run_id",
        "fingerprint",
        "definitions_version",
        "engine_version",
        "results_version",
        "spec",
        "metrics",
        "trades",
        "equity",
        "warnings",
        "sample",
    ]
    assert document["sample"] is None, "nobody published a sample for this rule"
    assert document["run_id"] is None
    assert document["spec"]["trading"]["fee_rate"] == 0.001
    columns = document["equity"]
    assert list(columns) == ["time", "equity", "cash", "position", "close"]
    assert {len(column) for column in columns.values()} == {3270}
    pnl = sum(trade["pnl"] for trade in document["trades"]) + document["metrics"]["interest"]
    assert columns["equity"][-1] == pytest.approx(100_000 + pnl, rel=1e-9)
    assert "40 %" in done.stderr


@pytest.mark.parametrize(("flags", "expected"), [((), 12.409), (("--no-adjust",), 2.303)])
def test_buy_and_hold_of_aapl_gains_what_the_definitions_say(
    cli: Cli, flags: tuple[str, ...], expected: float
) -> None:
    done = cli("backtest", "AAPL", "--rule", "buy_and_hold", "--fee-rate", "0", "--json", *flags)
    gained = json.loads(done.stdout)["metrics"]["benchmark_total_return"]
    assert gained == pytest.approx(expected, abs=5e-4)


def test_dates_are_inclusive_and_a_table_is_printed_for_people(cli: Cli) -> None:
    done = cli("backtest", "AAPL", "--rule", "rsi", "--start", "2005-01-03", "--end", "2005-12-30")
    assert done.returncode == 0
    assert "2005-01-03 to 2005-12-30, 252 bars" in done.stdout
    assert "max_drawdown" in done.stdout


def test_a_file_of_ones_own_is_read_from_its_path(cli: Cli, tmp_path: Path) -> None:
    rows = [
        [f"2020-01-{day:02}", 10 + day, 11 + day, 9 + day, 10.5 + day, 100] for day in range(1, 29)
    ]
    path = write_bars(tmp_path / "gold.csv", rows)
    done = cli("backtest", str(path), "--rule", "buy_and_hold", "--json")
    assert json.loads(done.stdout)["spec"]["dataset"]["symbol"] == "GOLD"


BAD_FLAGS = {
    "unknown rule": (("--rule", "magic"), "--rule = 'magic'"),
    "parameter out of range": (("--rule", "rsi", "-p", "window=0"), "-p window = 0"),
    "parameter of wrong type": (("--rule", "rsi", "-p", "window=abc"), "-p window = 'abc'"),
    "unknown parameter": (("--rule", "rsi", "-p", "windw=3"), "-p windw = 3"),
    "not name=value": (("--rule", "rsi", "-p", "window"), "-p = 'window'"),
    "fast not below slow": (("--rule", "sma_cross", "-p", "fast=200"), "-p fast = 200"),
    "no cash": (("--rule", "rsi", "--initial-cash", "0"), "--initial-cash = 0"),
    "negative fee": (("--rule", "rsi", "--fee-rate", "-1"), "--fee-rate = -1"),
    "size of 0": (("--rule", "rsi", "--size", "0"), "--size = 0"),
    "size in percent": (("--rule", "rsi", "--size", "50"), "write 0.5 for 50 %"),
    "malformed date": (("--rule", "rsi", "--start", "2005-13-01"), "--start = '2005-13-01'"),
    "start after end": (
        ("--rule", "rsi", "--start", "2010-01-01", "--end", "2009-01-01"),
        "--start",
    ),
    "no bars in range": (("--rule", "rsi", "--start", "2030-01-01"), "--start = '2030-01-01'"),
    "interest without bounds": (
        ("--rule", "rsi", "--cash-rate", "10", "--periods-per-year", "1"),
        "--cash-rate = 10",
    ),
    "unknown flag": (("--rule", "rsi", "--nonsense", "1"), "--nonsense"),
    "no rule": ((), "--rule"),
    "fill unknown": (("--rule", "rsi", "--fill", "psychic"), "--fill = 'psychic'"),
}


@pytest.mark.parametrize("what", BAD_FLAGS)
def test_a_refusal_is_one_line_and_exit_code_2(here: Command, what: str) -> None:
    flags, expected = BAD_FLAGS[what]
    done = here("backtest", "AAPL", *flags)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1
    assert expected in lines[0]


def test_all_errors_are_named_at_once(cli: Cli) -> None:
    done = cli("backtest", "AAPL", "--rule", "rsi", "-p", "window=0", "--fee-rate", "-1")
    assert "-p window" in done.stderr
    assert "--fee-rate" in done.stderr


@pytest.mark.parametrize("data", ["NOPE", "nope.csv", "/no/such/file.csv"])
def test_data_that_is_not_there_is_refused(here: Command, data: str) -> None:
    done = here("backtest", data, "--rule", "rsi")
    assert done.returncode == 2
    assert f"FILE_OR_SYMBOL = '{data}'" in done.stderr


def test_a_bad_file_is_refused_with_row_and_column(here: Command, tmp_path: Path) -> None:
    path = write_bars(
        tmp_path / "bad.csv", [["2020-01-01", 1, 1, 1, 1, 1], ["2020-01-02", 1, 1, -1, 1, 1]]
    )
    done = here("backtest", str(path), "--rule", "rsi")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    for word in ("3", "low", "-1"):
        assert word in done.stderr.lower()


def test_a_server_that_does_not_answer_is_exit_code_3(here: Command) -> None:
    done = here("backtest", "AAPL", "--rule", "rsi", "--server", "http://127.0.0.1:9")
    assert done.returncode == 3
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("flags", [("--size", "50"), ("--start", "2050-01-01")])
def test_a_refused_run_of_a_file_never_reaches_the_server(
    here: Command, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    path = write_bars(tmp_path / "x.csv", [[f"2020-01-0{day}", 1, 1, 1, 1, 1] for day in (1, 2, 3)])
    arguments = ("backtest", str(path), "--rule", "rsi", *flags)
    done = here(*arguments, "--server", "http://127.0.0.1:9")
    assert done.returncode == 2, "an upload would have found nobody there: exit code 3"
    assert flags[0] in done.stderr


def test_a_password_in_the_servers_url_is_not_repeated(here: Command) -> None:
    done = here("backtest", "AAPL", "--rule", "rsi", "--server", "http://me:hunter2@127.0.0.1:9")
    assert done.returncode == 3
    assert "hunter2" not in done.stderr


def test_a_server_that_is_no_url_is_exit_code_2(here: Command) -> None:
    done = here("backtest", "AAPL", "--rule", "rsi", "--server", "localhost")
    assert done.returncode == 2
    assert "--server = 'localhost'" in done.stderr


def test_rules_are_listed_and_described(here: Command) -> None:
    assert "sma_cross" in here("rules").stdout
    described = here("rules", "sma_cross").stdout
    assert "fast < slow" in described
    assert here("rules", "nope").returncode == 2


def test_datasets_can_be_added_listed_and_removed(
    here: Command, tmp_path: Path, sqlite_url: str
) -> None:
    environ = {"STOCK_BACKTEST_DATABASE_URL": sqlite_url}
    path = write_bars(
        tmp_path / "silver.csv", [[f"2020-01-{day:02}", 1, 1, 1, 1, 1] for day in range(1, 20)]
    )
    assert "SILVER version 1: 19 bars" in here("dataset", "add", str(path), **environ).stdout
    (record,) = json.loads(here("dataset", "list", "--json", **environ).stdout)
    assert (record["symbol"], record["n_bars"]) == ("SILVER", 19)
    tagged = here("dataset", "tag", "SILVER", "metal", "old", **environ)
    assert tagged.stdout == "SILVER: metal, old\n"
    renamed = here("dataset", "rename", "silver", "AG", **environ)
    assert renamed.stdout == "silver is now AG\n"
    refused = here("dataset", "rename", "AG", "..", **environ)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert here("dataset", "remove", "AG", **environ).returncode == 0
    assert json.loads(here("dataset", "list", "--json", **environ).stdout) == []
    assert here("dataset", "remove", "SILVER", **environ).returncode == 2


@pytest.mark.parametrize(
    "command",
    [("run", "list"), ("dataset", "list"), ("worker",), ("maintenance",), ("db", "check")],
)
def test_every_process_refuses_an_empty_database_with_the_command_to_run(
    cli: Cli, tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = cli(
        *command,
        STOCK_BACKTEST_DATABASE_URL=f"sqlite:///{tmp_path / 'empty.db'}",
        STOCK_BACKTEST_BROKER_URL="redis://127.0.0.1:9/0",
    )
    assert done.returncode == 3
    assert "stock-backtest db upgrade" in done.stderr
    assert "Traceback" not in done.stderr


def test_db_upgrade_brings_an_empty_database_up(cli: Cli, tmp_path: Path) -> None:
    environ = {"STOCK_BACKTEST_DATABASE_URL": f"sqlite:///{tmp_path / 'new.db'}"}
    assert cli("db", "current", **environ).stdout.strip() == "empty"
    assert cli("db", "upgrade", **environ).returncode == 0
    assert cli("db", "check", **environ).returncode == 0


def test_doctor_lists_every_setting_and_hides_secrets(cli: Cli, sqlite_url: str) -> None:
    done = cli(
        "doctor",
        STOCK_BACKTEST_DATABASE_URL=sqlite_url,
        STOCK_BACKTEST_BROKER_URL="redis://:hunter2secret@127.0.0.1:9/0",
        STOCK_BACKTEST_SECRET_KEY="swordfish",
    )
    assert done.returncode == 1  # the broker does not answer
    assert "STOCK_BACKTEST_RETENTION_DAYS" in done.stdout
    assert "FAIL  broker" in done.stdout
    assert "hunter2secret" not in done.stdout + done.stderr
    assert "swordfish" not in done.stdout + done.stderr


def test_an_unknown_setting_is_refused(cli: Cli) -> None:
    done = cli("doctor", STOCK_BACKTEST_BROKR_URL="x")
    assert done.returncode == 2
    assert "STOCK_BACKTEST_BROKR_URL" in done.stderr
