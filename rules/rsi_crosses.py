"""Where RSI crosses levels, for many windows and levels in one pass over the bars.

Faster than to write rows of 8 MB a million bars and to read them again for each level, and without
their memory. Importing this module loads numba.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backtest.signal_events import SignalEvents
from rules import rsi_lanes
from rules.rsi_lanes import BLOCK, N_LANES

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Log = tuple[NDArray[np.int32], NDArray[np.int32]]  # bars, and the signal of each

# Entries of the log between two calls; a call covers at least one block.
_LOG_SIZE = 2**20


def build_rsi_crosses(
    close: FloatArray, windows: IntArray, levels: ArrayLike, signs: FloatArray, codes: ArrayLike
) -> SignalEvents:
    """Build the events of RSI crossing levels, one level a signal.

    Parameters
    ----------
    close : ndarray of float64, shape (n_bars,)
    windows : ndarray of int64, shape (n_signals,)
    levels : array_like of float, shape (n_signals,)
    signs : ndarray of float64, shape (n_signals,)
        1.0 where crossing above speaks, -1.0 for below.
    codes : array_like of int, shape (n_signals,)
        What it says: BUY, SELL or EXIT.

    Returns
    -------
    SignalEvents
        Equal to `compute_crosses_above` and ``_below`` of `compute_rsi`.
    """
    level = np.asarray(levels, dtype=np.float64)
    logs: list[Log] = []
    # Signals that watch one window in one direction are a group, and groups lie by window.
    order = np.lexsort((signs, windows))
    window_of, sign_of = windows[order], signs[order]
    is_new = np.ones(order.size, np.bool_)
    is_new[1:] = (np.diff(window_of) != 0) | (np.diff(sign_of) != 0)
    starts = np.append(np.flatnonzero(is_new), order.size)
    distinct, lane_of = np.unique(window_of[starts[:-1]], return_inverse=True)
    for first in range(0, distinct.size, N_LANES):
        together = distinct[first : first + N_LANES]
        a, b = np.searchsorted(lane_of, (first, first + N_LANES))
        chosen = slice(starts[a], starts[b])
        groups = (
            starts[a : b + 1] - starts[a],
            lane_of[a:b] - first,
            sign_of[starts[a:b]],
            level[order[chosen]],
            order[chosen],
        )
        logs += _log_crosses(close, together, *groups)
    return _sort_log(logs, np.asarray(codes, dtype=np.int8))


def _log_crosses(
    close: FloatArray,
    windows: IntArray,
    starts: IntArray,
    lane_of: IntArray,
    signs: FloatArray,
    levels: FloatArray,
    signals: IntArray,
) -> list[Log]:
    """Return what up to `N_LANES` windows cross, as `scan_rsi_crosses` logs it, piece by piece."""
    lanes, block = rsi_lanes.allocate_lanes(3), rsi_lanes.allocate_lanes(BLOCK)
    head = rsi_lanes.start_lanes(close, windows, lanes)
    together = head.shape[1]
    # A signal speaks on every second bar at most, and one entry more than that is written.
    n_bars = max(BLOCK, _LOG_SIZE // levels.size // BLOCK * BLOCK)
    size = (max(min(n_bars, close.size), together) // 2 + 1) * levels.size + 1
    bar, signal = np.empty((2, size), np.int32)
    place = 0
    for g, (start, stop) in enumerate(pairwise(starts.tolist())):
        group = (signs[g], levels[start:stop], signals[start:stop])
        place = rsi_lanes.append_crosses(head[lane_of[g]], 0, *group, bar, signal, place)
    pieces = [(bar[:place].copy(), signal[:place].copy())]
    stretch = np.empty((windows.size, BLOCK + 1))
    stretch[:, BLOCK] = head[:, together - 1]
    groups = (starts, lane_of, signs, levels, signals)
    for first in range(together, close.size, n_bars):
        stop = min(first + n_bars, close.size)
        place = rsi_lanes.scan_rsi_crosses(
            close, first, stop, lanes, block, stretch, *groups, bar, signal
        )
        pieces.append((bar[:place].copy(), signal[:place].copy()))
    return pieces


def _sort_log(logs: list[Log], codes: NDArray[np.int8]) -> SignalEvents:
    """Put the bars of each signal behind one another."""
    counts = np.zeros(codes.size, np.int64)
    for _, signal in logs:
        counts += np.bincount(signal, minlength=codes.size)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    out, places = np.empty(int(offsets[-1]), np.int32), offsets[:-1].copy()
    for bar, signal in logs:
        rsi_lanes.place_events(bar, signal, places, out)
    return SignalEvents(offsets, out, np.repeat(codes, counts), np.empty(0))
