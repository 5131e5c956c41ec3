"""`stock-backtest` with rules that do to the process that computes them what no rule should.

Run as ``python -m tests.support.poisoned_command worker ...``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from backtest.bars import Bars
from cli.main import main
from rules.base_rule import BaseRule, RuleMetadata, RuleOutput, get_rule, register_rule

# Above what a worker warms itself up with.
_DEADLY_BARS = 1000
# A rule that sleeps as a long one computes: in Python, for longer than a worker waits at its end.
SLEEP_SECONDS = 30.0

POISONS: dict[str, Callable[[], Any]] = {
    "poison": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(3),
    "sleeper": lambda: time.sleep(SLEEP_SECONDS),
}


def register_poison() -> None:
    """Add the rules, unless this process has them already."""
    if get_rule("poison") is None:
        for name, act in POISONS.items():
            _register(name, act)


def _register(name: str, act: Callable[[], Any]) -> None:
    @register_rule
    class Poison(BaseRule):
        metadata = RuleMetadata(name, name.capitalize(), "Harms its process.")

        def warmup_bars(self, **params: Any) -> int:
            return 0

        def compute(self, bars: Bars, **params: Any) -> RuleOutput:
            if bars.n_bars > _DEADLY_BARS:
                act()
            raise ValueError("too few bars to harm for")


if __name__ == "__main__":
    register_poison()
    main()
