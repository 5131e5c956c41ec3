"""Rules as they were published, one class each; importing this package registers them.

Every rule names its source, says whether it is the published signal (``exact``) or a reduction to
one series (``adaptation``), and lists every deviation. Why they are read the way they are:
docs/decisions/0014-academic-rules.md.

Timing, the same for all (definitions, section 2): the signal of bar t is decided from bars <= t
and fills at close[t] under ``same_close``, which is what the publications assume, and at open[t+1]
under ``next_open``. Signals lead from one position to the next: BUY to long, SELL to short (under
``long_only`` to flat), EXIT to flat; where the position stays the signal is HOLD.
"""

from rules.paper_rules import breakouts, momentum, monthly, moving_averages

__all__ = ["breakouts", "momentum", "monthly", "moving_averages"]
