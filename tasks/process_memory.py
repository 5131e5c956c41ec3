"""Keeping long-lived processes small: what a run frees goes back to the system."""

from __future__ import annotations

import ctypes

# Of glibc's malloc.h.
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
# Without a limit every thread that allocates may get a heap of its own, which never shrinks.
_MAX_ARENAS = 2
# Columns of a long run (8 MB for 1,000,000 bars) are mapped and unmapped one by one. Setting the
# threshold also switches off its growth, by which freed columns would stay in the heap. [bytes]
_MMAP_THRESHOLD = 1024 * 1024


def limit_heap_growth() -> None:
    """Configure the C library's allocator, before the process starts threads.

    Does nothing where the C library has no `mallopt` (musl, macOS).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _MAX_ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD)
