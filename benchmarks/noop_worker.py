"""A Celery application that does nothing: the floor under everything that goes through a queue."""

from __future__ import annotations

import os

from celery import Celery

app = Celery("noop", broker=os.environ["NOOP_BROKER"], backend=os.environ["NOOP_BROKER"])
app.conf.update(
    task_default_queue="noop",
    worker_prefetch_multiplier=1,
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
)


@app.task(name="noop")
def noop() -> int:
    """Return at once."""
    return 0
