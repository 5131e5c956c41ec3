"""Every benchmark, into docs/benchmarks.md and docs/scaling.png: what `make bench` runs.

python benchmarks/run_all.py --peers-python peers/bin/python
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import bench_page
import bench_platform
import bench_single_run
import bench_sweep
from bench_sweep import NARROW, WIDE
from contest import PEERS_VARIABLE, run_contest
from markets import ROOT
from report import Table, describe_machine

_INTRODUCTION = """# Benchmarks

Made by `make bench`. Contestants run side by side, each warm and in a process of its own, in turn;
the best and the median of several rounds are shown. Machines are noisy: ratios within one table
mean something, times between two machines do not. `check` is a total return: it shows that all have
done the same work; peers with other rules for reversals or stops differ there. benchmarks/README.md
says how to run them.

"""
_SIZES = (1_000, 10_000, 100_000, 1_000_000)


def measure_scaling(rounds: int) -> list[tuple[int, int, int, float]]:
    """Return (bars, combinations, threads, seconds per combination) over all sizes."""
    points = []
    for n_bars in _SIZES:
        for spans, n_combinations in ((NARROW, 100), (WIDE, 10_000)):
            if n_bars * n_combinations > 1_000_000_000:
                continue
            for threads in (1, 2):
                arguments = {
                    "market": "walk",
                    "n_bars": n_bars,
                    "spans": spans,
                    "n_combinations": n_combinations,
                    "stops": False,
                    "threads": threads,
                    "cores": threads,
                }
                script = str(Path(bench_sweep.__file__))
                (ours,) = run_contest(script, ["ours"], None, rounds, arguments)
                points.append((n_bars, n_combinations, threads, ours.best))
    return points


def draw_scaling(points: list[tuple[int, int, int, float]], target: Path) -> None:
    """Draw nanoseconds per bar and combination over the number of bars."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for n_combinations in sorted({point[1] for point in points}):
        for threads in (1, 2):
            chosen = [p for p in points if p[1:3] == (n_combinations, threads)]
            bars = [p[0] for p in chosen]
            costs = [p[3] / p[0] * 1e9 for p in chosen]  # [s] / [bars] * [ns / s]
            label = f"{n_combinations:,} combinations, {threads} thread{'s' * (threads > 1)}"
            axes.plot(bars, costs, marker="o", linestyle="-" if threads == 1 else "--", label=label)
    axes.set(xscale="log", yscale="log", xlabel="bars", ylabel="ns per bar and combination")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    FigureCanvasAgg(figure).print_figure(target, dpi=110)


def main() -> None:
    """Parse the command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Run every benchmark.")
    parser.add_argument("--peers-python", default=os.environ.get(PEERS_VARIABLE))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bars", type=int, default=1_000_000, help="length of the random walk")
    options = parser.parse_args()
    if options.peers_python is None:
        print(f"No peers: give --peers-python or set {PEERS_VARIABLE}; see benchmarks/README.md.")
    shared = (options.peers_python, options.rounds, options.bars)
    sections: list[tuple[str, list[Table]]] = [
        ("One backtest", bench_single_run.run_benchmark(*shared)),
        ("Sweeps", bench_sweep.run_benchmark(*shared)),
        ("The platform", bench_platform.run_benchmark(options.rounds)),
    ]
    if Path(bench_page.CHROMIUM).exists():
        sections.append(("The page", bench_page.run_benchmark(bench_page.CHROMIUM)))
    else:
        print(f"No page: there is no {bench_page.CHROMIUM}.")
    draw_scaling(measure_scaling(2), ROOT / "docs" / "scaling.png")
    parts = [_INTRODUCTION, describe_machine() + "\n"]
    for title, tables in sections:
        parts.append(f"## {title}\n\n" + "\n".join(table.to_markdown() for table in tables))
    parts.append(
        "## Scaling\n\n![Cost per bar and combination over bars, combinations and threads]"
        "(scaling.png)\n"
    )
    (ROOT / "docs" / "benchmarks.md").write_text("\n".join(parts), "utf-8")


if __name__ == "__main__":
    main()
