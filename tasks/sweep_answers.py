"""Which analysis answers which question about a sweep."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapters.sweep_columns import Failures, SweepColumns
    from rules.sweep_spec import SweepSpec
    from tasks.sweep_compute import LoadBars

    Answer = Callable[..., dict[str, Any]]


def answer_question(
    columns: SweepColumns,
    spec: SweepSpec,
    kind: str,
    args: dict[str, Any],
    load: LoadBars,
    check: Callable[[], None],
    failures: Failures | None = None,
) -> dict[str, Any]:
    """Return the answer, JSON-safe.

    Parameters
    ----------
    columns : SweepColumns
        Of a sweep that may still be going on: the answer covers what is done.
    kind : str
        Of `tasks.sweeps.QUERY_KINDS`.
    args : dict
        Arguments of the analysis by name.
    load : callable
        Returns a dataset by its hash, for what has to be computed again.
    check : callable
        Called now and then in a long computation; it may raise to stop.
    failures : Failures, optional
        Shown by the heat map.

    Raises
    ------
    InputError
        If the arguments ask for something that is not there.
    KeyError
        For an unknown kind.
    """
    if kind == "verdict":
        from tasks.sweep_verdict import compute_verdict

        # Of the method: it only tells questions of different versions of the product apart.
        args = {name: value for name, value in args.items() if name != "version"}
        return compute_verdict(columns, spec, load, **args, check=check)
    if kind == "ranking":
        from adapters.sweep_filters import Filter

        args = {**args, "filters": [Filter(**item) for item in args.get("filters", ())]}
    elif kind == "heatmap":
        # It only tells questions from before and after a chunk failed apart.
        args = {name: value for name, value in args.items() if name != "n_failed_chunks"}
        args["failures"] = failures
    return _load_analyses()[kind](columns, spec, **args)


def _load_analyses() -> dict[str, Answer]:
    from adapters.sweep_heatmap import compute_heatmap
    from adapters.sweep_importance import compute_importance
    from adapters.sweep_marginals import compute_marginals
    from adapters.sweep_parallel import build_parallel
    from adapters.sweep_ranking import query_ranking

    return {
        "ranking": query_ranking,
        "heatmap": compute_heatmap,
        "marginals": compute_marginals,
        "importance": compute_importance,
        "parallel": build_parallel,
    }
