"""For every suite: databases of each kind, a store over one, and who runs which test."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import hypothesis
import pytest
from sqlalchemy import Engine, delete
from xdist.remote import Producer

from storage.database import create_database
from storage.models import metadata
from storage.schema import upgrade_schema
from storage.store import Store
from tests.support.mariadb import MariaDbServer
from tests.support.scheduling import SuiteScheduling

DATABASES = ("sqlite", "mariadb")

# By default an example that takes 0.2 s fails its test: on a busy machine any of them may.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> SuiteScheduling | None:
    """Keep the tests of a file together; another `--dist` is left as it is."""
    return SuiteScheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDbServer]:
    """One server per process of the test run; it fails, not skips, where none is installed."""
    with MariaDbServer() as server:
        yield server


def _build_empty_database(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('database')}/test.db"
        return
    server: MariaDbServer = request.getfixturevalue("mariadb_server")
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture(params=DATABASES)
def empty_database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a database without any table, for one test."""
    yield from _build_empty_database(request.param, request, tmp_path_factory)


@pytest.fixture(scope="module", params=DATABASES)
def database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of an upgraded database, shared by the tests of one module."""
    for url in _build_empty_database(request.param, request, tmp_path_factory):
        engine = create_database(url)
        upgrade_schema(engine)
        engine.dispose()
        yield url


@pytest.fixture(scope="module")
def database(database_url: str) -> Iterator[Engine]:
    """The engine over `database_url`."""
    engine = create_database(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def store(database: Engine) -> Store:
    """A store over tables that are empty."""
    with database.connect().execution_options(writes=True) as connection, connection.begin():
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
    return Store(database)


def pytest_collection_finish() -> None:
    """Let the collector of garbage pass over thousands of tests that live to the end."""
    gc.collect()
    gc.freeze()
