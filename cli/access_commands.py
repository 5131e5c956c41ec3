"""`token` and `audit`: who may come in, and who changed what."""

from __future__ import annotations

import sys
from typing import Any

import click

from backtest.errors import InputError
from cli.data_commands import json_option, print_indented, server_option
from cli.places import open_place
from cli.report import print_table


@click.group(name="token")
def token_group() -> None:
    """Make, list and revoke tokens. The first one closes a platform that was open."""


@token_group.command(name="create")
@click.argument("name", required=False)
@click.option("--name", "named", help="What to call it; the audit log will.")
@click.option(
    "--scope",
    "--scopes",
    "scopes",
    multiple=True,
    metavar="read|submit|admin",
    help="What it may do; submit may read, admin may everything. By default read.",
)
@click.option("--expires-days", type=int, metavar="N", help="By default it never expires.")
@server_option
@json_option
def create_token(
    name: str | None,
    named: str | None,
    scopes: tuple[str, ...],
    expires_days: int | None,
    server: str | None,
    as_json: bool,
) -> None:
    """Make a token and print it: once, as only a hash of it is kept."""
    from storage.access import parse_scopes

    if name and named and name != named:
        raise InputError.of("--name", named, f"the token is already called {name}; say it once")
    scope = parse_scopes(",".join(scopes) or "read")
    with open_place(server) as place:
        record = place.create_token(named or name or f"{scope} token", scope, expires_days)
    if as_json:
        print_indented(record)
        return
    until = f"until {str(record['expires_at'])[:10]}" if record["expires_at"] else "until revoked"
    click.echo(
        f"Token {record['name']!r} may {record['scope']} {until}; id {record['id']}. "
        "It is not shown again:",
        err=True,
    )
    click.echo(record["token"])


@token_group.command(name="list")
@server_option
@json_option
def list_tokens(server: str | None, as_json: bool) -> None:
    """List all tokens, revoked ones too."""
    with open_place(server) as place:
        records = place.list_tokens()
    if as_json:
        print_indented(records)
        return
    rows = [
        (
            record["id"],
            record["name"],
            record["scope"],
            *(_day(record[name]) for name in ("created_at", "last_used_at", "expires_at")),
            _day(record["revoked_at"]),
        )
        for record in records
    ]
    header = ("id", "name", "scope", "created", "last used", "expires", "revoked")
    print_table(header, rows, sys.stdout)


@token_group.command(name="revoke")
@click.argument("ref", metavar="ID_OR_NAME")
@server_option
def revoke_token(ref: str, server: str | None) -> None:
    """Revoke a token, and end the sessions of browsers that logged in with it."""
    with open_place(server) as place:
        record = place.revoke_token(ref)
    click.echo(f"revoked {record['name']}")


@click.command(name="audit")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1000))
@server_option
@json_option
def audit_command(limit: int, server: str | None, as_json: bool) -> None:
    """List who changed what, newest first."""
    with open_place(server) as place:
        events = place.list_audit(limit)
    if as_json:
        print_indented(events)
        return
    print_table(
        ("time (UTC)", "who", "what", "object", "from"),
        [_event_row(item) for item in events],
        sys.stdout,
    )


def _event_row(event: dict[str, Any]) -> tuple[str, ...]:
    shown = str(event["at"])[:19].replace("T", " ")
    return (shown, *(str(event[name]) for name in ("actor", "action", "object_id", "address")))


def _day(instant: Any) -> str:
    return "" if instant is None else str(instant)[:16].replace("T", " ")
