"""What `stock-backtest up` does before its processes start: migrate, and load the demo data.

A process of its own (``python -m cli.prepare STATE_DIR``), because the supervisor stays small for
as long as the platform runs, and this needs SQLAlchemy, Alembic and pyarrow for a second.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cli.demo_data import find_demo_file, list_demo_symbols
from cli.state import StateDir
from storage.database import create_database
from storage.ingest import parse_local_file
from storage.schema import upgrade_schema
from storage.store import Store
from tasks.logs import configure_logging, get_logger
from tasks.settings import load_settings


def prepare_state(state: StateDir) -> None:
    """Bring the database inside `state` to the current schema; fill it on the first start.

    The mark is set last: a start that was interrupted half-way loads the rest the next time.

    Raises
    ------
    StorageUnavailable
        If the database cannot be opened.
    """
    database = create_database(state.database_url)
    upgrade_schema(database)
    if not state.was_prepared_once:
        load_demo_data(Store(database))
    database.dispose()
    state.mark_prepared()


def load_demo_data(store: Store) -> None:
    """Add the datasets that ship, unless their symbol is there already."""
    log = get_logger(__name__)
    for symbol in list_demo_symbols():
        file = find_demo_file(symbol)
        if file is None or store.datasets.get(symbol) is not None:
            continue
        record = store.datasets.add(parse_local_file(file, None), symbol, file.name)
        log.info("demo_data_loaded", symbol=symbol, n_bars=record.n_bars)


if __name__ == "__main__":
    configure_logging(load_settings(), "up")
    prepare_state(StateDir(Path(sys.argv[1])))
