"""Flags of `backtest`, made from the models that validate, so that no default exists twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from backtest.errors import FieldError, InputError
from rules.spec import TradingSpec, coerce_text

Command = TypeVar("Command", bound=Callable[..., Any])


def add_run_options(command: Command, value: str = "F") -> Command:
    """Decorate a click command with every flag of a run, the contract's names and defaults.

    Parameters
    ----------
    value : str
        What the help calls the value of a trading parameter.
    """
    for name, field in reversed(TradingSpec.model_fields.items()):
        default = "off" if field.default is None else f"{field.default}"
        command = click.option(
            _flag(name), name, metavar=value, help=f"{field.description}.  [{default}]"
        )(command)
    for option in reversed(
        (
            click.option(
                "--rule", "-r", "rule", required=True, help="Name of a rule; `rules` lists them."
            ),
            click.option(
                "-p",
                "params",
                multiple=True,
                metavar="NAME=VALUE" if value == "F" else f"NAME={value}",
                help="Rule parameter; may be repeated.",
            ),
            click.option("--start", metavar="DATE", help="First bar, inclusive."),
            click.option("--end", metavar="DATE", help="Last bar, inclusive."),
            click.option(
                "--adjust/--no-adjust", default=True, help="Use adjusted prices.  [adjust]"
            ),
            click.option(
                "--date-format", metavar="F", help="How dates are written, for example %d/%m/%Y."
            ),
        )
    ):
        command = option(command)
    return command


def build_payload(dataset: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Turn parsed flags into the body of ``POST /api/v1/runs``.

    Raises
    ------
    InputError
        For a ``-p`` that is not NAME=VALUE or is given twice.
    """
    trading = {
        name: coerce_text(options[name])
        for name in TradingSpec.model_fields
        if options.get(name) is not None
    }
    return {
        "dataset": dataset,
        "rule": options["rule"],
        "params": _parse_params(options["params"]),
        "trading": trading,
        "start": options["start"],
        "end": options["end"],
        "adjust": options["adjust"],
    }


def name_flags(error: InputError) -> InputError:
    """Return the same errors with fields named as flags: ``--fee-rate``, ``-p window``."""
    return InputError(
        FieldError(flag_of(item.field), item.value, item.message) for item in error.errors
    )


def split_params(pairs: Sequence[str], remedy: str) -> dict[str, str]:
    """Return the texts of repeated ``-p NAME=TEXT`` by name.

    Raises
    ------
    InputError
        For one that is not of that form, with the words of `remedy`, or is given twice.
    """
    params: dict[str, str] = {}
    errors = []
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            errors.append(FieldError("-p", pair, f"write {remedy}"))
        elif name in params:
            errors.append(FieldError(f"-p {name}", text, "given twice; keep one"))
        else:
            params[name] = text
    if errors:
        raise InputError(errors)
    return params


def _parse_params(pairs: Sequence[str]) -> dict[str, Any]:
    texts = split_params(pairs, "NAME=VALUE, for example -p window=14")
    return {name: coerce_text(text) for name, text in texts.items()}


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def flag_of(field: str) -> str:
    """Return the flag that sets a field: ``--fee-rate`` for ``trading.fee_rate``."""
    room, _, name = field.partition(".")
    if room == "params" and name:
        return f"-p {name}"
    if room == "trading" and name:
        return _flag(name)
    if field in ("start", "end", "rule", "date_format"):
        return _flag(field)
    return field
