"""Who runs which test, where several processes share them."""

from __future__ import annotations

from pathlib import PurePath

from xdist.scheduler import LoadFileScheduling

# A library that compiles for a minute wherever it is first used: once is enough.
_USES_VECTORBT = ("test_engine_peers", "test_metrics_peers", "test_convention_peers")


class SuiteScheduling(LoadFileScheduling):
    """A file's tests stay together, and so do the files that share what is slow to start."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "peers" if PurePath(file).stem in _USES_VECTORBT else file
