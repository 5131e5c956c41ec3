"""Compile every kernel for each baseline into a folder: a step of building the image.

``python -m tasks.kernel_warmup FOLDER [--baseline NAME]... [--rule NAME]... [--runs-only]``

The machine that builds need not run what it builds for. One process computes each rule for the best
baseline that this machine has, and with that finds the signatures which are needed; for each other
baseline a process compiles them without calling them. Both must end with the same files.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pickle
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tasks.shipped_kernels import BASELINES, pin_processor, read_cpu_flags

_ADDRESS = re.compile(rb"(<function [\w.<>]+ at 0x)([0-9a-f]+)(?=>)")
_ROOMS = ("backtest", "rules", "adapters", "tasks")


class WarmupFailed(Exception):
    """The image would compile at run time; the message says why."""


def warm_baselines(
    folder: Path, baselines: Sequence[str], rules: Sequence[str] = (), *, sweeps: bool = True
) -> dict[str, int]:
    """Fill `folder` with a cache for each baseline; return how many files each has.

    Parameters
    ----------
    rules : sequence of str
        Compile what runs and sweeps of these need; by default of all.
    sweeps : bool
        Without them, compile what runs need.

    Raises
    ------
    WarmupFailed
        If this machine cannot run any baseline, or the caches are not of the same kernels.
    """
    flags = read_cpu_flags()
    first = next((name for name in baselines if BASELINES[name] <= flags), None)
    if first is None:
        raise WarmupFailed(f"this processor runs none of {', '.join(baselines)}; build elsewhere")
    words = [word for rule in rules for word in ("--rule", rule)]
    words += [] if sweeps else ["--runs-only"]
    with tempfile.TemporaryDirectory(prefix="signatures-") as scratch:
        signatures = Path(scratch) / "signatures"
        _run_step(folder / first, first, ["--step", "find", str(signatures), *words])
        for baseline in baselines:
            if baseline != first:
                _run_step(folder / baseline, baseline, ["--step", "compile", str(signatures)])
    names = {name: list_cached(folder / name) for name in baselines}
    for name, files in names.items():
        differing = sorted(files ^ names[first])
        if differing or not files:
            raise WarmupFailed(f"{name} and {first} differ in {', '.join(differing) or 'nothing'}")
        _drop_addresses(folder / name)
    return {name: len(files) for name, files in names.items()}


def _drop_addresses(folder: Path) -> None:
    """Make two builds the same: texts in a cache quote functions with where they were in memory."""
    for file in folder.glob("*/*.nbc"):
        file.write_bytes(_ADDRESS.sub(lambda at: at[1] + b"0" * len(at[2]), file.read_bytes()))


def list_cached(folder: Path) -> set[str]:
    """Return the names of all files of a cache, below its folder."""
    return {file.relative_to(folder).as_posix() for file in folder.glob("*/*.nb[ic]")}


def _run_step(target: Path, baseline: str, words: list[str]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    # The order in which sets are walked is part of what numba writes.
    environ = {**os.environ, "NUMBA_CACHE_DIR": str(target), "PYTHONHASHSEED": "0"}
    pin_processor(environ, baseline)
    command = [sys.executable, "-P", "-m", "tasks.kernel_warmup", *words]
    if subprocess.run(command, env=environ, check=False).returncode != 0:  # noqa: S603  # ours
        raise WarmupFailed(f"the kernels of {baseline} could not be compiled; see above")


def _find_signatures(rules: Sequence[str], *, sweeps: bool) -> list[tuple[str, str, Any]]:
    """Compute what is warmed, and return the signatures that came up."""
    from rules.base_rule import list_rules
    from tasks.worker import compute_made_up

    unknown = sorted(set(rules) - {rule.metadata.name for rule in list_rules()})
    if unknown:
        raise WarmupFailed(f"there is no rule {', '.join(unknown)}")
    # A worker would go on without them; an image would lack their kernels for good.
    failed = compute_made_up(tuple(rules), sweeps=sweeps)
    if failed:
        raise WarmupFailed(f"could not be computed: {', '.join(failed)}; see above")
    return [
        (module, name, signature)
        for module, name, kernel in _list_kernels()
        for signature in kernel.signatures
    ]


def _compile_signatures(signatures: Sequence[tuple[str, str, Any]]) -> None:
    for module, name, signature in signatures:
        getattr(importlib.import_module(module), name).compile(signature)


def _list_kernels() -> Iterator[tuple[str, str, Any]]:
    """Yield each kernel that is cached, once, under the module that defines it."""
    from numba.core.dispatcher import Dispatcher

    for module in sorted(sys.modules):
        if module.partition(".")[0] not in _ROOMS:
            continue
        for name, value in list(vars(sys.modules[module]).items()):
            if isinstance(value, Dispatcher) and value.py_func.__module__ == module:
                yield module, name, value


def main(argv: Sequence[str] | None = None) -> int:
    """Compile; 0 done, 1 failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--baseline", action="append", choices=list(BASELINES))
    parser.add_argument("--rule", action="append", default=[])
    parser.add_argument("--runs-only", action="store_true")
    parser.add_argument("--step", choices=["find", "compile"], help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    try:
        if options.step == "find":
            found = _find_signatures(options.rule, sweeps=not options.runs_only)
            options.folder.write_bytes(pickle.dumps(found))
            return 0
        if options.step == "compile":
            # Written by the step before, a child of the same process.
            _compile_signatures(pickle.loads(options.folder.read_bytes()))  # noqa: S301
            return 0
        counts = warm_baselines(
            options.folder,
            options.baseline or [*BASELINES],
            options.rule,
            sweeps=not options.runs_only,
        )
    except WarmupFailed as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    for baseline, count in counts.items():
        sys.stderr.write(f"{baseline}: {count} files\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
