"""What a report finds in bars, on small tables worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from adapters.bar_report import build_bar_report
from backtest.bar_times import DAY_NS, Spacing

MONDAY = int(np.datetime64("2024-01-01").astype("M8[D]").astype(int))  # and a Monday it was


def report(
    days: list[int],
    close: list[float] | None = None,
    *,
    volume: list[float] | None = None,
    factor: list[float] | None = None,
    spacing: Spacing = "daily",
    warnings: tuple[dict[str, Any], ...] = (),
) -> dict[str, dict[str, Any]]:
    n = len(days)
    columns = {
        "timestamps": (MONDAY + np.array(days, dtype=np.int64)) * DAY_NS,
        "close": np.array(close or [100.0 + i for i in range(n)]),
        "volume": np.array(volume or [10.0] * n),
        "adj_factor": np.array(factor or [1.0] * n),
    }
    found = build_bar_report(columns, spacing, warnings)["findings"]
    return {item["code"]: item for item in found}


WEEK = [0, 1, 2, 3, 4]


def test_nothing_stands_out_in_two_plain_weeks() -> None:
    assert report([*WEEK, *(7 + day for day in WEEK)]) == {}


def test_a_jump_that_the_adjusted_close_explains_is_a_note() -> None:
    close = [100.0, 50.0, 51.0, 20.0, 20.5]
    split = report(WEEK[:3], close[:3], factor=[0.5, 1.0, 1.0])["price_jump"]
    assert (split["level"], split["count"]) == ("note", 1)
    assert split["examples"] == [
        {
            "idx": 1,
            "time": "2024-01-02",
            "text": "100 to 50, -50.0%; +0.0% by the adjusted close",
        }
    ]
    both = report(WEEK, close, factor=[0.5, 1.0, 1.0, 1.0, 1.0])["price_jump"]
    assert (both["level"], both["count"]) == ("warning", 2)
    assert both["message"].endswith("the adjusted close explains all but 1")
    assert [item["idx"] for item in both["examples"]] == [1, 3]


def test_a_gap_is_measured_and_its_weekdays_are_counted() -> None:
    found = report([0, 1, 10, 11])
    assert found["date_gap"]["examples"] == [
        {"idx": 2, "time": "2024-01-11", "text": "9 days without a bar since 2024-01-02"}
    ]
    assert found["missing_day"]["count"] == 6
    assert found["missing_day"]["level"] == "note"  # no year yet, in which they would be many
    assert found["missing_day"]["examples"][0] == {
        "idx": 2,
        "time": "2024-01-03",
        "text": "Wednesday",
    }


def test_seven_days_between_two_bars_are_no_gap_and_eight_are() -> None:
    assert "date_gap" not in report([0, 7])
    assert "date_gap" in report([0, 8])
    assert "date_gap" not in report([0, 8], spacing="weekly")


def test_a_bar_on_a_weekend_is_odd_unless_the_market_is_open_then() -> None:
    weeks = [7 * week + day for week in range(4) for day in WEEK]
    found = report(sorted([*weeks, 5]))
    assert [item["time"] for item in found["weekend_bar"]["examples"]] == ["2024-01-06"]
    every_day = [day for day in range(28) if day != 12]
    found = report(every_day)
    assert "weekend_bar" not in found
    assert found["missing_day"]["message"].startswith("1 day has no bar")
    assert found["missing_day"]["level"] == "warning"


def test_many_weekdays_without_a_bar_are_a_warning() -> None:
    thursdays_off = [7 * week + day for week in range(60) for day in WEEK if day != 3]
    assert report(thursdays_off)["missing_day"]["level"] == "warning"


def test_volume_that_is_missing_on_some_bars_is_a_warning_and_on_all_a_note() -> None:
    assert report(WEEK, volume=[1.0, 0.0, 1.0, 1.0, 0.0])["zero_volume"]["count"] == 2
    assert report(WEEK, volume=[0.0] * 5)["zero_volume"]["level"] == "note"


def test_a_close_that_stands_still_is_found_from_its_first_bar_on() -> None:
    found = report([*WEEK, 7, 8], [1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0])["stale_close"]
    assert found["examples"] == [{"idx": 1, "time": "2024-01-02", "text": "5 bars at 2"}]
    assert "stale_close" not in report(WEEK, [1.0, 2.0, 2.0, 2.0, 2.0])


def test_bars_that_were_widened_are_told_by_the_warning_of_their_file() -> None:
    warning = {"code": "clamped_bar", "message": "widened", "count": 3, "first": "2024-01-03"}
    found = report(WEEK, warnings=(warning,))["clamped_bar"]
    assert (found["count"], found["level"]) == (3, "note")
    assert found["examples"][0]["idx"] == 2


def test_no_more_than_twenty_bars_are_named_and_warnings_come_first() -> None:
    days = [7 * week + day for week in range(40) for day in WEEK]
    close = [100.0 if i % 2 else 10.0 for i in range(len(days))]
    columns = report(days, close, volume=[0.0] * len(days))
    assert len(columns["price_jump"]["examples"]) == 20
    assert columns["price_jump"]["count"] == len(days) - 1
    assert list(columns) == ["price_jump", "zero_volume"]
