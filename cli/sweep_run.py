"""`sweep-run`: the sweeps that are stored, on a server or in a database."""

from __future__ import annotations

import sys
from typing import Any

import click

from cli.data_commands import json_option, print_indented, server_option
from cli.places import open_place
from cli.report import print_table

_STATES = ("queued", "running", "paused", "succeeded", "failed", "cancelled")


@click.group(name="sweep-run")
def sweep_run_group() -> None:
    """List, show, pause, resume, cancel, retry and delete sweeps."""


@sweep_run_group.command(name="list")
@click.option("--state", type=click.Choice(_STATES))
@click.option("--symbol", help="Only this symbol.")
@click.option("--rule", help="Only this rule.")
@click.option("--tag", help="Only sweeps with this tag.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200))
@server_option
@json_option
def list_sweeps(limit: int, server: str | None, as_json: bool, **filters: str | None) -> None:
    """List sweeps, newest first."""
    query = {name: value for name, value in filters.items() if value} | {"limit": limit}
    with open_place(server) as place:
        records = place.list_sweeps(query)
    if as_json:
        print_indented(records)
        return
    print_table(
        ("sweep", "state", "done", "submitted", "symbol", "rule", "combinations", "objective"),
        [_build_row(item) for item in records],
        sys.stdout,
    )


@sweep_run_group.command(name="show")
@click.argument("sweep_id")
@server_option
def show_sweep(sweep_id: str, server: str | None) -> None:
    """Show one sweep as JSON."""
    with open_place(server) as place:
        print_indented(place.show_sweep(sweep_id))


@sweep_run_group.command(name="pause")
@click.argument("sweep_id")
@server_option
def pause_sweep(sweep_id: str, server: str | None) -> None:
    """Pause a sweep: no chunk completes until it is resumed."""
    _control(sweep_id, server, "pause")


@sweep_run_group.command(name="resume")
@click.argument("sweep_id")
@server_option
def resume_sweep(sweep_id: str, server: str | None) -> None:
    """Go on with a paused sweep."""
    _control(sweep_id, server, "resume")


@sweep_run_group.command(name="cancel")
@click.argument("sweep_id")
@server_option
def cancel_sweep(sweep_id: str, server: str | None) -> None:
    """End a sweep; what is computed stays."""
    _control(sweep_id, server, "cancel")


@sweep_run_group.command(name="retry")
@click.argument("sweep_id")
@server_option
def retry_sweep(sweep_id: str, server: str | None) -> None:
    """Compute the chunks again that failed."""
    _control(sweep_id, server, "retry")


@sweep_run_group.command(name="delete")
@click.argument("sweep_id")
@server_option
def delete_sweep(sweep_id: str, server: str | None) -> None:
    """Delete a sweep and its results."""
    with open_place(server) as place:
        place.delete_sweep(sweep_id)
    click.echo(f"deleted {sweep_id}")


def _control(sweep_id: str, server: str | None, action: str) -> None:
    with open_place(server) as place:
        state = place.control_sweep(sweep_id, action)
    click.echo(f"{sweep_id} is {state}")


def _build_row(record: dict[str, Any]) -> tuple[object, ...]:
    number = record["n_combinations"]
    return (
        record["sweep_id"],
        record["state"],
        f"{record['progress']:.0%}",
        str(record["submitted_at"])[:19].replace("T", " "),
        record["symbol"],
        record["rule"],
        "-" if number is None else f"{number:,}",
        record["objective"],
    )
