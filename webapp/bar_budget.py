"""How many bars of results this process holds in memory at a time."""

from __future__ import annotations

import threading
from collections import deque

# Smaller results pass unasked: all threads together hold few of their bytes.
# [bars] * [some 6 columns] * [8 bytes] = [4.8 MB]
LARGE_BARS = 100_000
# [bars] * [some 6 columns] * [8 bytes] = [200 MB], and their trades.
_MOST_BARS = 4_000_000


class BarBudget:
    """So many bars at a time; who comes first is served first, whoever behind would fit.

    Parameters
    ----------
    most : int
        Bars. What is larger than all of it is admitted alone.
    """

    def __init__(self, most: int = _MOST_BARS) -> None:
        self.most = most
        self._left = most
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()

    def acquire(self, n_bars: int, timeout: float = 0.0) -> bool:
        """Take `n_bars`; False if they are not free within `timeout` seconds."""
        wanted, ticket = min(n_bars, self.most), object()
        with self._changed:
            self._queue.append(ticket)
            try:
                is_free = self._changed.wait_for(
                    lambda: self._queue[0] is ticket and wanted <= self._left, timeout
                )
                if is_free:
                    self._left -= wanted
                return is_free
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def release(self, n_bars: int) -> None:
        """Give back what `acquire` took."""
        with self._changed:
            self._left += min(n_bars, self.most)
            self._changed.notify_all()
