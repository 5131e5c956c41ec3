"""`stock-backtest backtest`: one run, in this process or on a platform; both print the same."""

from __future__ import annotations

from typing import Any

import click

from backtest.errors import InputError
from cli.bar_sources import find_file, find_source, is_path, place_on_server
from cli.client import PlatformClient
from cli.options import add_run_options, build_payload, name_flags
from cli.report import print_json, print_report, writing_output
from rules.spec import parse_run_request


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
    with writing_output() as stream:
        if as_json:
            print_json(document, stream)
        else:
            print_report(document, stream)


def _run_on_server(
    server: str, data: str, payload: dict[str, Any], date_format: str | None
) -> dict[str, Any]:
    # Before anything is uploaded: a refused run must not give a symbol a new version.
    request = parse_run_request(payload)
    from backtest.bars import filter_bars

    with PlatformClient(server) as client:
        if is_path(data):
            source = find_file(data)
            bars, _ = source.load(date_format)
            filter_bars(bars, request.start, request.end)
            payload["dataset"] = place_on_server(client, source, bars, date_format)
        return client.run(payload)


def _run_in_process(data: str, payload: dict[str, Any], date_format: str | None) -> dict[str, Any]:
    request = parse_run_request(payload)
    source = find_source(data)
    # Imported here: neither `--server` nor a refusal waits for numba and pyarrow.
    from adapters.adapter import build_result_document
    from tasks.compute import build_local_run_spec, compute_run

    bars, warnings = source.load(date_format)
    spec = build_local_run_spec(request, source.symbol, bars)
    outcome = compute_run(spec, bars, warnings)
    return build_result_document(outcome.summary, outcome.trades, outcome.columns)
