"""`stock-backtest backtest`: one run, in this process or on a platform; both print the same."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from backtest.errors import InputError
from cli.client import PlatformClient
from cli.demo_data import find_demo_file, list_demo_symbols
from cli.options import add_run_options, build_payload, name_flags
from cli.report import print_json, print_report
from rules.spec import RunRequest, parse_run_request


@click.command(name="backtest")
@click.argument("data", metavar="FILE_OR_SYMBOL")
@add_run_options
@click.option("--json", "as_json", is_flag=True, help="Print the whole result as JSON.")
@click.option("--server", metavar="URL", help="Compute on this platform instead of in-process.")
def backtest_command(data: str, as_json: bool, server: str | None, **options: Any) -> None:
    """Backtest one rule on a bar file or a symbol."""
    try:
        payload = build_payload(data, options)
        if server:
            document = _run_on_server(server, data, payload, options["date_format"])
        else:
            document = _run_in_process(data, payload, options["date_format"])
    except InputError as error:
        raise name_flags(error) from error
    for warning in document["warnings"]:
        click.echo(f"warning: {warning['message']}", err=True)
    if as_json:
        print_json(document, sys.stdout)
    else:
        print_report(document, sys.stdout)


def is_path(data: str) -> bool:
    """Return whether `data` names a file rather than a symbol."""
    return "/" in data or "." in data or Path(data).is_file()


def symbol_of(path: Path) -> str:
    """Return the symbol that a file gets: its name without endings, in capitals."""
    return path.name.split(".")[0].upper() or "FILE"


def _run_on_server(
    server: str, data: str, payload: dict[str, Any], date_format: str | None
) -> dict[str, Any]:
    # Before anything is uploaded: a refused run must not give a symbol a new version.
    request = parse_run_request(payload)
    with PlatformClient(server) as client:
        if is_path(data):
            path = _existing(data)
            _refuse_before_upload(path, request, date_format)
            payload["dataset"] = client.upload_dataset(path, symbol_of(path), date_format)["sha256"]
        return client.run(payload)


def _refuse_before_upload(path: Path, request: RunRequest, date_format: str | None) -> None:
    from backtest.bars import filter_bars
    from storage.bar_files import load_bar_file

    bars, _ = load_bar_file(path, date_format=date_format)
    filter_bars(bars, request.start, request.end)


def _run_in_process(data: str, payload: dict[str, Any], date_format: str | None) -> dict[str, Any]:
    request = parse_run_request(payload)
    if is_path(data):
        path = _existing(data)
        symbol = symbol_of(path)
    else:
        found = find_demo_file(data)
        if found is None:
            known = ", ".join(list_demo_symbols())
            raise InputError.of(
                "FILE_OR_SYMBOL", data, f"no such file, and no symbol that ships ({known})"
            )
        path, symbol = found, data.upper()
    # Imported here: neither `--server` nor a refusal waits for numba and pyarrow.
    from adapters.adapter import build_result_document
    from storage.bar_files import load_bar_file
    from tasks.compute import build_local_run_spec, compute_run

    bars, warnings = load_bar_file(path, date_format=date_format)
    spec = build_local_run_spec(request, symbol, bars)
    outcome = compute_run(spec, bars, warnings)
    return build_result_document(outcome.summary, outcome.trades, outcome.columns)


def _existing(data: str) -> Path:
    path = Path(data)
    if not path.is_file():
        raise InputError.of("FILE_OR_SYMBOL", data, "no such file; check the path")
    return path
