"""Exit codes of `stock-backtest job`, by which Kubernetes decides what comes next.

====  ==================================================================================
code  meaning
====  ==================================================================================
0     done: the result is stored, or nothing is left to do
1     a mistake of ours: a traceback is in the log; another pod tries
2     bad input: unknown id, unusable settings, or a run that its input ended; final
3     infrastructure: the database cannot be reached or is not migrated; another pod tries, as
      often as it takes
4     lost lease: the work was cancelled, paused or given to another worker; another pod looks
5     the work has ended as failed, with its error stored; final
142   SIGALRM: the work took far longer than it may; another pod tries once its lease is over
143   SIGTERM: the work was handed back; another pod takes it, and it does not count
====  ==================================================================================
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_BAD_INPUT = 2
EXIT_UNREACHABLE = 3
EXIT_LOST = 4
EXIT_FAILED = 5
EXIT_TERMINATED = 143  # 128 + SIGTERM, as a shell would say
