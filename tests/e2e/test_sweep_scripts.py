"""Brushes, and one combination out of many: the arithmetic of the sweep page, in the browser."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rules.spec import TradingSpec

AXES = [
    {"name": "window", "ordered": True, "values": [2, 4, 6, 8]},
    {"name": "stop_loss", "ordered": True, "values": [0.05, 0.1, None]},
    {"name": "fill", "ordered": False, "values": ["next_open", "same_close", "worst_of_bar"]},
    {"name": "sharpe", "isMetric": True},
]


def read(script: Any, text: str, then: str) -> Any:
    return script(
        "sweep/brush.js",
        f"(({{ brushes, fault }}) => {then})"
        f"(m.parseBrushes({json.dumps(text)}, {json.dumps(AXES)}))",
    )


@pytest.mark.parametrize(
    "text",
    [
        "window=4..6",
        "window=4",
        "window=..6",
        "window=4..",
        "stop_loss=0.1..off",
        "stop_loss=off",
        "fill=next_open,worst_of_bar",
        "sharpe=-0.5..1.25",
        "window=2..4 sharpe=0..",
    ],
)
def test_a_brush_is_written_as_it_was_read(script: Any, text: str) -> None:
    assert read(script, text, "m.writeBrushes(brushes.values())") == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("window=4..6", [1, 2]),
        ("window=5..", [2, 3]),
        ("stop_loss=0.1..off", [1, 2, 3]),
        ("stop_loss=off", [2, 3]),
        ("stop_loss=..0.1", [0, 1]),
        ("fill=next_open,worst_of_bar", [0, 2, 3]),
        ("sharpe=0.5..", [1, 2]),
        ("window=2..6 sharpe=1", [1]),
    ],
)
def test_a_line_is_kept_where_every_brush_holds(script: Any, text: str, kept: list[int]) -> None:
    fills = ["next_open", "same_close", "worst_of_bar", "next_open"]
    rows = [
        {
            "params": {"window": window},
            "trading": {"stop_loss": stop, "fill": fill},
            "metrics": {"sharpe": sharpe},
        }
        for window, stop, fill, sharpe in zip(
            [2, 4, 6, 8], [0.05, 0.1, None, None], fills, [0, 1, 0.5, None], strict=True
        )
    ]
    flags = read(script, text, f"{json.dumps(rows)}.map((row) => m.isKept(brushes, row, 'sharpe'))")
    assert [idx for idx, flag in enumerate(flags) if flag] == kept


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("window=4..6 sharpe=0..", {"filter": "window>=4 window<=6 sharpe>=0"}),
        ("window=4", {"filter": "window=4"}),
        ("stop_loss=off", {"filter": "stop_loss=off"}),
        ("fill=next_open", {"filter": "fill=next_open"}),
        (
            "fill=next_open,same_close",
            {"fault": "the ranking takes one value of fill, not several"},
        ),
        (
            "stop_loss=0.1..off",
            {"fault": "the ranking takes stop_loss off or a range of it, not both"},
        ),
    ],
)
def test_a_brush_becomes_a_condition_of_the_ranking(
    script: Any, text: str, expected: dict[str, str]
) -> None:
    assert read(script, text, f"m.toFilter(brushes, {json.dumps(AXES)})") == expected


def test_a_stretch_of_an_axis_takes_the_levels_and_bins_that_it_touches(script: Any) -> None:
    long = {"name": "x", "values": [1, 11, 21], "last_values": [10, 20, 30], "ordered": True}
    rows = [{"params": {"x": 15}, "trading": {}, "metrics": {"sharpe": value}} for value in (-1, 3)]
    scales = (
        "(await import('/static/js/sweep/parallel_data.js'))"
        f".buildScales({json.dumps([long])}, 'sharpe', {json.dumps(rows)}, 500)"
    )
    found = script(
        "sweep/brush.js",
        f"await (async () => {{ const [x, metric] = {scales}; return ["
        "m.writeBrushes([m.brushStretch(x, 0.4, 1.2)]), m.brushStretch(x, 0.1, 0.2),"
        "m.writeBrushes([m.brushStretch(metric, -0.2, 0.5)]),"
        "m.writeBrushes([m.brushStretch(metric, 0.25, 1)]),"
        f"x.share({json.dumps(rows[0])})]; }})()",
    )
    assert found == ["x=11..30", None, "sharpe=..1", "sharpe=0..", 0.5]


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("14", {"type": "int", "default": 9}, 14),
        ("5..25", {"type": "int", "default": 14}, 14),
        ("31..35:2", {"type": "float", "default": 30}, 33),
        ("off,0.1,0.2", {"type": "float", "default": None}, None),
        ("0.1:0.3:0.1", {"type": "float", "default": None}, 0.2),
        ("1..1000000000000", {"type": "int", "default": 14}, 14),
        ("true,false", {"type": "bool", "default": False}, False),
        ("a,b", {"type": "choice", "default": "b"}, "b"),
    ],
)
def test_one_value_stands_for_several(
    script: Any, text: str, field: dict[str, Any], value: Any
) -> None:
    call = f"m.chooseValue({json.dumps(text)}, {json.dumps(field)})"
    assert script("sweep/single.js", call) == value


def test_the_best_of_a_metric_that_should_be_small_is_its_least(script: Any) -> None:
    levels = {"n": [3], "q1": [2], "median": [3], "q3": [4], "min": [1], "max": [9]}
    found = {}
    for metric in ("sharpe", "volatility"):
        answer = {"metric": metric, "axes": [{"name": "window", "values": [5], **levels}]}
        call = f"m.readMarginals({json.dumps(answer)}).axes[0].rows[0].best"
        found[metric] = script("sweep/answers.js", call)
    assert found == {"sharpe": 9, "volatility": 1}


def test_the_colours_of_a_heat_map_are_brightest_where_it_is_best(script: Any) -> None:
    brightness = (
        "['sharpe', 'volatility'].map((metric) => [0, 1].map((share) =>"
        " m.colorScale(metric, 0, 1).colorAt(share).match(/\\d+/g).reduce((a, b) => a + +b, 0)))"
    )
    (low, high), (least, most) = script("sweep/heat_data.js", brightness)
    assert low < high
    assert (least, most) == (high, low)


@pytest.mark.parametrize(
    ("state", "done", "title"),
    [
        ("queued", 0, "Queued"),
        ("running", 0, "Computing the first chunk"),
        ("paused", 0, "Paused before anything was computed"),
        ("cancelled", 0, "Cancelled before anything was computed"),
        ("failed", 0, "Some chunks failed."),
        ("failed", 3, "Some chunks failed."),
        ("running", 3, None),
        ("paused", 3, None),
        ("succeeded", 3, None),
    ],
)
def test_a_sweep_without_results_says_why(
    script: Any, state: str, done: int, title: str | None
) -> None:
    sweep = {"state": state, "chunks": {"done": done}}
    found = script("sweep/status.js", f"m.describePanel({json.dumps(sweep)})")
    assert (found and found["title"]) == title


def test_a_first_space_leaves_alone_what_has_no_effect(script: Any) -> None:
    found = script(
        "sweep/space.js", "m.suggestSpace(boot.rules.find((rule) => rule.name === 'tsmom'))"
    )
    assert ".." in found["lookback_months"]
    assert (found["sizing"], found["target_volatility"]) == ("constant", "0.4")


def test_an_estimate_names_a_faulty_field_and_does_not_say_its_message_again(script: Any) -> None:
    errors = [
        {"message": "too large", "label": "window"},
        {"message": "no such dataset", "label": None},
    ]
    text = (
        f"m.describeEstimate([2, 3], {json.dumps({'errors': errors})})"
        ".map((node) => node.textContent).join('|')"
    )
    assert script("sweep/estimate.js", text) == "2 × 3 =|! see window; no such dataset"


def test_labels_of_marks_cover_neither_a_mark_nor_one_another(script: Any) -> None:
    plot = {"left": 0, "top": 0, "width": 300, "height": 200}
    # Both in the upper right corner, where neither has room to its right.
    marks = [
        {"x": 250, "y": 0, "width": 16, "height": 16},
        {"x": 262, "y": 2, "width": 38, "height": 20},
    ]
    boxes = script(
        "sweep/heatmap.js",
        f"(() => {{ const taken = {json.dumps(marks)}; const plot = {json.dumps(plot)};"
        " for (const idx of [0, 1]) taken.push(m.placeLabel(taken[idx], 90, plot, taken));"
        " return taken; })()",
    )
    assert len(boxes) == 4
    for idx, one in enumerate(boxes[2:], start=2):
        assert one["x"] >= 0
        assert one["x"] + one["width"] <= 300
        for other in boxes[:idx]:
            apart = (
                one["x"] >= other["x"] + other["width"]
                or other["x"] >= one["x"] + one["width"]
                or one["y"] >= other["y"] + other["height"]
                or other["y"] >= one["y"] + one["height"]
            )
            assert apart, (one, other)


@pytest.mark.parametrize(
    ("chosen", "swept", "said"),
    [
        (
            {"mar": 0.0125, "cash_rate": 0.03, "borrow_rate": 0.05, "periods_per_year": 365},
            [],
            {"MAR": "1.25%", "CASH RATE": "3.0%", "BORROW RATE": "5.0%", "YEAR": "365 bars"},
        ),
        ({}, ["mar"], {"MAR": "mar swept", "CASH RATE": None, "YEAR": None}),
        (
            {"size": 12_345, "size_type": "value", "lot_size": 0.5, "fee_fixed": 12_345},
            [],
            {
                "SIZE": "12,345 USD, lots of 0.5, long only",
                "COSTS": "0.10% fee + 12,345 fixed per side",
            },
        ),
        (
            {"size_type": "shares"},
            ["size", "lot_size", "trailing_stop"],
            {"SIZE": "size swept in shares, lot_size swept, long only", "STOPS": "trail swept"},
        ),
    ],
)
def test_a_sweep_says_every_setting_that_was_chosen(
    script: Any, chosen: dict[str, Any], swept: list[str], said: dict[str, str | None]
) -> None:
    trading = {**TradingSpec().model_dump(), **chosen}
    call = f"m.listAssumptions({json.dumps(trading)}, 'raw', new Set({json.dumps(swept)}))"
    given = dict(script("lib/assumptions.js", call))
    assert {name: given.get(name) for name in said} == said


@pytest.mark.parametrize(("exposure", "is_told"), [(0, True), (0.25, False)])
def test_a_winner_that_never_traded_is_told_with_the_remedy(
    script: Any, exposure: float, is_told: bool
) -> None:
    winner = {"index": 3, "metrics": {"exposure": exposure, "volatility": 0, "n_trades": 0}}
    sweep = {
        "state": "succeeded",
        "objective": "volatility",
        "best": winner,
        "plateau": winner,
        "spec": {"search": {"method": "grid"}},
    }
    advice = script("sweep/luck.js", f"m.chooseAdvice({json.dumps(sweep)})")
    assert ("never traded" in advice and "raise min trades" in advice) is is_told
