"""What the compiler must not do: fuse multiplications with additions, allocate, keep the lock."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from backtest.jit import inlined, jit, jit_loop

REPOSITORY = Path(__file__).resolve().parents[2]

# x86-64-v3 has FMA: the compiler could use it on any machine that these tests run on.
PROBE = """
import re
import numpy as np
from backtest import engine_kernels, headline
from backtest.engine import build_engine_config, measure_headline, run_engine, stream_engine
from tests.support.engine_tables import FREE

prices = np.full(50, 100.0)
signal = np.zeros(50, dtype=np.int8)
config = build_engine_config(FREE, 252.0)
measure_headline(run_engine(prices, prices, prices, prices, signal, None, config), config)
stream_engine(prices, prices, prices, prices, signal, None, config)
for kernel in (engine_kernels.run_kernel, engine_kernels.stream_kernel, headline.measure_kernel):
    (assembly,) = kernel.inspect_asm().values()
    assert "vmulsd" in assembly, "not compiled for a processor with AVX"
    fused = re.findall(r"vfn?m(?:add|sub)\\w*", assembly)
    assert not fused, (kernel.__name__, fused)
print("no fused operations")
"""

CONTROL = """
import re
import numba

@numba.njit("float64(float64, float64, float64)", fastmath={"contract"})
def fused(a, b, c):
    return a * b + c

(assembly,) = fused.inspect_asm().values()
assert re.search(r"vfn?m(?:add|sub)", assembly), "this processor model has no FMA"
print("fused when allowed")
"""


def run_probe(source, cache_dir):
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(cache_dir),
        "NUMBA_CPU_NAME": "haswell",
        "NUMBA_CPU_FEATURES": "+avx2,+fma,+bmi,+bmi2",
    }
    return subprocess.run(
        [sys.executable, "-c", source],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


def test_the_kernels_are_compiled_without_fused_operations(tmp_path):
    allowed = run_probe(CONTROL, tmp_path)
    assert allowed.stdout.strip() == "fused when allowed", allowed.stderr
    found = run_probe(PROBE, tmp_path)
    assert found.stdout.strip() == "no fused operations", found.stderr


def test_what_allocates_does_not_compile_in_a_bar_loop():
    # Two functions: numba's cache on disk knows a function, not the options it is compiled with.
    def allocate_freely(n):
        return np.empty(n).size

    def allocate_in_a_loop(n):
        return np.empty(n).size

    assert jit(allocate_freely)(4) == 4
    with pytest.raises(numba.core.errors.TypingError, match="empty"):
        jit_loop(allocate_in_a_loop)(4)


def test_the_decorators_keep_ieee_semantics_and_release_the_lock():
    for decorate in (jit, jit_loop, inlined):
        options = decorate(abs_or_zero).targetoptions
        assert options["fastmath"] is False
        assert options["error_model"] == "numpy"
        assert options["boundscheck"] is False
        assert options["nogil"] is True


def abs_or_zero(x):
    return abs(x) if x == x else 0.0
