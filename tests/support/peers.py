"""Libraries that our numbers are compared with: `peers.vectorbt`, `peers.stats` and so on.

They take seconds to import, so only a process that compares does.
"""

from __future__ import annotations

import importlib
import warnings
from typing import Any

_PEERS = (
    *("empyrical", "quantstats", "vectorbt", "backtesting._stats"),
    *("scipy.stats", "scipy.special", "scipy.cluster.hierarchy"),
)


def __getattr__(name: str) -> Any:
    for peer in _PEERS:
        if name in (peer.partition(".")[0], peer.rpartition(".")[2]):
            with warnings.catch_warnings():
                # What these libraries deprecate while they are imported is theirs.
                warnings.simplefilter("ignore")
                found = importlib.import_module(peer)
            return globals().setdefault(name, found)
    raise AttributeError(name)
