"""Waiting for processes and conditions, with a message when they do not come."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

import psutil

T = TypeVar("T")


def wait_until(condition: Callable[[], T], seconds: float, what: str, *, pause: float = 0.05) -> T:
    """Return the first true value of `condition`; fail with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(pause)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be collected does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def list_descendants(pid: int) -> list[int]:
    """Process ids of all children, their children and so on."""
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def find_processes(text: str) -> list[int]:
    """Process ids of everything alive, but this, that has `text` in its command line or
    environment."""
    found = []
    for process in psutil.process_iter():
        try:
            values = [*process.cmdline(), *process.environ().values()]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if process.pid != os.getpid() and any(text in value for value in values):
            found.append(process.pid)
    return [pid for pid in found if is_alive(pid)]
