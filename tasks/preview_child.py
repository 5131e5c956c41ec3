"""The child process of a preview: a file in, what it would be stored as out.

See `storage.ingest`. It ends before anything is stored, and answers a line of JSON of bounded
length whatever the file.
"""

from __future__ import annotations

from typing import Any

from adapters.adapter import to_json_list
from adapters.bar_report import build_bar_report
from adapters.views import build_series_view
from backtest.bars import COLUMNS, Bars, format_times
from storage.bar_columns import FileFacts, LoadedBars
from storage.ingest_child import Answer, describe_dataset, leave, run_child

_N_ROWS = 5
_MAX_POINTS = 2000
_MOST_NAMES, _MOST_CHARACTERS = 60, 60


def build_preview(loaded: LoadedBars, config: dict[str, Any]) -> Answer:
    """Return the preview of a file; `webapp.dataset_schemas.DatasetPreview` names its parts."""
    bars = loaded.bars
    dataset = describe_dataset(loaded)
    columns = {name: getattr(bars, name) for name in COLUMNS}
    shown = {"time": bars.timestamps, "close": bars.close}
    view = build_series_view(shown, ("close",), bars.spacing, max_points=_MAX_POINTS)
    preview = {
        **dataset,
        "file": _describe_file(loaded.facts),
        "first_rows": _list_rows(bars, 0, min(_N_ROWS, bars.n_bars)),
        "last_rows": _list_rows(bars, max(bars.n_bars - _N_ROWS, _N_ROWS), bars.n_bars),
        "report": build_bar_report(columns, bars.spacing, dataset["warnings"]),
        "series": view,
    }
    return preview, []


def _describe_file(facts: FileFacts) -> dict[str, Any]:
    roles = {idx: role for role, idx in facts.roles.items()}
    # Those that are read come first where there are more than a person looks at.
    order = sorted(range(len(facts.names)), key=lambda idx: (idx not in roles, idx))[:_MOST_NAMES]
    return {
        "kind": facts.kind,
        "date_format": facts.date_format,
        "n_columns": len(facts.names),
        "columns": [
            {"name": facts.names[idx][:_MOST_CHARACTERS], "role": roles.get(idx)}
            for idx in sorted(order)
        ],
    }


def _list_rows(bars: Bars, start: int, stop: int) -> list[list[Any]]:
    """Return rows of time, open, high, low, close, volume and adjusted close, as read."""
    if start >= stop:
        return []
    part = slice(start, stop)
    prices = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    listed = [to_json_list(values[part]) for values in prices]
    adjusted = to_json_list(bars.close[part] * bars.adj_factor[part])
    times = format_times(bars.timestamps[part], bars.spacing)
    return [list(row) for row in zip(times, *listed, adjusted, strict=True)]


if __name__ == "__main__":
    leave(run_child(build_preview))
