"""`stock-backtest sweep`: all combinations of a rule's parameters, here or on a platform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from backtest.errors import InputError
from cli.bar_sources import find_file, find_source, is_path, place_on_server
from cli.client import PlatformClient
from cli.report import print_json, writing_file, writing_output
from cli.sweep_client import (
    download_export,
    follow_sweep,
    load_document,
    load_verdict,
    submit_sweep,
)
from cli.sweep_options import (
    add_output_options,
    add_sweep_options,
    build_sweep_payload,
    check_out,
    name_sweep_flags,
    split_datasets,
)
from cli.sweep_report import print_sweep, showing_progress
from rules.optimizer import check_limit
from rules.sweep_request import SweepRequest, parse_sweep_request
from tasks.settings import load_settings


@dataclass(frozen=True, slots=True)
class Wanted:
    """What becomes of a sweep: rows to show, a verdict, a file and its format."""

    top: int
    verdict: bool
    out: Path | None
    ending: str


@click.command(name="sweep")
@click.argument("data", metavar="FILE_OR_SYMBOL[,...]")
@add_sweep_options
@add_output_options
def sweep_command(
    data: str,
    top: int,
    out: Path | None,
    verdict: bool,
    as_json: bool,
    server: str | None,
    **options: Any,
) -> None:
    """Backtest every combination of a rule's parameters.

    SPEC is one value, a range 2:50 or 2:50:2 with both ends, or a list 10,14,21.
    """
    wanted = Wanted(top, verdict, out, check_out(out))
    try:
        names = split_datasets(data)
        payload = build_sweep_payload(names, options)
        request = parse_sweep_request(payload)
        if server:
            document = _run_on_server(
                server, names, payload, request, options["date_format"], wanted
            )
        else:
            document = _run_in_process(names, request, options["date_format"], wanted)
    except InputError as error:
        raise name_sweep_flags(error, options) from error
    for warning in document["warnings"]:
        click.echo(f"warning: {warning['message']}", err=True)
    with writing_output() as stream:
        if as_json:
            print_json(document, stream)
        else:
            print_sweep(document, stream)


def _run_on_server(
    server: str,
    names: Sequence[str],
    payload: dict[str, Any],
    request: SweepRequest,
    date_format: str | None,
    wanted: Wanted,
) -> dict[str, Any]:
    with PlatformClient(server) as client, showing_progress() as show:
        refs = [_place(client, name, request, date_format) for name in names]
        payload |= {"dataset": refs[0]} if len(refs) == 1 else {"datasets": refs}
        sweep_id = submit_sweep(client, payload)
        try:
            state = follow_sweep(client, sweep_id, show)
        except KeyboardInterrupt:
            click.echo(
                f"\nthe sweep {sweep_id} goes on; "
                f"`stock-backtest sweep-run cancel {sweep_id} --server {client.shown}` ends it",
                err=True,
            )
            raise
        document = load_document(client, state, wanted.top)
        if wanted.verdict:
            document["verdict"] = load_verdict(client, sweep_id)
        if wanted.out is not None:
            with writing_file(wanted.out) as stream:
                download_export(client, sweep_id, wanted.ending, stream)
        return document


def _place(
    client: PlatformClient, name: str, request: SweepRequest, date_format: str | None
) -> str:
    """Return what names the data on the platform; a file is uploaded unless it is there."""
    if not is_path(name):
        return name
    from backtest.bars import filter_bars

    source = find_file(name)
    bars, _ = source.load(date_format)
    filter_bars(bars, request.start, request.end)  # refuse before the upload
    return place_on_server(client, source, bars, date_format)


def _run_in_process(
    names: Sequence[str], request: SweepRequest, date_format: str | None, wanted: Wanted
) -> dict[str, Any]:
    sources = [find_source(name) for name in names]
    limit = load_settings().max_combinations
    check_limit(request.build_space([item.symbol for item in sources]), request.search, limit)
    # Imported here: neither `--server` nor a refusal waits for numba and pyarrow.
    from cli.sweep_document import build_sweep_document
    from tasks.process_memory import limit_heap_growth
    from tasks.sweep_compute import build_local_sweep_spec
    from tasks.sweep_local import run_local_sweep

    limit_heap_growth()  # columns of long bars come and go
    loaded = [source.load(date_format) for source in sources]
    spec = build_local_sweep_spec(
        request,
        [(source.symbol, bars) for source, (bars, _) in zip(sources, loaded, strict=True)],
    )
    by_hash = {ref.sha256: item for ref, item in zip(spec.datasets, loaded, strict=True)}
    with showing_progress() as show:
        sweep = run_local_sweep(spec, by_hash.__getitem__, on_progress=show)
    with sweep:
        document = build_sweep_document(sweep, wanted.top)
        if wanted.verdict:
            from tasks.sweep_verdict import compute_verdict

            document["verdict"] = compute_verdict(sweep.columns, spec, by_hash.__getitem__)
        if wanted.out is not None:
            from adapters.sweep_export import write_sweep

            with writing_file(wanted.out) as stream:
                write_sweep(sweep.columns, spec, wanted.ending, stream)
        return document
