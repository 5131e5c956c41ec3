"""What is said of work that costs one worker after another its life."""

from __future__ import annotations

from typing import Any


def describe_exhaustion(what: str, attempts: int, last_exit: str | None) -> dict[str, Any]:
    """Return the error of work that is given up.

    Parameters
    ----------
    what : str
        The work: ``this run``.
    attempts : int
        How many workers were lost on it.
    last_exit : str or None
        How the latest process ended whose end was seen: ``signal 9 (SIGKILL)``. None if each went
        together with its whole worker, or fell silent.
    """
    seen = (
        f"the last exit that was seen: {last_exit}"
        if last_exit
        else "it was ended together with its worker, or fell silent"
    )
    return {
        "code": "attempts_exhausted",
        "message": f"the worker process stopped in each of {attempts} attempts at {what}; {seen}",
        "exit": last_exit,
        "errors": [],
    }
