"""Settings from an environment."""

from __future__ import annotations

import pytest

from backtest.errors import InputError
from tasks.celery_app import build_celery_config
from tasks.settings import Settings, load_settings, redact_url


def test_variables_are_read_with_their_types() -> None:
    settings = load_settings(
        {
            "STOCK_BACKTEST_LEASE_SECONDS": "2.5",
            "STOCK_BACKTEST_MAX_ATTEMPTS": "5",
            "STOCK_BACKTEST_LOG_FORMAT": "json",
            "UNRELATED": "x",
        }
    )
    assert (settings.lease_seconds, settings.max_attempts, settings.log_format) == (2.5, 5, "json")


def test_every_bad_variable_is_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        load_settings(
            {
                "STOCK_BACKTEST_MAX_ATTEMPTS": "many",
                "STOCK_BACKTEST_LEASE_SECONDS": "-1",
                "STOCK_BACKTEST_EXECUTOR": "magic",
                "STOCK_BACKTEST_DATABSE_URL": "typo",
            }
        )
    assert {error.field for error in caught.value.errors} == {
        "STOCK_BACKTEST_MAX_ATTEMPTS",
        "STOCK_BACKTEST_LEASE_SECONDS",
        "STOCK_BACKTEST_EXECUTOR",
        "STOCK_BACKTEST_DATABSE_URL",
    }


@pytest.mark.parametrize("text", ["replace-me", "redis://:REPLACE_ME@host/0", "change me " * 4])
@pytest.mark.parametrize("name", ["DATABASE_URL", "BROKER_URL", "SECRET_KEY"])
def test_a_placeholder_of_a_template_is_no_secret(name: str, text: str) -> None:
    with pytest.raises(InputError) as caught:
        load_settings({f"STOCK_BACKTEST_{name}": text})
    assert str(caught.value).startswith(
        f"STOCK_BACKTEST_{name} = '(hidden)': still holds the place"
    )
    assert text not in str(caught.value)


def test_a_printed_url_has_no_password() -> None:
    assert redact_url("redis://:secret@host:1/0") == "redis://:***@host:1/0"
    assert redact_url("sqlite:////a/b.db") == "sqlite:////a/b.db"


def test_messages_are_json_and_acknowledged_late_and_results_stay_out_of_the_broker() -> None:
    config = build_celery_config(Settings(broker_url="redis://x"))
    assert config["accept_content"] == ["json"]
    assert {config[f"{kind}_serializer"] for kind in ("task", "result", "event")} == {"json"}
    assert config["task_acks_late"]
    # Requeued, a task that kills its process would never end: a report follows instead.
    assert not config["task_reject_on_worker_lost"]
    assert config["task_track_started"]
    assert config["worker_prefetch_multiplier"] == 1
    assert config["result_backend"] is None
    assert config["task_time_limit"] > config["task_soft_time_limit"] > 0
    options = config["broker_transport_options"]
    assert options["socket_timeout"] == options["socket_connect_timeout"] == 2.0
    # The sweep for messages of dead workers runs often, and finds them soon.
    assert options["unacked_restore_interval"] * options["unacked_restore_throttle"] <= 5
    assert options["visibility_timeout"] <= 60


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SESSION_HOURS", "0"),
        ("WEB_THREADS", "0"),
        ("MAX_LOGIN_FAILURES", "0"),
        ("TRUSTED_PROXIES", "*"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,proxy.example"),
        ("AUTH", "open"),
    ],
)
def test_settings_of_access_that_mean_nothing_are_refused(name: str, value: str) -> None:
    with pytest.raises(InputError, match=f"STOCK_BACKTEST_{name}"):
        load_settings({f"STOCK_BACKTEST_{name}": value})


def test_settings_do_not_show_their_secrets_when_printed() -> None:
    text = repr(
        Settings(
            database_url="mysql://u:hunter2@h/x",
            broker_url="redis://:hunter2@h/0",
            secret_key="hunter2",
            token="sbt_hunter2",
        )
    )
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mysql+pymysql://u:p/w@h:3306/x", "mysql+pymysql://u:***@h:3306/x"),
        ("redis://:p@ss@h:6379/0", "redis://:***@h:6379/0"),
        ("rediss://h:6379/0?ssl_password=p&x=1", "rediss://h:6379/0?ssl_password=***&x=1"),
        ("got sbt_0123456789abcdefXYZ_-, sorry", "got sbt_***, sorry"),
        ("http://h:5000/x?mail=a@b.c", "http://h:5000/x?mail=a@b.c"),
        ("mysql://u@h/x and nothing else: a@b", "mysql://u@h/x and nothing else: a@b"),
        ("mysql://[::1", "mysql://[::1"),
    ],
)
def test_secrets_are_taken_out_of_any_text(text: str, shown: str) -> None:
    assert redact_url(text) == shown


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["a." * 500_000 + "://", "a://b:c" * 200_000])
def test_a_long_text_of_a_stranger_is_searched_in_one_go(text: str) -> None:
    assert redact_url(text) == text


def test_tls_to_the_broker_checks_its_certificate_unless_told_not_to() -> None:
    def url(text: str) -> str:
        return str(build_celery_config(Settings(broker_url=text))["broker_url"])

    assert url("rediss://h/0") == "rediss://h/0?ssl_cert_reqs=required"
    assert url("rediss://h/0?ssl_ca_certs=a").endswith("?ssl_ca_certs=a&ssl_cert_reqs=required")
    assert url("rediss://h/0?ssl_cert_reqs=none") == "rediss://h/0?ssl_cert_reqs=none"
    assert url("redis://h/0") == "redis://h/0"
