"""Public sources of bars, as plug-ins: what one is, how it is found, what it is asked.

A plug-in is a class that the entry-point group `GROUP` of an installed package names; the name of
the entry point is the name of the source. It runs in a child process with limits and nothing of
ours in its environment (`storage.ingest`), never in the web process, and only if an operator names
it in ``STOCK_BACKTEST_FETCH_SOURCES``. Standard library only at import.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Protocol

from backtest.errors import FieldError, InputError
from storage.errors import StorageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GROUP = "stock_backtest.sources"

_SOURCE = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class SourceUnavailable(StorageError):
    """A source does not answer, or asks to be left alone for a while."""


@dataclass(frozen=True, slots=True)
class FetchOrder:
    """What is wanted of a source.

    Parameters
    ----------
    source : str
        Name of its entry point.
    symbol : str
        As the source writes it; checked by `storage.datasets.validate_symbol`, so that it cannot
        name another place than an instrument.
    start, end : str, optional
        First and last day, inclusive, as YYYY-MM-DD; default all that the source has.
    """

    source: str
    symbol: str
    start: str | None = None
    end: str | None = None


@dataclass(frozen=True, slots=True)
class FetchedBars:
    """Columns as `backtest.bars.build_bars` takes them; it checks them like those of a file.

    Parameters
    ----------
    timestamps : ndarray of int64, shape (n_bars,)
        UTC ns; daily bars and longer at 00:00 of their local date.
    open, high, low, close : ndarray of float64, shape (n_bars,)
        Unadjusted.
    volume, adj_close : ndarray of float64, shape (n_bars,), optional
    """

    timestamps: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64] | None = None
    adj_close: NDArray[np.float64] | None = None


class BarSource(Protocol):
    """A public source of bars; made anew for each fetch."""

    def fetch(self, order: FetchOrder) -> FetchedBars:
        """Return daily bars.

        Raises
        ------
        InputError
            On field ``symbol``, ``start`` or ``end`` for what it does not have.
        SourceUnavailable
            If it does not answer.
        """
        ...


def parse_source_names(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list, each once.

    Raises
    ------
    ValueError
        For what cannot be the name of a source.
    """
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if not _SOURCE.fullmatch(name):
            raise ValueError(f"{name[:40]!r} names no source; list names such as yahoo")
    return names


def validate_period(start: str | None, end: str | None) -> None:
    """Refuse bounds that are no days, or the wrong way round.

    Raises
    ------
    InputError
        On field ``start`` or ``end``.
    """
    errors = []
    for field, text in (("start", start), ("end", end)):
        if text is not None and not _is_day(text):
            errors.append(FieldError(field, text, "write a day as YYYY-MM-DD"))
    if errors:
        raise InputError(errors)
    if start is not None and end is not None and start > end:
        raise InputError.of("end", end, f"lies before start = {start}")


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def load_source(name: str) -> BarSource:
    """Load a source by its entry point.

    Raises
    ------
    InputError
        On field ``source`` if it is not installed, or lacks the library that it stands on.
    """
    found = [point for point in entry_points(group=GROUP) if point.name == name]
    if not found:
        raise InputError.of("source", name, f"no installed package has it (group {GROUP})")
    try:
        source: BarSource = found[0].load()()
    except ModuleNotFoundError as error:
        message = f"needs {error.name}, which is not installed; `stock-backtest[fetch]` brings it"
        raise InputError.of("source", name, message) from None
    return source
