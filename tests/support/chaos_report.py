"""docs/reliability.md: the cases of the chaos suite, how to run each, and what was seen."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.support.chaos_outcome import Outcome

_HEAD = """\
# Reliability

What was broken on purpose, and what was seen. The suite itself writes this page:
`make chaos REPORT=docs/reliability.md`. One case alone:
`.venv/bin/python -m pytest tests/chaos/test_faults.py -k "CASE and mariadb"`.

Nothing here rests on luck with the broker. The database is the truth: a claim is a compare-and-set
that gives one attempt at a time a token, a lease is judged by the database's clock alone, and
whatever is accepted but not delivered is sent again (ARCHITECTURE.md, docs/decisions).

## A sweep and a stream of single runs while one thing breaks

Real processes, a real Valkey and a real MariaDB (or a SQLite file): two workers of one process, the
web tier and maintenance; what dies is started again, as a supervisor does. In each case a sweep of
500,000 combinations and a stream of single runs go through the API while one thing breaks. After
it every accepted run is there exactly once and succeeded, its metrics, trades and columns hash to
what an undisturbed run stored; the chunks of the sweep cover it once, each with all of its columns,
and `result_sha256` equals the undisturbed sweep's. `max attempt` is the largest number of starts of
any run or chunk, `lost` how many workers were lost on them, `refused` how often the client had to
repeat a request (503, or nobody there), `healed` the seconds from the end of the disturbance to the
end of all work.

"""

_COLUMNS = (
    "case",
    "database",
    "runs",
    "chunks",
    "max attempt",
    "lost",
    "refused",
    "healed [s]",
    "seen",
)


@dataclass
class Report:
    """What was seen so far."""

    cases: list[tuple[str, str, Outcome]] = field(default_factory=list)
    tests: list[tuple[str, str, float]] = field(default_factory=list)

    def add_case(self, case: str, database: str, outcome: Outcome) -> None:
        self.cases.append((case, database, outcome))

    def add_test(self, nodeid: str, result: pytest.TestReport) -> None:
        outcome = result.outcome
        if result.skipped and isinstance(result.longrepr, tuple):
            outcome = f"skipped: {result.longrepr[2].removeprefix('Skipped: ')}"
        self.tests.append((nodeid, outcome, result.duration))

    def render(self, machine: str) -> str:
        lines = [_HEAD.rstrip(), "", _row(_COLUMNS), _row(["---"] * len(_COLUMNS))]
        # Processes that share the tests end them in another order each time.
        for case, database, seen in sorted(self.cases, key=lambda item: item[1] != "SQLite"):
            numbers = (seen.n_runs, seen.n_chunks, seen.max_attempt, seen.n_lost, seen.n_refused)
            what = "; ".join(["equal", *seen.notes])
            lines.append(_row([case, database, *map(str, numbers), f"{seen.seconds:.1f}", what]))
        seconds = sum(seconds for _, _, seconds in self.tests)
        lines += [
            "",
            "## All tests of this run",
            "",
            f"{machine}; {len(self.tests)} tests, {seconds:.0f} s one after another.",
            "",
            _row(["test", "outcome", "seconds"]),
            _row(["---"] * 3),
        ]
        lines += [
            _row([f"`{name}`", outcome, f"{s:.1f}"]) for name, outcome, s in sorted(self.tests)
        ]
        return "\n".join(lines) + "\n"


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
