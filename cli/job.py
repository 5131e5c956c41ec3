"""`stock-backtest job`: the work of one Kubernetes Job, done by this process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from backtest.errors import InputError
from tasks.job import run_job
from tasks.settings import load_settings

if TYPE_CHECKING:
    from tasks.executors.port import WorkKind


@click.command()
@click.argument("work_id", metavar="ID")
@click.option("--sweep", "is_sweep", is_flag=True, help="ID is a sweep's: compute chunks of it.")
@click.option("--query", "is_query", is_flag=True, help="ID is that of a question about a sweep.")
def job(work_id: str, is_sweep: bool, is_query: bool) -> None:
    """Execute the stored run ID in this process, as the pod of a Kubernetes Job does.

    Exit codes: 0 done; 2 bad input; 3 the database cannot be reached or is not migrated; 4 the
    lease was lost; 5 the run has failed and says why; 143 ended by SIGTERM, the work handed back.
    """
    if is_sweep and is_query:
        raise InputError.of("--query", None, "is not for a sweep; choose one of them")
    kind: WorkKind = "sweep" if is_sweep else "query" if is_query else "run"
    sys.exit(run_job(load_settings(), kind, work_id))
