"""What a case of the chaos suite left behind."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What a case left behind, for the table in docs/reliability.md."""

    n_runs: int = 0
    n_chunks: int = 0
    max_attempt: int = 0
    n_lost: int = 0
    n_refused: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
