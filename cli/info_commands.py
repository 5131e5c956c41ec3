"""`rules`, `doctor` and `verify`: what is there, whether it works, whether a result still holds."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import fields
from typing import Any

import click

from backtest.errors import InputError
from backtest.version import __version__
from cli.client import PlatformClient
from cli.failures import CheckFailed
from cli.places import find_database_url, open_store
from cli.report import print_table
from rules.base_rule import Parameter, get_rule, list_rules
from tasks.exposure import check_exposure, check_secret_key
from tasks.settings import PREFIX, Settings, load_settings, redact_url


@click.command(name="rules")
@click.argument("name", required=False)
def rules_command(name: str | None) -> None:
    """List the rules, or one rule's parameters."""
    if name is None:
        listed = [(rule.metadata.name, rule.metadata.summary) for rule in list_rules()]
        print_table(("rule", "what it does"), listed, sys.stdout)
        return
    rule = get_rule(name)
    if rule is None:
        known = ", ".join(item.metadata.name for item in list_rules())
        raise InputError.of("NAME", name, f"no such rule; choose one of {known}")
    metadata = rule.metadata
    click.echo(f"{metadata.title}: {metadata.summary}")
    if metadata.source:
        click.echo(metadata.source)
    if metadata.label:
        click.echo(f"label: {metadata.label}")
        sample = metadata.published_sample
        click.echo(f"published sample: {' to '.join(sample) if sample else 'none known'}")
    if metadata.reads:
        click.echo(f"its signals depend on: {', '.join(metadata.reads)}")
    for deviation in metadata.deviations:
        click.echo(f"deviation: {deviation}")
    rows = [
        (item.name, item.type, _range(item), str(item.default), item.unit, item.help)
        for item in metadata.parameters
    ]
    if rows:
        click.echo()
        print_table(("parameter", "type", "range", "default", "unit", "help"), rows, sys.stdout)
    for constraint in metadata.constraints:
        click.echo(f"must hold: {constraint}")


@click.command(name="doctor")
def doctor_command() -> None:
    """List every setting with its default and check what it points to."""
    settings = load_settings()
    click.echo(f"stock-backtest {__version__}, Python {sys.version.split()[0]}\n")
    defaults = Settings()
    rows = [
        (
            PREFIX + item.name.upper(),
            _shown(item.name, getattr(settings, item.name)),
            _shown(item.name, getattr(defaults, item.name)),
        )
        for item in fields(Settings)
    ]
    print_table(("setting", "value", "default"), rows, sys.stdout)
    click.echo()
    findings = [
        _check_database(settings),
        _check_broker(settings),
        _check_access(settings),
        _check_kernels(),
    ]
    if settings.notify_urls:
        findings.append(_check_notices(settings))
    for ok, text in findings:
        click.echo(f"{'ok  ' if ok else 'FAIL'}  {text}")
    if not all(ok for ok, _ in findings):
        raise CheckFailed("a check failed; see the lines marked FAIL")


@click.command(name="verify")
@click.argument("run_id")
@click.option("--server", metavar="URL", help="Compute again on this platform and compare.")
def verify_command(run_id: str, server: str | None) -> None:
    """Compute a stored run again and compare every metric and every trade."""
    stored, again = _verify_on_server(server, run_id) if server else _verify_in_process(run_id)
    differing = compare_results(stored, again)
    if differing:
        raise CheckFailed(f"run {run_id} differs now in {', '.join(differing)}")
    click.echo(
        f"run {run_id}: {len(stored['metrics'])} metrics and {len(stored['trades'])} trades are "
        "the same again"
    )


def compare_results(stored: dict[str, Any], again: dict[str, Any]) -> list[str]:
    """Return the names of everything that differs by more than 1e-9, trades by their number."""
    differing = [
        name
        for name, value in stored["metrics"].items()
        if not _same(value, again["metrics"].get(name))
    ]
    if len(stored["trades"]) != len(again["trades"]):
        return [*differing, "number of trades"]
    for number, (before, after) in enumerate(
        zip(stored["trades"], again["trades"], strict=True), start=1
    ):
        if not all(_same(value, after.get(name)) for name, value in before.items()):
            differing.append(f"trade {number}")
    return differing


