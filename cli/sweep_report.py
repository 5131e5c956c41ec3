"""What `sweep` prints: the contract's object for programs, counts and the best for people."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

import click

from cli.report import format_metric, print_table

_SHOWN = ("total_return", "cagr", "sharpe", "max_drawdown", "win_rate", "n_trades")


class Progress(Protocol):
    """Takes how much of a sweep is done."""

    def __call__(self, n_done: int, n_total: int) -> None:
        """Show that `n_done` of `n_total` are done."""
        ...


@contextmanager
def showing_progress() -> Iterator[Progress]:
    """Give what draws a bar on standard error, and nothing at all where that is no terminal."""
    if not sys.stderr.isatty():
        yield lambda n_done, n_total: None
        return
    with click.progressbar(length=1, label="sweep", file=sys.stderr, show_pos=True) as bar:

        def show(n_done: int, n_total: int) -> None:
            bar.length = max(1, n_total)
            bar.update(n_done - bar.pos)

        yield show


def print_sweep(document: Mapping[str, Any], stream: TextIO) -> None:
    """Print the counts, the best, the plateau and the top of a sweep, aligned for a terminal."""
    objective, seconds = document["objective"], document["seconds"]
    spec = document["spec"]
    symbols = ", ".join(item["symbol"] for item in spec["datasets"])
    n_done = document["n_combinations"]
    stream.write(f"{symbols}  {spec['rule']}\n")
    stream.write(
        f"{n_done:,} combinations, {document['n_excluded']:,} excluded, "
        f"{document['n_failed']:,} failed\n"
    )
    stream.write(f"{seconds:,.2f} s, {n_done / max(seconds, 1e-9):,.0f} combinations a second\n")
    stream.write(f"result {document['result_sha256']}\n\n")
    swept = find_swept(spec)
    rows = document["top"]
    if not rows:
        stream.write(f"no combination has a {objective}; lower --min-trades or widen the ranges\n")
        return
    stream.write(f"best     {_describe(rows[0], swept, objective)}\n")
    plateau = document["plateau"]
    if plateau is None:
        stream.write("plateau  -: no combination has neighbours\n\n")
    else:
        stream.write(
            f"plateau  {_describe(plateau, swept, objective)}, median "
            f"{format_metric(objective, plateau['score'])} with its "
            f"{plateau['n_neighbours']} neighbours\n\n"
        )
    _print_verdict(document.get("verdict"), stream)
    metrics = tuple(dict.fromkeys((objective, *_SHOWN)))
    print_table(
        ("#", "index", *swept, *metrics),
        [_build_row(number, row, swept, metrics) for number, row in enumerate(rows, start=1)],
        stream,
    )


def _print_verdict(verdict: Mapping[str, Any] | None, stream: TextIO) -> None:
    if verdict is None:
        return
    stream.write(f"verdict  {verdict['word'].replace('_', ' ').upper()}\n")
    for reason in verdict["reasons"]:
        stream.write(f"  {reason['sign']} {reason['text']}\n")
    stream.write(f"  > {verdict['advice']}\n\n")


def find_swept(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of a sweep's axes in their order."""
    return (
        *(("dataset",) if len(spec["datasets"]) > 1 else ()),
        *(name for name in spec["params"] if name in spec["space"]),
        *(name for name in spec["trading"] if name in spec["trading_space"]),
    )


def _describe(row: Mapping[str, Any], swept: Sequence[str], objective: str) -> str:
    values = "  ".join(f"{name}={_read_value(row, name)}" for name in swept)
    figure = format_metric(objective, row["metrics"][objective])
    return f"#{row['index']}  {values}  {objective} {figure}"


def _build_row(
    number: int, row: Mapping[str, Any], swept: Sequence[str], metrics: Sequence[str]
) -> tuple[object, ...]:
    return (
        number,
        row["index"],
        *(_read_value(row, name) for name in swept),
        *(format_metric(name, row["metrics"][name]) for name in metrics),
    )


def _read_value(row: Mapping[str, Any], name: str) -> object:
    if name == "dataset":
        return row["dataset"]
    group = row["params"] if name in row["params"] else row["trading"]
    value = group[name]
    return "off" if value is None else value
