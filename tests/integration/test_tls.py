"""TLS to the database and to the broker, by nothing but their URLs in the environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from kombu.exceptions import OperationalError

from backtest.errors import InputError
from storage.database import create_database
from storage.errors import StorageUnavailable
from storage.schema import current_revision
from tasks.celery_app import create_celery_app
from tasks.settings import Settings
from tests.support.mariadb import MariaDbServer
from tests.support.mysql_stub import run_mysql_stub
from tests.support.tls import Authority, make_authority, tls_in_front
from tests.support.valkey import run_valkey
from webapp.rates import RateLimits


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def database_url(authority: Authority) -> Iterator[str]:
    options = (
        *(f"--ssl-cert={authority.certificate}", f"--ssl-key={authority.key}"),
        f"--ssl-ca={authority.ca}",
    )
    with MariaDbServer(*options) as server:
        yield server.create_database()


@pytest.fixture(scope="module")
def broker(authority: Authority) -> Iterator[tuple[str, str]]:
    """The broker's URL through TLS, without and with the authority that is trusted."""
    with run_valkey() as valkey, tls_in_front(valkey.port, authority) as port:
        url = valkey.url.replace("redis://", "rediss://").replace(str(valkey.port), str(port))
        yield url, f"{url}?ssl_cert_reqs=required&ssl_ca_certs={authority.ca}"


def test_the_database_is_reached_by_tls_and_its_certificate_checked(
    database_url: str, authority: Authority
) -> None:
    engine = create_database(f"{database_url}?ssl_ca={authority.ca}&ssl_check_hostname=true")
    with engine.connect() as connection:
        _, cipher = connection.exec_driver_sql("SHOW STATUS LIKE 'Ssl_cipher'").one()
    assert cipher != ""
    assert current_revision(engine) is None
    engine.dispose()


def test_a_database_of_another_authority_is_not_trusted(database_url: str, tmp_path: Path) -> None:
    other = make_authority(tmp_path / "other")
    engine = create_database(f"{database_url}?ssl_ca={other.ca}&ssl_check_hostname=true")
    with pytest.raises(StorageUnavailable):
        current_revision(engine)
    engine.dispose()


def test_a_mysql_as_it_comes_is_told_the_password_through_its_own_tls(
    authority: Authority,
) -> None:
    with run_mysql_stub(authority) as stub:
        engine = create_database(f"mysql://user:secret@127.0.0.1:{stub.port}/name")
        with pytest.raises(StorageUnavailable):  # it hangs up then
            current_revision(engine)
        engine.dispose()
    assert stub.said
    assert set(stub.said) == {(True, b"secret\0")}


def test_a_mysql_without_tls_that_asks_for_a_whole_password_is_refused_with_the_remedy() -> None:
    with run_mysql_stub(None) as stub:
        engine = create_database(f"mysql://user:secret@127.0.0.1:{stub.port}/name")
        with pytest.raises(InputError, match="switch its TLS on") as refused:
            current_revision(engine)
        engine.dispose()
    assert "secret" not in str(refused.value)
    assert (False, b"secret\0") not in stub.said


def test_messages_and_limits_pass_through_tls(broker: tuple[str, str]) -> None:
    settings = Settings(broker_url=broker[1], max_writes_per_minute=1)
    app = create_celery_app(settings)
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0)
        queue = connection.SimpleQueue("through-tls")
        queue.put({"run_id": "x"}, serializer="json")
        assert queue.get(timeout=5).payload == {"run_id": "x"}
        queue.close()
    client = redis.Redis.from_url(broker[1])
    assert client.ping()
    limits = RateLimits(settings)
    limits.count_request("somebody", is_write=True)
    assert [key for key in client.scan_iter() if b"somebody" in key]  # counted there, not here
    client.close()


def test_a_broker_that_nobody_vouches_for_is_not_trusted(broker: tuple[str, str]) -> None:
    app = create_celery_app(Settings(broker_url=broker[0]))
    with app.connection_for_write() as connection, pytest.raises(OperationalError):
        connection.ensure_connection(max_retries=1, interval_start=0)
