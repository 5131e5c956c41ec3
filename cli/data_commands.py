"""`dataset`, `run` and `db`: what is stored, on a server or in a database."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from backtest.errors import InputError
from cli.bar_sources import symbol_of
from cli.places import find_database_url, open_place
from cli.report import format_metric, print_table, writing_to
from tasks.settings import load_settings, redact_url

server_option = click.option("--server", metavar="URL", help="Act on this platform.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(name="dataset")
def dataset_group() -> None:
    """Add, list, rename, tag and remove bar files."""


@dataset_group.command(name="add")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--symbol", help="Name it gets; by default the file's name in capitals.")
@click.option("--date-format", metavar="F", help="How dates are written, for example %d/%m/%Y.")
@server_option
def add_dataset(
    file: Path, symbol: str | None, date_format: str | None, server: str | None
) -> None:
    """Store a CSV or Parquet file; a known symbol gets a new version."""
    if not file.is_file():
        raise InputError.of("FILE", str(file), "no such file; check the path")
    with open_place(server) as place:
        record = place.add_dataset(file, symbol or symbol_of(file), date_format)
    for warning in record["warnings"]:
        click.echo(f"warning: {warning['message']}", err=True)
    click.echo(f"{record['symbol']} version {record['version']}: {record['n_bars']:,} bars")


@dataset_group.command(name="list")
@server_option
@json_option
def list_datasets(server: str | None, as_json: bool) -> None:
    """List the newest version of every symbol."""
    with open_place(server) as place:
        records = place.list_datasets()
    if as_json:
        print_indented(records)
        return
    rows = [
        (
            item["symbol"],
            item["version"],
            f"{item['n_bars']:,}",
            item["spacing"],
            item["sha256"][:12],
            ", ".join(item["tags"]),
        )
        for item in records
    ]
    print_table(("symbol", "version", "bars", "spacing", "sha256", "tags"), rows, sys.stdout)


@dataset_group.command(name="rename")
@click.argument("ref", metavar="SYMBOL")
@click.argument("symbol", metavar="NEW_SYMBOL")
@server_option
def rename_dataset(ref: str, symbol: str, server: str | None) -> None:
    """Rename a symbol with all its versions; runs keep the name they were given."""
    with open_place(server) as place:
        record = place.patch_dataset(ref, {"symbol": symbol})
    click.echo(f"{ref} is now {record['symbol']}")


@dataset_group.command(name="tag")
@click.argument("ref", metavar="SYMBOL")
@click.argument("tags", nargs=-1, metavar="[TAG]...")
@server_option
def tag_dataset(ref: str, tags: tuple[str, ...], server: str | None) -> None:
    """Tag a symbol; the tags replace those that it has, and none takes them away."""
    with open_place(server) as place:
        record = place.patch_dataset(ref, {"tags": list(tags)})
    click.echo(f"{record['symbol']}: {', '.join(record['tags']) or 'no tags'}")


@dataset_group.command(name="remove")
@click.argument("ref", metavar="SYMBOL_OR_ID")
@server_option
def remove_dataset(ref: str, server: str | None) -> None:
    """Forget a dataset; refused while runs or sweeps stand on it."""
    with open_place(server) as place:
        place.remove_dataset(ref)
    click.echo(f"removed {ref}")


@click.group(name="run")
def run_group() -> None:
    """List, show, cancel and delete runs."""


@run_group.command(name="list")
@click.option(
    "--state", type=click.Choice(["queued", "running", "succeeded", "failed", "cancelled"])
)
@click.option("--symbol", help="Only this symbol.")
@click.option("--rule", help="Only this rule.")
@click.option("--tag", help="Only runs with this tag.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 200))
@server_option
@json_option
def list_runs(limit: int, server: str | None, as_json: bool, **filters: str | None) -> None:
    """List runs, newest first."""
    query = {name: value for name, value in filters.items() if value} | {"limit": limit}
    with open_place(server) as place:
        records = place.list_runs(query)
    if as_json:
        print_indented(records)
        return
    print_table(
        ("run", "state", "submitted", "symbol", "rule", "return", "sharpe", "trades"),
        [_run_row(item) for item in records],
        sys.stdout,
    )


@run_group.command(name="show")
@click.argument("run_id")
@click.option(
    "--report",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the result as one HTML page instead.",
)
@server_option
def show_run(run_id: str, report: Path | None, server: str | None) -> None:
    """Show one run as JSON."""
    with open_place(server) as place:
        if report is None:
            print_indented(place.show_run(run_id))
            return
        page = place.load_report(run_id)
    with writing_to(str(report)):
        report.write_text(page, encoding="utf-8")
    click.echo(f"wrote {report}", err=True)


@run_group.command(name="cancel")
@click.argument("run_id")
@server_option
def cancel_run(run_id: str, server: str | None) -> None:
    """Cancel a run that is not done."""
    with open_place(server) as place:
        place.cancel_run(run_id)
    click.echo(f"cancelled {run_id}")


@run_group.command(name="delete")
@click.argument("run_id")
@server_option
def delete_run(run_id: str, server: str | None) -> None:
    """Delete a run and its result."""
    with open_place(server) as place:
        place.delete_run(run_id)
    click.echo(f"deleted {run_id}")


@click.group(name="db")
def db_group() -> None:
    """Create, upgrade and check the database's schema."""


@db_group.command(name="upgrade")
def upgrade_database() -> None:
    """Bring the schema to this version's."""
    from storage.database import create_database
    from storage.schema import current_revision, upgrade_schema

    url = find_database_url(load_settings())
    database = create_database(url)
    upgrade_schema(database)
    click.echo(f"{redact_url(url)} is at schema {current_revision(database)}")


@db_group.command(name="current")
def show_revision() -> None:
    """Print the schema's version."""
    from storage.database import create_database
    from storage.schema import current_revision

    revision = current_revision(create_database(find_database_url(load_settings())))
    click.echo(revision or "empty")


@db_group.command(name="check")
def check_database() -> None:
    """Succeed if the schema is the one that this version needs."""
    from storage.database import create_database
    from storage.schema import check_schema

    check_schema(create_database(find_database_url(load_settings())))
    click.echo("the schema is up to date")


def _run_row(record: dict[str, Any]) -> tuple[str, ...]:
    metrics = record["metrics"] or {}
    return (
        record["run_id"],
        record["state"],
        str(record["submitted_at"])[:19].replace("T", " "),
        record.get("symbol") or record["spec"]["dataset"]["symbol"],
        record.get("rule") or record["spec"]["rule"],
        *(
            format_metric(name, metrics.get(name))
            for name in ("total_return", "sharpe", "n_trades")
        ),
    )


def print_indented(value: Any) -> None:
    """Print JSON for people."""
    json.dump(value, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")
