"""The one place that decides how kernels are compiled, and why.

- ``fastmath`` is off and no flag allows contraction: the expressions of definitions.md and their
  order are normative in float64, and one unit in the last place can flip a trade. LLVM fuses a
  multiplication and an addition only where the code says it may; numba then says nothing, so that
  no FMA is emitted even on processors that have it (a test disassembles the kernels and looks).
- ``error_model="numpy"``: a division by zero gives infinity or NaN instead of a branch and an
  exception per division. Kernels guard the divisors that can be zero.
- ``boundscheck`` is off: wrappers check shapes once, kernels index what they were promised.
- ``cache``: compiled code is kept beside the source, so that a process starts in a second. numba
  notices a change of the file that holds the kernel, not of a file whose kernels it inlines.
- ``nogil``: threads of one process compute side by side.
- `inlined` marks small functions that are copied into their caller: state that they pass around
  as tuples stays in registers.
- ``_nrt=False`` on the bar loop: numba counts references to every array that an inlined function
  is given, 20 times the cost of the bar itself, unless its memory runtime is off. Without it an
  allocation does not compile either, which is the proof that none happens per bar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {
    "fastmath": False,
    "error_model": "numpy",
    "boundscheck": False,
    "nogil": True,
}


# Typed loosely: ``_nrt`` is an option that numba itself uses and its annotations leave out.
_njit: Any = numba.njit


def jit(function: Kernel) -> Kernel:
    """Compile a kernel on its first call and keep the machine code on disk."""
    return cast(Kernel, _njit(cache=True, **_OPTIONS)(function))


def jit_loop(function: Kernel) -> Kernel:
    """Compile like `jit`, without numba's memory runtime: what allocates does not compile."""
    return cast(Kernel, _njit(cache=True, _nrt=False, **_OPTIONS)(function))


def inlined(function: Kernel) -> Kernel:
    """Compile a part of a `jit_loop` into whoever calls it; not meant to be called from Python."""
    return cast(Kernel, _njit(forceinline=True, _nrt=False, **_OPTIONS)(function))
