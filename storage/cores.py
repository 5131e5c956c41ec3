"""Which cores a process may use."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable

# What a process that keeps to one core was given before, for its children: they begin with what is
# left of it, and nothing else remembers more. Whoever starts them passes the variable on.
CORES_VARIABLE = "BACKTEST_CORES"


def remember_cores(cores: Iterable[int]) -> None:
    """Note for children of this process which cores the system gave it."""
    os.environ[CORES_VARIABLE] = ",".join(map(str, sorted(cores)))


def use_all_cores() -> None:
    """Let this process use every core that its parent was given, and no other.

    A child of the web tier begins on the one core that its parent keeps to (`cli.one_core`), and
    would take turns with it. An operator may have left our processes some cores of many.
    """
    cores = os.environ.get(CORES_VARIABLE, "")
    if not cores or sys.platform != "linux":  # nobody keeps to fewer than were given
        return
    with contextlib.suppress(OSError):  # forbidden here, and then so was keeping to one core
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
