"""Flags of `sweep`: those of `backtest` with ranges for values, and what only a sweep has."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from backtest.errors import FieldError, InputError
from cli.bar_sources import FIELD, is_path
from cli.options import add_run_options, flag_of, split_params
from rules.spec import TradingSpec

Command = TypeVar("Command", bound=Callable[..., Any])

OUT_FORMATS = ("parquet", "csv")
# As many as are stored of each metric, so that every top can be asked of a platform.
_MOST_TOP = 1000
# What messages ask for in terms of a request's body, and the same on a command line.
_FLAG_WORDS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (
        re.compile(r"write it inside trading, as (trading\.\w+)"),
        lambda match: f"write it as {flag_of(match[1])}",
    ),
    (re.compile("write it beside space,"), "write it as a flag of its own,"),
    (re.compile("as a list in datasets"), "with commas, as AAPL,MSFT"),
    (re.compile("with search.method random"), "with --random"),
    (re.compile("set search.method to random"), "use --random"),
)


def add_sweep_options(command: Command) -> Command:
    """Decorate a click command with every flag of a sweep but those of output."""
    for option in reversed(
        (
            click.option(
                "--where",
                multiple=True,
                metavar="EXPR",
                help="Constraint between parameters, for example 'fast < slow'; may be repeated.",
            ),
            click.option(
                "--objective",
                default="sharpe",
                metavar="METRIC",
                show_default=True,
                help="Headline metric by which combinations are ranked.",
            ),
            click.option(
                "--min-trades",
                type=int,
                default=0,
                show_default=True,
                metavar="N",
                help="Rank only combinations with this many closed trades.",
            ),
            click.option("--random", type=int, metavar="N", help="N combinations at random."),
            click.option(
                "--adaptive", type=int, metavar="N", help="N combinations, chosen by the results."
            ),
            click.option(
                "--seed",
                type=int,
                default=0,
                show_default=True,
                metavar="S",
                help="Of --random and --adaptive: the same seed, the same combinations.",
            ),
        )
    ):
        command = option(command)
    return add_run_options(command, value="SPEC")


def add_output_options(command: Command) -> Command:
    """Decorate a click command with what becomes of a sweep's result."""
    for option in reversed(
        (
            click.option(
                "--top",
                type=click.IntRange(1, _MOST_TOP),
                default=10,
                show_default=True,
                metavar="N",
                help="Combinations to show.",
            ),
            click.option(
                "--out",
                metavar="FILE",
                type=click.Path(path_type=Path),
                help="Write all combinations to FILE.parquet or FILE.csv.",
            ),
            click.option(
                "--verdict",
                is_flag=True,
                help="Judge whether the best is real or luck: some seconds more.",
            ),
            click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
            click.option(
                "--server", metavar="URL", help="Compute on this platform instead of in-process."
            ),
        )
    ):
        command = option(command)
    return command


def split_datasets(data: str) -> list[str]:
    """Return the datasets that the first argument names, separated by commas.

    Raises
    ------
    InputError
        For an empty name or one given twice.
    """
    if is_path(data) and Path(data).is_file():  # a file may have a comma in its name
        return [data]
    names = [name.strip() for name in data.split(",")]
    if not all(names):
        raise InputError.of(FIELD, data, "a name between commas is empty")
    if len(set(names)) != len(names):
        raise InputError.of(FIELD, data, "the same data twice; name each once")
    return names


def check_out(out: Path | None) -> str:
    """Return the format that a path asks for, empty without one.

    Raises
    ------
    InputError
        For another ending, or where no file can be written: before anything is computed.
    """
    if out is None:
        return ""
    ending = out.suffix.lower().lstrip(".")
    if ending not in OUT_FORMATS:
        raise InputError.of("--out", str(out), "name a file that ends in .parquet or .csv")
    if not out.parent.is_dir():
        raise InputError.of("--out", str(out), "there is no such directory; create it first")
    if out.is_dir():
        raise InputError.of("--out", str(out), "is a directory; name a file")
    return ending


def build_sweep_payload(datasets: Sequence[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """Turn parsed flags into the body of ``POST /api/v1/sweeps``; values stay SPEC texts.

    Raises
    ------
    InputError
        For a ``-p`` that is not NAME=SPEC or is given twice, or two searches at once.
    """
    trading = {
        name: options[name] for name in TradingSpec.model_fields if options.get(name) is not None
    }
    which = {"dataset": datasets[0]} if len(datasets) == 1 else {"datasets": list(datasets)}
    return {
        **which,
        "rule": options["rule"],
        "space": split_params(options["params"], "NAME=SPEC, for example -p window=2:50"),
        "trading": trading,
        "where": list(options["where"]),
        "objective": options["objective"],
        "min_trades": options["min_trades"],
        "search": _build_search(options),
        "start": options["start"],
        "end": options["end"],
        "adjust": options["adjust"],
    }


def _build_search(options: Mapping[str, Any]) -> dict[str, Any]:
    if options["random"] is not None and options["adaptive"] is not None:
        raise InputError.of("--adaptive", options["adaptive"], "leave out this or --random")
    for method in ("random", "adaptive"):
        if options[method] is not None:
            return {"method": method, "n": options[method], "seed": options["seed"]}
    return {"method": "grid"}


def name_sweep_flags(error: InputError, options: Mapping[str, Any]) -> InputError:
    """Return the same errors in terms of flags: ``-p window``, ``--where``, ``--random N``."""
    return InputError(
        FieldError(_flag_of(item.field, options), item.value, _say_in_flags(item.message))
        for item in error.errors
    )


def _say_in_flags(message: str) -> str:
    """Return a message of the API with what it asks for written as on a command line."""
    for words, flags in _FLAG_WORDS:
        message = words.sub(flags, message)
    return message


def _flag_of(field: str, options: Mapping[str, Any]) -> str:
    room, _, name = field.partition(".")
    if room == "space" and name:
        return f"-p {name}"
    if room == "space":
        return "-p"
    if room == "search":
        method = "--adaptive" if options.get("adaptive") is not None else "--random"
        return "--seed" if name == "seed" else method
    if room in ("where", "objective", "min_trades"):
        return "--" + room.replace("_", "-")
    if room in ("dataset", "datasets"):
        return FIELD
    return flag_of(field)
