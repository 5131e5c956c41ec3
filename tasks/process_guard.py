"""Tie a process's life to its parent's: no orphan even after the parent was killed outright."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent_pid: int | None = None) -> None:
    """Ask the kernel to kill this process the moment its parent dies (Linux; elsewhere nothing).

    The setting survives ``exec`` but not ``fork``: every generation asks for itself.

    Parameters
    ----------
    parent_pid : int, optional
        The expected parent. If it is gone already, this process ends at once: the parent may have
        died between the fork and this call.
    """
    if not sys.platform.startswith("linux"):
        return
    if _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if parent_pid is not None and os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def build_child_guard() -> Callable[[], None]:
    """Return a ``preexec_fn`` that ties a child to this process.

    Notes
    -----
    The kernel watches the *thread* that forked: start children from a thread that lives as long as
    they should, which in the supervisor is the only one.
    """
    parent_pid = os.getpid()
    return lambda: die_with_parent(parent_pid)


# Loaded before any fork: the child between fork and exec must not allocate more than it needs.
_LIBC = ctypes.CDLL(None, use_errno=True)
