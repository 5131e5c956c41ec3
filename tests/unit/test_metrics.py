"""What a scrape shows, and that the dashboard asks for nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from storage.database import create_database
from storage.store import Store
from tasks.measures import ATTEMPTS, MEASURES, RUN_SECONDS, Measure, count, observe
from tasks.settings import Settings
from tests.support.valkey import run_valkey
from tests.support.web import Web, build_web, inline_web, submit, web
from webapp.metrics import render_platform

__all__ = ["inline_web", "web"]

DASHBOARD = Path(__file__).resolve().parents[2] / "docs" / "grafana-dashboard.json"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(web: Web) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(web.client.get("/metrics").text)
        for sample in family.samples
    }


def read(samples: Samples, name: str, **labels: str) -> float:
    return samples["stock_backtest_" + name, tuple(sorted(labels.items()))]


def test_runs_and_sweeps_that_ended_are_in_the_histograms(inline_web: Web) -> None:
    submit(inline_web)
    assert submit(inline_web)  # answered by the first
    body = {"dataset": "WALK", "rule": "rsi", "space": {"window": "3:40"}}
    assert inline_web.client.post("/api/v1/sweeps", json=body).status_code == 202
    inline_web.app.extensions["stock_backtest"].store.counters.flush()
    samples = scrape(inline_web)
    assert read(samples, "runs", state="succeeded") == 1
    assert read(samples, "sweeps", state="succeeded") == 1
    assert read(samples, "chunks", state="done") >= 1
    assert read(samples, "run_seconds_count", outcome="succeeded") == 1
    assert read(samples, "run_seconds_sum", outcome="succeeded") > 0
    assert read(samples, "run_seconds_bucket", outcome="succeeded", le="+Inf") == 1
    assert read(samples, "chunk_seconds_count", outcome="done") >= 1
    assert read(samples, "attempts_total", kind="run", again="no") == 1
    assert read(samples, "attempts_total", kind="finish", again="no") == 1
    assert read(samples, "attempts_total", kind="run", again="yes") == 0
    [cached] = [
        value
        for (name, labels), value in samples.items()
        if name == "stock_backtest_submissions_total"
        and {("kind", "run"), ("result", "cached")} <= set(labels)
    ]
    assert cached == 1


def test_every_web_process_shows_what_any_process_counted(web: Web) -> None:
    worker = Store(create_database(web.settings.database_url))
    count(worker, ATTEMPTS, "run", "yes", n=3)
    for seconds in (0.004, 0.005, 0.3, 10_000.0):
        observe(worker, RUN_SECONDS, seconds, "failed")
    worker.counters.flush()
    count(worker, ATTEMPTS, "run", "yes")
    worker.counters.flush()
    for store in (web.store, Store(create_database(web.settings.database_url))):
        text = render_platform(store, Settings(executor="inline")).decode()
        assert 'attempts_total{again="yes",kind="run"} 4.0' in text
        assert 'run_seconds_bucket{le="0.005",outcome="failed"} 2.0' in text
        assert 'run_seconds_bucket{le="0.5",outcome="failed"} 3.0' in text
        assert 'run_seconds_bucket{le="600",outcome="failed"} 3.0' in text
        assert 'run_seconds_bucket{le="+Inf",outcome="failed"} 4.0' in text


def test_the_oldest_waiting_run_is_as_old_as_its_submission(web: Web) -> None:
    assert read(scrape(web), "oldest_queued_seconds") == 0
    submit(web)
    submit(web, params={"window": 6})
    engine = web.store.engine
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.exec_driver_sql(
            "UPDATE runs SET submitted_at = strftime('%Y-%m-%d %H:%M:%f000', 'now', '-90 seconds')"
            " WHERE id = (SELECT min(id) FROM runs)"
        )
    assert 90 <= read(scrape(web), "oldest_queued_seconds") < 120


def test_queues_are_as_deep_as_the_broker_says(tmp_path: Path) -> None:
    with run_valkey() as broker:
        web = build_web(tmp_path, broker_url=broker.url)
        for window in (5, 6, 7):
            submit(web, params={"window": window})
        samples = scrape(web)
    assert read(samples, "broker_up") == 1
    assert read(samples, "queue_messages", queue="runs") == 3
    assert read(samples, "queue_messages", queue="sweeps") == 0
    assert read(samples, "queue_messages", queue="handed_out") == 0


def test_a_scrape_without_database_and_broker_says_so_and_is_no_error(web: Web) -> None:
    away = Store(create_database("mysql+pymysql://u:p@127.0.0.1:1/none"))
    text = render_platform(away, web.settings).decode()
    assert "stock_backtest_database_up 0.0" in text
    assert "stock_backtest_broker_up 0.0" in text
    assert "stock_backtest_runs{" not in text


def test_counts_that_the_database_did_not_take_are_kept_for_the_next_time(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'late.db'}"
    store = Store(create_database(url))
    count(store, ATTEMPTS, "run", "no", n=2)
    with pytest.raises(Exception, match="schema"):
        store.counters.flush()
    build_web(tmp_path, url=url)
    store.counters.flush()
    store.counters.flush()
    assert list(store.counters.load().values()) == [2.0]


def test_a_label_that_is_not_declared_is_a_mistake(web: Web) -> None:
    with pytest.raises(ValueError, match="knows no kind 'rum'"):
        count(web.store, ATTEMPTS, "rum", "no")


@pytest.mark.parametrize("measure", MEASURES, ids=lambda item: item.name)
def test_names_and_labels_of_a_metric_fit_their_columns(measure: Measure) -> None:
    assert len(measure.name) <= 64
    assert max(len(",".join(labels)) for labels in measure.list_label_values()) <= 128
    assert list(measure.bounds) == sorted(measure.bounds)


def test_every_metric_and_label_that_the_dashboard_asks_for_exists(tmp_path: Path) -> None:
    with run_valkey() as broker:
        web = build_web(tmp_path, broker_url=broker.url)
        submit(web)
        web.client.get("/metrics")
        samples = scrape(web)
    known: dict[str, set[str]] = {}
    for name, labels in samples:
        known.setdefault(name, set()).update(label for label, _ in labels)
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) >= 20
    asked = set()
    for expression in expressions:
        for name, matchers in re.findall(r"(stock_backtest_\w+)(?:\{([^}]*)\})?", expression):
            asked.add(name)
            assert name in known, expression
            labels = re.findall(r"(\w+)\s*=~?", matchers)
            grouped = re.findall(r"by \(([^)]*)\)", expression)
            labels += [label.strip() for group in grouped for label in group.split(",")]
            assert set(labels) <= known[name], expression
    # Whatever is counted is also shown.
    for measure in MEASURES:
        assert any(name.startswith(f"stock_backtest_{measure.name}_") for name in asked), measure


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in panels}) == len(panels)
