"""The child process behind an export: all combinations of one sweep to standard output.

Standard input is one JSON object (database, sweep, format); the file goes out as it is written, so
that memory is that of a few chunks. A client that goes away closes the pipe, which ends the child.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys

from storage.cores import use_all_cores
from storage.database import create_database
from storage.store import Store

# Measured: numpy and pyarrow map 0.5 GiB, a chunk of the largest size is 15 MB a column set; what
# grows beyond this has gone wrong.
_ADDRESS_SPACE_BYTES = 2 << 30
# An hour streams the largest sweep; the web tier ends slower ones as well.
_WALL_SECONDS = 3600


def main() -> int:
    """Write the export that standard input asks for."""
    config = json.load(sys.stdin)
    use_all_cores()
    limit_resources()
    from adapters.sweep_export import write_sweep
    from rules.sweep_spec import SweepSpec
    from tasks.sweep_reader import StoredColumns

    store = Store(create_database(config["database_url"]))
    record = store.sweeps.get(config["sweep_id"])
    if record is None or record.state != "succeeded":
        sys.stderr.write("the sweep is gone or not complete\n")
        return 1
    spec = SweepSpec.from_json(record.spec)
    columns = StoredColumns(store, record.sweep_id, spec)
    try:
        write_sweep(
            columns,
            spec,
            config["format"],
            sys.stdout.buffer,
            {"sweep_id": record.sweep_id},
        )
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def limit_resources() -> None:
    """Bound memory and time of this process, and what is left of a crash."""
    for kind, value in (
        (resource.RLIMIT_AS, _ADDRESS_SPACE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (soft, hard))
    signal.alarm(_WALL_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
