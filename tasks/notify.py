"""Telling somebody that a sweep has ended, through Apprise: a URL for every service there is.

Optional: without `STOCK_BACKTEST_NOTIFY_URLS` the library is not even loaded. Whoever does
maintenance sends, from a thread of its own, so that a slow service holds neither a computation nor
the next pass. The database hands out each end once (see `storage.sweep_notices`); what cannot be
delivered is logged and not tried again. URLs hold secrets, and are never logged: nor is what the
library or a service says, which may quote them.
"""

from __future__ import annotations

import importlib.util
import logging
import queue
import threading
from typing import TYPE_CHECKING, Any

from backtest.errors import FieldError, InputError
from tasks.logs import bind_sweep, get_logger
from tasks.measures import NOTICES, count
from tasks.settings import PREFIX, Settings

if TYPE_CHECKING:
    from storage.store import Store
    from storage.sweep_records import SweepRecord

log = get_logger(__name__)

_VARIABLE = f"{PREFIX}NOTIFY_URLS"
# What ended before that is no news: whoever begins to be told is not told of the whole past.
_NEWS_SECONDS = 3600.0
_BATCH = 50


class Notifier:
    """Sends a message for every sweep that ends.

    Parameters
    ----------
    settings : Settings
        `notify_urls`, separated by commas or blanks; empty sends nothing.

    Notes
    -----
    The library is loaded by the first message, so only in the process that sends; `check_urls` and
    `stock-backtest doctor` find mistakes before that.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._urls = store, settings.notify_urls
        self._waiting: queue.SimpleQueue[SweepRecord] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def look(self) -> int:
        """Take what has ended since, and have it sent; return how many sweeps that were.

        Raises
        ------
        StorageUnavailable
            If the database cannot be reached; nothing is lost.
        """
        if not self._urls.strip():
            return 0
        ended = self._store.sweeps.take_ended(_NEWS_SECONDS, _BATCH)
        for record in ended:
            self._waiting.put(record)
        if ended and self._thread is None:
            self._thread = threading.Thread(target=self._send_all, name="notify", daemon=True)
            self._thread.start()
        return len(ended)

    def _send_all(self) -> None:
        try:
            target = build_target(self._urls)
        except InputError as error:
            log.error("notices_impossible", error=str(error))
            target = None
        while True:
            self._send(target, self._waiting.get())

    def _send(self, target: Any | None, record: SweepRecord) -> None:
        title, body = describe_end(record)
        with bind_sweep(record.sweep_id):
            try:
                is_sent = target is not None and bool(target.notify(title=title, body=body))
            except Exception as error:  # noqa: BLE001  # a plug-in; its text may quote the URL
                log.warning("notice_crashed", error=type(error).__name__)
                is_sent = False
            if is_sent:
                log.info("notice_sent")
            else:
                log.warning("notice_failed", remedy=f"check {_VARIABLE} and the service behind it")
            count(self._store, NOTICES, "sent" if is_sent else "failed")


def check_urls(urls: str) -> None:
    """Refuse at start what can be seen without loading the library.

    Raises
    ------
    InputError
        If the library is not installed, or something is no URL; the message names its place only.
    """
    listed = _split(urls)
    if listed and importlib.util.find_spec("apprise") is None:
        remedy = "needs a library; run `pip install 'stock-backtest[notify]'`, or unset it"
        raise InputError.of(_VARIABLE, "(hidden)", remedy)
    _refuse([number for number, url in enumerate(listed, 1) if "://" not in url])


def build_target(urls: str) -> Any | None:
    """Return what sends to all of `urls`; None if there are none.

    Raises
    ------
    InputError
        As `check_urls` does, and if the library knows no service for a URL.
    """
    check_urls(urls)
    listed = _split(urls)
    if not listed:
        return None
    import apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # it quotes URLs
    target = apprise.Apprise()
    _refuse([number for number, url in enumerate(listed, 1) if not target.add(url)])
    return target


def _split(urls: str) -> list[str]:
    return urls.replace(",", " ").split()


def _refuse(numbers: list[int]) -> None:
    remedy = "is no URL that Apprise knows; write for example mailtos://user:password@host"
    if numbers:
        raise InputError([FieldError(_VARIABLE, f"(URL {n}, hidden)", remedy) for n in numbers])


def describe_end(record: SweepRecord) -> tuple[str, str]:
    """Return title and text of the message about the end of a sweep."""
    title = f"Sweep {record.state}: {record.rule} on {record.symbol}"
    lines = [f"sweep {record.sweep_id}", f"{record.n_positions:,} positions"]
    if record.n_combinations is not None:
        lines.append(f"{record.n_combinations:,} combinations")
    if record.seconds is not None:
        lines.append(f"{record.seconds:,.1f} s from start to end")
    if record.error is not None:
        lines.append(str(record.error.get("message", "failed")))
    return title, "\n".join(lines)
