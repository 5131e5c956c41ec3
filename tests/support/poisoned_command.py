"""`stock-backtest` with one more rule, which kills the process that computes it.

Run as ``python -m tests.support.poisoned_command worker ...``.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from backtest.bars import Bars
from cli.main import main
from rules.base_rule import BaseRule, RuleMetadata, RuleOutput, get_rule, register_rule

# Above what a worker warms itself up with.
_DEADLY_BARS = 1000


def register_poison() -> None:
    """Add the rule `poison`, unless this process has it already."""
    if get_rule("poison") is not None:
        return

    @register_rule
    class Poison(BaseRule):
        metadata = RuleMetadata("poison", "Poison", "Kills its process.")

        def warmup_bars(self, **params: Any) -> int:
            return 0

        def compute(self, bars: Bars, **params: Any) -> RuleOutput:
            if bars.n_bars > _DEADLY_BARS:
                os.kill(os.getpid(), signal.SIGKILL)
            raise ValueError("too few bars to kill for")


if __name__ == "__main__":
    register_poison()
    main()
