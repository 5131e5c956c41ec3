"""Tables of the benchmarks: on the terminal while they run, as Markdown in docs/benchmarks.md."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contest import Contestant

_OURS = ("numpy", "numba", "celery", "sqlalchemy", "optuna")


@dataclass(frozen=True)
class Table:
    """One table with a heading, and lines of explanation under it."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default_factory=tuple)

    def to_markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [f"### {self.title}", "", "| " + " | ".join(self.headings) + " |"]
        lines.append("|" + "---|" * len(self.headings))
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join([*lines, "", *self.notes]) + "\n"

    def show(self) -> None:
        """Print the table, aligned."""
        grid = [list(self.headings), *map(list, self.rows)]
        widths = [max(len(row[i]) for row in grid) for i in range(len(self.headings))]
        print(f"\n{self.title}")
        for row in grid:
            print(
                "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            )
        for note in self.notes:
            print(f"  {note}")


def build_rate_table(
    title: str, unit: str, contestants: Sequence[Contestant], notes: Sequence[str] = ()
) -> Table:
    """Build a table of rates; ratios are ours over theirs, by the best round and by the median."""
    ours = contestants[0]
    rows = [
        (
            one.name,
            f"{1 / one.best:,.0f}",
            f"{1 / one.median:,.0f}",
            f"{one.best / ours.best:.1f} / {one.median / ours.median:.1f}",
            f"{one.peak_mib:.0f}",
            f"{one.check:.6f}",
        )
        for one in contestants
    ]
    headings = ("", f"{unit}/s, best", "median", "ours is x faster", "peak MiB", "check")
    return Table(title, headings, rows, notes)


def build_time_table(
    title: str, n_bars: int, contestants: Sequence[Contestant], notes: Sequence[str] = ()
) -> Table:
    """Build a table of times per call, with the time per bar."""
    ours = contestants[0]
    rows = [
        (
            one.name,
            f"{one.best * 1e6:,.1f}",
            f"{one.median * 1e6:,.1f}",
            f"{one.best / n_bars * 1e9:.2f}",
            f"{one.best / ours.best:.2f} / {one.median / ours.median:.2f}",
            f"{one.peak_mib:.0f}",
            f"{one.check:.6f}",
        )
        for one in contestants
    ]
    headings = ("", "us, best", "median", "ns per bar", "ours is x faster", "peak MiB", "check")
    return Table(title, headings, rows, notes)


def describe_machine() -> str:
    """Return processor, cores and versions, as a line of Markdown."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _OURS)
    cores = len(os.sched_getaffinity(0))
    return f"{model}, {cores} cores; Python {platform.python_version()}, {versions}."
