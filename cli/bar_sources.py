"""Where bars come from: a file of one's own, a symbol that ships, or what a platform has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backtest.errors import InputError
from cli.demo_data import find_demo_file, list_demo_symbols

if TYPE_CHECKING:
    from backtest.bars import Bars, DataWarning
    from cli.client import PlatformClient

FIELD = "FILE_OR_SYMBOL"


@dataclass(frozen=True, slots=True)
class BarSource:
    """A bar file of this machine and the symbol that it goes by."""

    path: Path
    symbol: str

    def load(self, date_format: str | None) -> tuple[Bars, Sequence[DataWarning]]:
        """Read the file.

        Raises
        ------
        InputError
            For what the file refuses.
        """
        # Imported here: neither `--server` nor a refusal of flags waits for pyarrow.
        from storage.bar_files import load_bar_file

        return load_bar_file(self.path, date_format=date_format)


def is_path(data: str) -> bool:
    """Return whether `data` names a file rather than a symbol."""
    return "/" in data or "." in data or Path(data).is_file()


def symbol_of(path: Path) -> str:
    """Return the symbol that a file gets: its name without endings, in capitals."""
    return path.name.split(".")[0].upper() or "FILE"


def find_file(data: str) -> BarSource:
    """Return the file that `data` is the path of.

    Raises
    ------
    InputError
        If there is none.
    """
    path = Path(data)
    if not path.is_file():
        raise InputError.of(FIELD, data, "no such file; check the path")
    return BarSource(path, symbol_of(path))


def find_source(data: str) -> BarSource:
    """Return the file that `data` is the path of, or that ships under that symbol.

    Raises
    ------
    InputError
        If there is neither.
    """
    if is_path(data):
        return find_file(data)
    found = find_demo_file(data)
    if found is None:
        known = ", ".join(list_demo_symbols())
        raise InputError.of(FIELD, data, f"no such file, and no symbol that ships ({known})")
    return BarSource(found, data.upper())


def place_on_server(
    client: PlatformClient, source: BarSource, bars: Bars, date_format: str | None
) -> str:
    """Return the content hash of a file's bars, uploaded if the platform does not have them.

    Content that is there, under whatever symbol, stays where it is: a backtest gives no symbol a
    new version unless it has to.
    """
    from backtest.bars import compute_dataset_hash

    sha256 = compute_dataset_hash(bars)
    if client.has_dataset(sha256):
        return sha256
    return str(client.upload_dataset(source.path, source.symbol, date_format)["sha256"])
