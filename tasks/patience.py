"""What is computed is not thrown away because the database restarts, is full or read-only."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from storage.errors import StorageUnavailable
from tasks.logs import get_logger
from tasks.settings import Settings

log = get_logger(__name__)

T = TypeVar("T")

_TOLD = threading.Event()
_FIRST_WAIT_SECONDS, _MAX_WAIT_SECONDS = 0.1, 2.0


def persist(save: Callable[[], T], settings: Settings) -> T:
    """Call `save` until the database takes it, for `database_patience_seconds` at most.

    Parameters
    ----------
    save : callable
        Guarded by a token: repeating it, or coming too late, does no harm.

    Raises
    ------
    StorageUnavailable
        If the database did not come back in time; the lease runs out and the work is done again.
    """
    deadline = time.monotonic() + settings.database_patience_seconds
    wait = _FIRST_WAIT_SECONDS
    waited = False
    while True:
        try:
            saved = save()
        except StorageUnavailable as error:
            if time.monotonic() + wait > deadline:
                raise
            if not waited:
                log.warning("result_waits", error=str(error))
            waited = True
            time.sleep(wait)
            wait = min(2 * wait, _MAX_WAIT_SECONDS)
            continue
        if waited:
            log.info("result_taken")
        return saved


def tell_to_stop() -> None:
    """Note that this process was told to end, for a process that is none of Celery's."""
    _TOLD.set()


def is_stopping() -> bool:
    """Return whether this process was told to end, so that a `SystemExit` means that."""
    if _TOLD.is_set():
        return True
    billiard = sys.modules.get("billiard.common")  # of a pool's process, whose handler it is
    return billiard is not None and bool(billiard.terminate_handler_fired())
