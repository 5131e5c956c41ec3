"""The child process of a fetch's preview, with yfinance pointed at a recording."""

from __future__ import annotations

from storage.ingest_child import leave, run_child
from tasks.preview_child import build_preview
from tests.support.recorded_yahoo import recorded_yahoo

if __name__ == "__main__":
    with recorded_yahoo():
        code = run_child(build_preview)
    leave(code)