def _verify_on_server(server: str, run_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    with PlatformClient(server) as client:
        stored = client.call("GET", f"/api/v1/runs/{run_id}/result")
        spec = stored["spec"]
        payload = {
            "dataset": spec["dataset"]["sha256"],
            "rule": spec["rule"],
            "params": spec["params"],
            "trading": spec["trading"],
            "start": spec["start"],
            "end": spec["end"],
            "adjust": spec["dataset"]["adjusted"],
            "force": True,
            "note": f"verifies {run_id}",
        }
        return stored, client.run(payload)


def _verify_in_process(run_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    from rules.spec import RunSpec
    from tasks.compute import compute_run

    with open_store() as store:
        record = store.runs.get(run_id)
        if record is None:
            raise InputError.of("RUN_ID", run_id, "no such run; `run list` shows all")
        if record.state != "succeeded":
            raise InputError.of(
                "RUN_ID", run_id, f"is {record.state}; only results can be verified"
            )
        stored = {"metrics": record.metrics, "trades": store.runs.load_trades(run_id)}
        bars, warnings = store.datasets.load_bars(record.spec["dataset"]["sha256"])
    outcome = compute_run(RunSpec.model_validate(record.spec), bars, warnings)
    return stored, {"metrics": outcome.summary["metrics"], "trades": outcome.trades}


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, float) and isinstance(after, float | int):
        return math.isclose(before, after, rel_tol=1e-9, abs_tol=1e-9)
    return bool(before == after)


def _check_database(settings: Settings) -> tuple[bool, str]:
    from storage.database import create_database
    from storage.errors import StorageError
    from storage.schema import check_schema

    try:
        url = find_database_url(settings)
        check_schema(create_database(url))
    except (InputError, StorageError) as error:
        return False, f"database: {error}"
    return True, f"database: {redact_url(url)}"


def _check_broker(settings: Settings) -> tuple[bool, str]:
    import redis

    if not settings.broker_url:
        return True, "broker: none set; `stock-backtest up` brings its own"
    try:
        redis.Redis.from_url(settings.broker_url, socket_timeout=3, socket_connect_timeout=3).ping()
    except (redis.RedisError, ValueError) as error:
        return False, f"broker: {redact_url(settings.broker_url)}: {error}"
    return True, f"broker: {redact_url(settings.broker_url)}"


def _check_access(settings: Settings) -> tuple[bool, str]:
    from storage.database import create_database
    from storage.errors import StorageError
    from storage.store import Store

    def find_tokens() -> bool:
        return Store(create_database(find_database_url(settings))).tokens.exist()

    try:
        mode = check_exposure(settings, f"{PREFIX}BIND", settings.bind, find_tokens)
        check_secret_key(settings, mode)
        has_tokens = mode == "auto" and find_tokens()
    except (InputError, StorageError) as error:
        return False, f"access: {error}"
    if mode == "open":
        return (
            True,
            f"access: OPEN to whoever reaches {settings.bind}, nobody is asked who they are",
        )
    if mode == "closed" or has_tokens:
        return True, f"access: by token, on {settings.bind}"
    return True, f"access: open on {settings.bind} until the first token is created"


def _check_kernels() -> tuple[bool, str]:
    from backtest.engine import ENGINE_VERSION
    from backtest.manifest import compute_engine_hash

    compiled = os.environ.get("NUMBA_CPU_NAME") or "this processor"
    version = f"{ENGINE_VERSION}, {compute_engine_hash()[:12]}"
    return True, f"engine: {version}, kernels for {compiled}"


def _range(parameter: Parameter) -> str:
    if parameter.type == "choice":
        return "|".join(parameter.choices)
    if parameter.minimum is None or parameter.maximum is None:
        return ""
    return f"{parameter.minimum:g}..{parameter.maximum:g}"


def _check_notices(settings: Settings) -> tuple[bool, str]:
    from tasks.notify import build_target

    try:
        build_target(settings.notify_urls)
    except InputError as error:
        return False, f"notices: {error}"
    return True, "notices: every URL names a service (nothing was sent)"


def _shown(name: str, value: Any) -> str:
    if name in ("secret_key", "token", "notify_urls"):
        return "set" if value else "not set"
    text = redact_url(value) if name.endswith("_url") else str(value)
    return text or "not set"
