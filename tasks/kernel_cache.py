"""Where numba finds compiled kernels: beside the source, in a directory of ours, or shipped."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def prepare_numba() -> None:
    """Set numba's environment before its first import: one thread, and a cache it can write.

    One process per core is the parallelism; a thread pool in each would only fight over cores.
    """
    for variable in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    shipped = os.environ.get("NUMBA_CACHE_DIR")
    own = Path(tempfile.gettempdir()) / f"stock-backtest-kernels-{os.getuid()}"
    if shipped is None:
        if not _is_writable(Path(__file__).parents[1] / "backtest"):
            # An installation that is read-only or belongs to somebody else: kernels are compiled
            # once per boot into a directory of this user.
            os.environ["NUMBA_CACHE_DIR"] = str(own)
        return
    if Path(shipped) != own and Path(shipped).is_dir() and not os.access(shipped, os.W_OK):
        # numba refuses a cache that it cannot write, even if all that it needs is there. These are
        # some megabytes, copied within milliseconds.
        own.mkdir(mode=0o700, exist_ok=True)
        shutil.copytree(shipped, own, dirs_exist_ok=True, copy_function=shutil.copyfile)
        os.environ["NUMBA_CACHE_DIR"] = str(own)


def _is_writable(package: Path) -> bool:
    cache = package / "__pycache__"
    return os.access(cache if cache.is_dir() else package, os.W_OK)
