"""The demo datasets that ship: daily bars of AAPL, IBM and MSFT, 2000 to 2013."""

from __future__ import annotations

import sysconfig
from pathlib import Path

# In a checkout they lie beside the packages; a wheel installs them below the environment's data
# path (see `options.data_files` in setup.cfg).
_FOLDERS = (
    Path(__file__).resolve().parents[1] / "data",
    Path(sysconfig.get_path("data")) / "share" / "stock-backtest" / "data",
)


def find_demo_file(symbol: str) -> Path | None:
    """Return the bar file of a symbol that ships, in any case, or None."""
    return _demo_files().get(symbol.upper())


def list_demo_symbols() -> list[str]:
    """Return the symbols that ship, in order."""
    return sorted(_demo_files())


def _demo_files() -> dict[str, Path]:
    folder = next((folder for folder in _FOLDERS if folder.is_dir()), None)
    return {} if folder is None else {path.stem: path for path in folder.glob("*.csv")}
