"""`stock-backtest` whose finalisers never come to an end.

Run as ``python -m tests.support.lingering_command worker ...``.
"""

from __future__ import annotations

import time
from typing import Any, NoReturn

from cli.main import main
from tasks import sweep_finish
from tasks.sweep_execute import LeaseKeeper


def _linger(store: Any, sweep_id: str, document: Any, keeper: LeaseKeeper) -> NoReturn:
    while True:
        keeper.check()
        time.sleep(0.01)


if __name__ == "__main__":
    sweep_finish._summarise = _linger
    main()
