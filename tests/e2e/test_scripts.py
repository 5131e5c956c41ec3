"""The arithmetic and the grammar of the page's scripts, called in the browser that runs them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest


def test_a_command_gives_the_request_that_the_form_would_send(script: Any) -> None:
    given = script(
        "command/grammar.js",
        "m.parseCommand('aapl rsi 14 30.5 2005-01-01-2010-12-31"
        " fill=same_close stop_loss=off GO', boot)",
    )
    assert given["request"] == {
        "dataset": "AAPL",
        "rule": "rsi",
        "params": {"window": 14, "oversold": 30.5},
        "trading": {"fill": "same_close", "stop_loss": None},
        "start": "2005-01-01",
        "end": "2010-12-31",
    }


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        ("2005-01-01-", {"start": "2005-01-01"}),
        ("-2010-12-31", {"end": "2010-12-31"}),
        ("2005-01-01T09:30:00Z-", {"start": "2005-01-01T09:30:00Z"}),
    ],
)
def test_either_end_of_a_range_may_be_left_out(
    script: Any, dates: str, expected: dict[str, str]
) -> None:
    request = script("command/grammar.js", f"m.parseCommand('AAPL RSI {dates}', boot).request")
    assert {key: request[key] for key in ("start", "end") if key in request} == expected


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("NOPE RSI", "no dataset NOPE"),
        ("AAPL", "which rule"),
        ("AAPL GO", "which rule"),
        ("DATA NOPE", "no dataset NOPE"),
        ("AAPL NOPE", "no rule NOPE"),
        ("AAPL RSI 1 2 3 enter_zone 5", "one too many"),
        ("AAPL RSI windw=3", "nearest is window"),
        ("RUN", "needs the id"),
        ("SWEEP AAPL", "which rule"),
        ("SWEEP AAPL RSI windw=3..9", "nearest is window"),
        ("SWEEP AAPL RSI random=some", "whole number"),
        ("AAPL RSI 14 30%", "oversold is no fraction and takes no percent; write 30"),
        ("AAPL RSI size=50% size_type=shares", "goes with size_type=percent"),
        ("SWEEP AAPL RSI window=2%..9%", "window is no fraction"),
    ],
)
def test_a_command_that_is_not_understood_says_why(script: Any, command: str, words: str) -> None:
    message = script(
        "command/grammar.js",
        f"(() => {{ try {{ m.parseCommand('{command}', boot); return 'accepted'; }}"
        " catch (error) { return error.message; } })()",
    )
    assert words in message


def test_a_percent_stands_for_its_fraction_where_a_fraction_is_meant(script: Any) -> None:
    run = "m.parseCommand('AAPL RSI stop=10% fee=1.1% size=50% GO', boot).request"
    assert script("command/grammar.js", run)["trading"] == {
        "stop_loss": 0.1,
        "fee_rate": 0.011,
        "size": 0.5,
    }
    sweep = "m.parseCommand('SWEEP AAPL RSI window=2..9 stop=off,5%:20%:5% GO', boot).request"
    assert script("command/grammar.js", sweep)["trading"] == {"stop_loss": "off,0.05:0.2:0.05"}
    field = "boot.trading.find((item) => item.name === 'stop_loss')"
    assert "10% is 0.1" in script("form/fields.js", f"m.describeField({field})")


def test_writing_a_request_as_a_command_and_reading_it_gives_the_request_again(script: Any) -> None:
    request = {
        "dataset": "IBM",
        "rule": "rsi",
        "start": "2001-01-01",
        "params": {"window": 9, "oversold": 20, "overbought": 80, "trigger": "exit_zone"},
        "trading": {"size": 0.5, "stop_loss": 0.2},
    }
    line = f"m.writeCommand({json.dumps(request)}, boot)"
    assert script("command/grammar.js", f"m.parseCommand({line}, boot).request") == request


def test_a_sweep_command_gives_the_request_of_the_form_and_is_written_back(script: Any) -> None:
    text = (
        "SWEEP AAPL,MSFT RSI 2..30 oversold=10..40:2 2005-01-01- stop_loss=off,0.05:0.2:0.05"
        " where=window>=3 where=oversold<overbought objective=calmar min_trades=10"
        " random=500 seed=7"
    )
    request = script("command/grammar.js", f"m.parseCommand('{text} GO', boot).request")
    assert request == {
        "datasets": ["AAPL", "MSFT"],
        "rule": "rsi",
        "space": {"window": "2..30", "oversold": "10..40:2"},
        "trading": {"stop_loss": "off,0.05:0.2:0.05"},
        "where": ["window>=3", "oversold<overbought"],
        "search": {"method": "random", "n": 500, "seed": 7},
        "start": "2005-01-01",
        "objective": "calmar",
        "min_trades": 10,
    }
    line = f"m.writeSweepCommand({json.dumps(request)}, boot)"
    assert script("command/sweep_command.js", line) == (
        "SWEEP AAPL,MSFT RSI window=2..30 oversold=10..40:2 2005-01-01- "
        "stop_loss=off,0.05:0.2:0.05 where=window>=3 where=oversold<overbought "
        "objective=calmar min_trades=10 random=500 seed=7 GO"
    )


def test_specs_are_counted_like_the_server_counts_them(script: Any) -> None:
    counts: dict[str, int | str] = {
        "14": 1,
        "2..50": 49,
        "2:50:2": 25,
        "0.1:0.5:0.1": 5,
        "10:2:-2": 5,
        "off,0.02:0.1:0.02": 6,
        "true,false": 2,
        "1:5:0": "the step is 0",
        "5:1": "the step has the wrong sign",
        "0.1:0.5": "name a step: from..to:step",
        "1,": "a value is missing",
    }
    parsed = script(
        "sweep/space.js",
        f"{json.dumps(list(counts))}.map((text) => m.parseSpec(text))"
        ".map(({ count, fault }) => fault ?? count)",
    )
    assert dict(zip(counts, parsed, strict=True)) == counts
    levels = "m.readLevels('off,0.1:0.3:0.1,7')"
    assert script("sweep/space.js", f"[0, 1, 2, 3, 4].map({levels}.at)") == [
        *(None, 0.1, 0.2, 0.3, 7),
    ]


def test_the_colours_of_the_heat_map_grow_lighter_all_the_way(script: Any) -> None:
    colors = script(
        "sweep/heat_data.js", "Array.from({ length: 21 }, (_, k) => m.rampColor(k / 20))"
    )
    lightness = [
        0.2126 * r + 0.7152 * g + 0.0722 * b
        for r, g, b in (map(int, re.findall(r"\d+", color)) for color in colors)
    ]
    assert lightness == sorted(lightness)
    assert (colors[0], colors[-1]) == ("rgb(16, 24, 32)", "rgb(240, 250, 255)")


def test_many_chunks_share_a_square_that_shows_the_most_urgent(script: Any) -> None:
    grouped = script("sweep/status.js", "m.groupChunks('d'.repeat(799) + 'f' + 'r'.repeat(400))")
    assert grouped["size"] == 3
    assert "".join(grouped["letters"]) == "d" * 266 + "f" + "r" * 133


def test_figures_are_written_as_the_page_promises(script: Any) -> None:
    expected = {
        "formatSignedPercent(0.1234)": "+12.34%",
        "formatSignedPercent(-0.5)": "−50.00%",
        "formatSignedPercent(0.000001)": "0.00%",
        "formatPercent(null)": "–",
        "formatPercent(-0.000001)": "0.00%",
        "formatCount(-0.0001)": "0",
        "formatCount(1234567)": "1,234,567",
        "formatShort(1470000)": "1.47M",
        "formatShort(93514)": "93.5k",
        "formatShort(200000)": "200k",
        "formatTick(20)": "20",
        "formatPrice(1.7156)": "1.716",
        "formatPrice(250000.4)": "250,000",
        "formatPrice(0.0001234)": "0.0001234",
        "formatTick(0.00035)": "0.00035",
        "formatPrice(0)": "0",
        "formatNarrow(0.0002748)": "2.75e−4",
        "formatNarrow(456841.1)": "457k",
        "formatShares(0.003945)": "0.003945",
        "formatShares(12.5)": "12.50",
        "formatMoney(0.03912)": "0.0391",
        "formatMoney(93514.2)": "93,514",
        "formatMoney(12)": "12.00",
        "formatChosenPercent(0.125)": "12.5%",
        "formatChosenPercent(0.00002, 2)": "0.002%",
        "formatChosenPercent(0.07)": "7%",
        "formatChosenPercent(0.1, 1)": "10.0%",
        "formatSignedPercent(32893352.7)": "+3.29e9%",
        "formatSignedPercent(1234.5678)": "+123,457%",
        "formatNumber(NaN)": "–",
        "formatOrdinal(1)": "1st",
        "formatOrdinal(12)": "12th",
        "formatOrdinal(23)": "23rd",
    }
    calls = ", ".join(f"m.{call}" for call in expected)
    assert script("lib/format.js", f"[{calls}]") == list(expected.values())


def test_marks_of_a_histogram_are_where_they_say(script: Any) -> None:
    drawn = script(
        "charts/histogram.js",
        "(() => { const root = document.createElement('div'); document.body.append(root);"
        " root.style.cssText = 'position: fixed; width: 320px; height: 200px'; m.drawHistogram("
        " root, { trade_histogram: { edges: [-0.05, 0, 0.05], counts: [1, 2] }, metrics: {},"
        " trade_totals: { n_closed: 3, mean_return: 0 } }, null); root.remove();"
        " return [...root.querySelectorAll('text')].map((text) => text.textContent); })()",
    )
    assert {"−2.5%", "+2.5%"} <= set(drawn)


def test_a_zoom_lies_inside_the_data(script: Any) -> None:
    zooms = "[['5-99', 50], ['49-99', 50], ['5-5', 50], ['5-99', undefined]]"
    assert script("lib/address.js", f"{zooms}.map((each) => m.parseZoom(...each))") == [
        *([5, 99], None, None, [5, 99]),
    ]


def test_the_command_for_data_opens_the_one_it_names(script: Any) -> None:
    commands = "['DATA', 'DATA aapl'].map((text) => m.parseCommand(text, boot).href)"
    assert script("command/grammar.js", commands) == ["/data", "/data?symbol=AAPL"]


def test_log_ticks_are_round_and_inside(script: Any) -> None:
    assert script("charts/value_axis.js", "m.valueTicks(18000, 2400000, 8, true)") == [
        *(20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000),
    ]


def test_linear_ticks_are_round_and_inside(script: Any) -> None:
    assert script("charts/value_axis.js", "m.valueTicks(-0.82, 0.01, 4, false)") == [
        *(-0.75, -0.5, -0.25, 0),
    ]


def test_gridlines_that_lie_close_read_apart(script: Any) -> None:
    assert script(
        "lib/format.js", "[100500, 101000].map((value) => m.formatShort(value, 500))"
    ) == [
        *("100.5k", "101k"),
    ]
    assert script("lib/format.js", "[20, 2.5, 0.1, undefined].map(m.digitsFor)") == [0, 1, 1, 0]


def test_two_daily_bars_are_labelled_with_their_days(script: Any) -> None:
    stamps = [1_104_710_400, 1_104_796_800]
    ticks = script("charts/time_axis.js", f"new m.TimeIndex([0, 1], {stamps}).ticks(-0.5, 1.5, 8)")
    assert ticks == {"positions": [0, 1], "labels": ["01-03", "01-04"]}


def test_time_ticks_fall_on_the_first_bar_of_their_month(script: Any) -> None:
    # 300 daily bars from 2001-01-01 without weekends.
    ticks = script(
        "charts/time_axis.js",
        """(() => {
            const idx = [], epoch = [];
            for (let day = 0; idx.length < 300; day += 1) {
              const at = Date.UTC(2001, 0, 1 + day);
              if ([0, 6].includes(new Date(at).getUTCDay())) continue;
              idx.push(idx.length);
              epoch.push(at / 1000);
            }
            const index = new m.TimeIndex(idx, epoch);
            const { positions, labels } = index.ticks(0, 299, 8);
            const day = (position) => new Date(epoch[position] * 1000).toISOString().slice(0, 10);
            return positions.map((position, k) => [labels[k], day(position)]);
        })()""",
    )
    assert ticks == [
        ["2001-03", "2001-03-01"],
        ["2001-05", "2001-05-01"],
        ["2001-07", "2001-07-02"],
        ["2001-09", "2001-09-03"],
        ["2001-11", "2001-11-01"],
        ["2002-01", "2002-01-01"],
    ]


def test_filters_of_runs_compare_figures_and_search_words(script: Any) -> None:
    run = {
        "run_id": "a",
        "symbol": "AAPL",
        "rule": "rsi",
        "state": "succeeded",
        "note": "",
        "tags": ["Keep"],
        "spec": {"params": {"window": 14}, "trading": {}},
        "metrics": {"sharpe": 0.8, "total_return": 0.2, "max_drawdown": -0.3},
    }
    texts = [
        "sharpe>0.5",
        "return<0",
        "keep",
        "window=14 dd<-10%",
        "keep missing>1",
        "state=failed",
    ]
    kept = script(
        "runs/filter.js",
        f"{json.dumps(texts)}.map((text) => m.parseRunFilter(text).test({json.dumps(run)}))",
    )
    assert kept == [True, False, True, True, False, False]


def test_a_command_takes_what_tables_show(script: Any) -> None:
    texts = ["AAPL RSI(12, 34, 89) stop=0.1 GO", "SWEEP 5D0E9C1A", "HELP rsi", "RUNS tag=x", "GO"]
    found = script(
        "command/grammar.js",
        f"{json.dumps(texts)}.map((text) => {{ try {{ return m.parseCommand(text, boot); }}"
        " catch (error) { return error.message; } })",
    )
    assert found[0]["request"] == {
        "dataset": "AAPL",
        "rule": "rsi",
        "params": {"window": 12, "oversold": 34, "overbought": 89},
        "trading": {"stop_loss": 0.1},
    }
    assert [item["href"] for item in found[1:4]] == [
        "/sweep/5d0e9c1a",
        "/help#rule-rsi",
        "/runs?q=tag%3Dx",
    ]
    assert found[4].startswith("type a symbol and a rule")


def test_every_place_of_a_command_has_something_to_complete_with(script: Any) -> None:
    expected = {
        "AAPL RSI ": "14",
        "AAPL RSI 14 2": "2000-03-01-2013-03-01",
        "AAPL RSI sto": "stop_loss=",
        "AAPL RSI fill=same": "fill=same_close",
        "AAPL RSI stop=": "stop=off",
        "SWEEP AAPL RSI win": "window=7..28:1",
        "RUNS sha": "sharpe>",
        "RUNS rule=mac": "rule=macd",
        "HELP calm": "calmar",
    }
    texts = json.dumps(list(expected))
    found = script(
        "command/grammar.js",
        f"{texts}.map((text) => m.completeCommand(text, boot)[0]?.value)",
    )
    assert dict(zip(expected, found, strict=True)) == expected


def test_a_part_of_a_day_is_not_rounded_away(script: Any) -> None:
    call = "[0.37, 1234, null].map((days) => m.formatMetric('max_drawdown_days', days))"
    assert script("lib/metrics.js", call) == ["0.37", "1,234", "–"]


@pytest.mark.parametrize(
    ("mae", "mfe", "shown"),
    [(-0.0004, 0.012, ["−0.04%", "+1.20%"]), (-0.0004, 0.12, ["0.0%", "+12.0%"])],
)
def test_excursions_have_the_digits_that_their_size_needs(
    script: Any, mae: float, mfe: float, shown: list[str]
) -> None:
    trade = {
        "number": 1,
        "entry_time": "2020-01-02",
        "exit_time": "2020-01-03",
        "shares": 1,
        "direction": "long",
        "bars_held": 1,
        "entry_price": 10,
        "exit_price": 10,
        "pnl": 0,
        "commission": 0,
        "return": 0,
        "exit_reason": "signal",
        "mae": mae,
        "mfe": mfe,
    }
    totals = {"reasons": {}, "n_closed": 1, "mean_mae": mae, "mean_mfe": mfe}
    cells = script(
        "run/trade_table.js",
        "(([trade, totals]) => { const root = document.createElement('div');"
        " new m.TradeTable(root, {}).show([trade], [], totals);"
        " return [...root.querySelectorAll('tbody td')].map((cell) => cell.textContent); })"
        f"({json.dumps([trade, totals])})",
    )
    assert cells[11:13] == shown


def test_a_dense_table_rounds_no_small_gain_to_nothing(script: Any) -> None:
    call = "[0.0471, -4.04, 532.2, 0, null].map((value) => m.formatDense('expectancy', value))"
    assert script("lib/metrics.js", call) == ["+0.0471", "−4.04", "+532", "0", "–"]
