"""Which cores a process may use."""

from __future__ import annotations

import contextlib
import os
import sys


def use_all_cores() -> None:
    """Let this process use every core that the system gives it.

    A child of the web tier begins on the one core that its parent keeps to (`cli.one_core`), and
    would take turns with it.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):  # forbidden here, and then so was keeping to one core
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
