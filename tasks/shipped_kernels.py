"""Kernels that were compiled before: for named processors, in a folder that nobody can write.

numba keys its cache by the processor it compiled for, and looks only into folders it can write. An
image carries one cache for each baseline, in a folder of its name below ``NUMBA_CACHE_DIR``. What
is called first in a process chooses the best that this machine runs, pins numba to it, and lets it
see the files through links in a small folder that can be written: what is not among them, the
kernel of a rule that somebody added, is compiled and kept there.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Mapping, MutableMapping
from pathlib import Path

# What each baseline has more than the one after it, in the words of /proc/cpuinfo; best first.
_V3 = frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"})
_V4 = frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"})
BASELINES: Mapping[str, frozenset[str]] = {"x86-64-v4": _V3 | _V4, "x86-64-v3": _V3}

_CPU_INFO = Path("/proc/cpuinfo")
_CACHE, _CPU, _FEATURES = "NUMBA_CACHE_DIR", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"


def read_cpu_flags(file: Path = _CPU_INFO) -> frozenset[str]:
    """Return what this machine's processor can do; nothing where it is not told."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return frozenset()
    names = next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")
    return frozenset(names.split())


def choose_baseline(flags: frozenset[str]) -> str | None:
    """Return the best baseline that a processor with these flags runs, None if it runs none."""
    return next((name for name, needed in BASELINES.items() if needed <= flags), None)


def pin_processor(environ: MutableMapping[str, str], baseline: str) -> None:
    """Let numba compile for a baseline and load what was compiled for it, nothing else."""
    environ[_CPU] = baseline
    # Those of this machine would be part of the key, and of the code.
    environ[_FEATURES] = ""


def use_shipped_kernels(environ: MutableMapping[str, str] | None = None) -> str | None:
    """Point numba to the kernels that were shipped, before its first import.

    Does nothing where none were, and nothing the second time. On a processor older than every
    baseline, kernels are compiled into a folder of this user, once a container.

    Returns
    -------
    str or None
        The baseline that is used.
    """
    environ = os.environ if environ is None else environ
    shipped = environ.get(_CACHE)
    if not shipped or not any((Path(shipped) / name).is_dir() for name in BASELINES):
        return None
    baseline = environ.get(_CPU) or choose_baseline(read_cpu_flags())
    if baseline is None or not (Path(shipped) / baseline).is_dir():
        environ[_CACHE] = str(find_own_folder("own"))
        return None
    pin_processor(environ, baseline)
    environ[_CACHE] = str(_link_files(Path(shipped) / baseline))
    return baseline


def _link_files(source: Path) -> Path:
    """Return a folder that can be written and shows the files of `source`.

    It appears whole, in one step: the next process of this container may look for it now.
    """
    folder = find_own_folder(source.name)
    if any(folder.iterdir()):
        return folder
    fresh = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    for file in source.glob("*/*"):
        link = fresh / file.parent.name / file.name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(file)
    try:
        fresh.rename(folder)  # in place of an empty one
    except OSError:  # another process was faster; what it made is the same
        _remove_links(fresh)
    return folder


def _remove_links(folder: Path) -> None:
    for part in folder.iterdir():
        for link in part.iterdir():
            link.unlink()
        part.rmdir()
    folder.rmdir()


def find_own_folder(name: str) -> Path:
    """Return a folder of this user alone: what lies in it is loaded as code."""
    folder = Path(_find_writable()) / f"stock-backtest-kernels-{os.getuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if ours and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return folder
    return Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))


def _find_writable() -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:  # nothing but memory can be written
        return "/dev/shm" if sys.platform == "linux" else os.curdir  # noqa: S108
