"""Where numba finds compiled kernels: beside the source, in a directory of ours, or shipped."""

from __future__ import annotations

import os
from pathlib import Path

from tasks.shipped_kernels import find_own_folder, use_shipped_kernels


def prepare_numba() -> None:
    """Set numba's environment before its first import: one thread, and a cache it can write.

    One process per core is the parallelism; a thread pool in each would only fight over cores.
    """
    for variable in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    if use_shipped_kernels() is not None or "NUMBA_CACHE_DIR" in os.environ:
        return
    if not _is_writable(Path(__file__).parents[1] / "backtest"):
        # An installation that is read-only or belongs to somebody else: kernels are compiled once
        # per boot into a directory of this user.
        os.environ["NUMBA_CACHE_DIR"] = str(find_own_folder("own"))


def _is_writable(package: Path) -> bool:
    cache = package / "__pycache__"
    return os.access(cache if cache.is_dir() else package, os.W_OK)
