"""The API's own description, tried by a program that did not write it, against a real server."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.api_hooks import ENVIRONMENT
from tests.support.live_web import serving
from tests.support.web import Web, build_web, make_token, submit

ROOT = Path(__file__).resolve().parents[2]
# Of a request that fits the schema much depends on what is stored: a dataset that does not exist, a
# page's cursor that nobody gave out. Everything else is checked: no 5xx, each status, media type,
# header and body as described, and nothing accepted that the description forbids.
EXCLUDED_CHECKS = "positive_data_acceptance"
# What the description's limits ask for is tried in full; beyond that so many per operation.
MAX_EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "5"))


def submit_sweep(web: Web, window: str) -> str:
    body = {"dataset": "WALK", "rule": "rsi", "space": {"window": window, "oversold": [20, 30]}}
    answer = web.client.post("/api/v1/sweeps", json=body)
    assert answer.status_code == 202, answer.json
    return str(answer.json["sweep_id"])


@pytest.mark.timeout(600)
def test_no_request_meets_a_server_error_or_an_answer_that_is_not_described(
    tmp_path: Path,
) -> None:
    web = build_web(tmp_path, executor="inline")
    known = {
        "run_id": [submit(web, params={"window": window}) for window in range(3, 7)],
        "sweep_id": [submit_sweep(web, f"3:{stop}") for stop in range(6, 10)],
        "dataset": ["WALK"],
        "rule": ["rsi", "sma_cross", "buy_and_hold"],
    }
    # With a token from the start: it makes some itself, and the first one closes an open platform.
    token = make_token(web)
    web.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)
    try:
        with serving(web) as url:
            done = subprocess.run(
                [
                    *(str(Path(sys.executable).with_name("schemathesis")), "run"),
                    *(f"{url}/api/openapi.json", "--max-examples", str(MAX_EXAMPLES)),
                    *("--seed", "1", "--phases", "examples,coverage,fuzzing", "--no-color"),
                    *("--checks", "all", "--exclude-checks", EXCLUDED_CHECKS),
                    *("--header", f"Authorization: Bearer {token}"),
                    *("--continue-on-failure", "--generation-database", "none"),
                    *(
                        "--request-timeout",
                        "60",
                        "--max-response-time",
                        "60",
                        "--suppress-health-check",
                        "all",
                    ),
                ],
                env={
                    **os.environ,
                    "SCHEMATHESIS_HOOKS": "tests.support.api_hooks",
                    "PYTHONPATH": str(ROOT),
                    ENVIRONMENT: json.dumps(known),
                },
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=560,
                check=False,
            )
    finally:
        logging.getLogger().setLevel(level)
    said = done.stdout[-20_000:] + done.stderr[-2000:]
    assert done.returncode == 0, said
    paths = web.client.get("/api/openapi.json").json["paths"]
    # It leaves out the address that it read the description from.
    n_operations = sum(len(item) for item in paths.values()) - 1
    assert f"Tested: {n_operations}" in done.stdout, said
