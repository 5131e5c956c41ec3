"""A pod that can write no file computes with shipped kernels, and compiles nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.kernel_warmup import list_cached, main
from tasks.shipped_kernels import choose_baseline, read_cpu_flags
from tests.support.jobs import build_environ
from tests.support.mariadb import MariaDbServer
from tests.support.web import build_web, submit

BASELINE = "x86-64-v3"
READ_ONLY = """
set -e
mount -o remount,bind,ro /
mount -t tmpfs scratch "$TMPDIR"
if touch "$SHIPPED/probe" 2> /dev/null; then echo "the file system can be written"; exit 99; fi
exec "$@"
"""


@pytest.mark.timeout(600)
def test_a_pod_whose_file_system_is_read_only_compiles_nothing(
    tmp_path: Path, mariadb_server: MariaDbServer
) -> None:
    """All but one directory in memory is read-only, as in the image, and kernels are shipped."""
    if choose_baseline(read_cpu_flags()) is None:
        pytest.fail("this processor runs none of the baselines; the image cannot be built here")
    web = build_web(tmp_path, url=mariadb_server.create_database())
    run_ids = [submit(web, params={"window": window}) for window in (9, 10)]
    shipped, scratch = tmp_path / "kernels", tmp_path / "scratch"
    scratch.mkdir()
    assert main([str(shipped), "--baseline", BASELINE, "--rule", "rsi", "--runs-only"]) == 0
    before = list_cached(shipped / BASELINE)
    # Two builds make the same files: nothing quotes where something was in memory.
    texts = [(shipped / BASELINE / name).read_bytes() for name in before]
    assert sum(text.count(b"<function ") for text in texts) > 0
    assert not [text for text in texts if re.search(rb"<function \S+ at 0x0*[1-9a-f]", text)]
    more = {"NUMBA_CACHE_DIR": str(shipped), "NUMBA_CPU_NAME": BASELINE, "NUMBA_DEBUG_CACHE": "1"}
    command = ("unshare", "--mount", "sh", "-c", READ_ONLY, "sh")
    for run_id in run_ids:
        done = subprocess.run(
            [*command, sys.executable, "-m", "tasks.job", run_id],
            env=build_environ(web, SHIPPED=str(shipped), TMPDIR=str(scratch), **more),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said = re.findall(r"\[cache\] (?:index|data) (saved|loaded)", done.stdout + done.stderr)
        assert set(said) == {"loaded"}
        record = web.store.runs.get(run_id)
        assert record is not None
        assert (record.state, record.has_charts) == ("succeeded", True)
    assert list_cached(shipped / BASELINE) == before
    web.store.engine.dispose()
