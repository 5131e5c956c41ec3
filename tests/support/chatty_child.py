"""A child for tests of `webapp.child_stream`: does what its standard input says."""

from __future__ import annotations

import json
import sys
import time


def main() -> int:
    """Write, wait and end as told."""
    config = json.load(sys.stdin)
    for _ in range(config.get("chunks", 0)):
        sys.stdout.buffer.write(b"x" * 65_536)
    sys.stdout.buffer.flush()
    sys.stderr.write(config.get("errors", ""))
    time.sleep(config.get("sleep", 0))
    return int(config.get("code", 0))


if __name__ == "__main__":
    sys.exit(main())
