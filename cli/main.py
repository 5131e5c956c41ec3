"""The `stock-backtest` command: subcommands loaded on demand, errors turned into exit codes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence

import click

from backtest.errors import InputError
from backtest.version import __version__
from tasks.settings import print_redacted, redact_text
from tasks.shipped_kernels import use_shipped_kernels

EXIT_DONE, EXIT_FAILED, EXIT_BAD_INPUT, EXIT_UNREACHABLE, EXIT_INTERRUPTED = 0, 1, 2, 3, 130

# `module:attribute` of every subcommand. Loaded on use: `backtest` must not wait for what `up`
# needs, and the other way round.
COMMANDS: Mapping[str, str] = {
    "backtest": "cli.backtest:backtest_command",
    "sweep": "cli.sweep:sweep_command",
    "up": "cli.up:up",
    "web": "cli.processes:web",
    "flower": "cli.processes:flower",
    "worker": "cli.processes:worker",
    "maintenance": "cli.processes:maintenance",
    "job": "cli.job:job",
    "db": "cli.data_commands:db_group",
    "dataset": "cli.data_commands:dataset_group",
    "run": "cli.data_commands:run_group",
    "sweep-run": "cli.sweep_run:sweep_run_group",
    "verify": "cli.info_commands:verify_command",
    "rules": "cli.info_commands:rules_command",
    "token": "cli.access_commands:token_group",
    "audit": "cli.access_commands:audit_command",
    "doctor": "cli.info_commands:doctor_command",
}

# What loads compiled kernels. The others write nothing anywhere, not even links to them.
COMPUTING = frozenset({"backtest", "sweep", "worker", "job", "verify", "doctor"})


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands in the order in which one needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of that name."""
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        if cmd_name in COMPUTING:
            use_shipped_kernels()
        module, _, attribute = target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="stock-backtest")
def group() -> None:
    """Backtest trading rules: here, or on a platform that `stock-backtest up` starts."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 bad input, 3 service unreachable."""
    sys.excepthook = print_redacted
    sys.exit(run(argv))


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    An unexpected error is not caught: its traceback is what its reporter needs, and Python's own
    exit code for it is 1.
    """
    try:
        result = group.main(
            args=None if argv is None else list(argv),
            prog_name="stock-backtest",
            standalone_mode=False,
        )
    except click.exceptions.Abort:
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        # One line, as for every refusal; click's own form adds a usage block.
        _echo_error(" ".join(error.format_message().split()))
        return error.exit_code
    except InputError as error:
        _echo_error(str(error))
        return EXIT_BAD_INPUT
    except Exception as error:
        code = _find_exit_code(error)
        if code is None:
            raise
        _echo_error(str(error))
        return code
    return result if isinstance(result, int) else EXIT_DONE


def _echo_error(text: str) -> None:
    click.echo(f"error: {redact_text(text)}", err=True)


def _find_exit_code(error: Exception) -> int | None:
    # By name, because the modules that define them are expensive and have been imported already if
    # the error was raised.
    codes = {
        "storage.errors.StorageUnavailable": EXIT_UNREACHABLE,
        "storage.errors.SchemaError": EXIT_UNREACHABLE,
        "cli.client.ServerUnavailable": EXIT_UNREACHABLE,
        "cli.client.RunFailed": EXIT_FAILED,
        "cli.report.OutputFailed": EXIT_FAILED,
        "cli.failures.CheckFailed": EXIT_FAILED,
    }
    return codes.get(f"{type(error).__module__}.{type(error).__qualname__}")


if __name__ == "__main__":
    main()
