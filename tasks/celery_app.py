"""The Celery application of workers and of Flower. What its tasks do is in `tasks.execute`.

How messages get to the broker is in `tasks.messages`, which needs no Celery.
"""

from __future__ import annotations

from typing import Any

from celery import Celery

from tasks.broker import use_mended_transport
from tasks.messages import (
    CHUNK_TASK,
    FINISH_TASK,
    LOST_TASK,
    QUERY_TASK,
    QUEUES,
    REPORT_QUEUE,
    RUN_QUEUE,
    RUN_TASK,
    SWEEP_QUEUE,
    build_transport_options,
    verify_certificate,
)
from tasks.settings import HARD_LIMIT_GRACE_SECONDS, Settings


def build_celery_config(settings: Settings) -> dict[str, Any]:
    """Return the Celery configuration that follows from `settings`."""
    return {
        "broker_url": verify_certificate(settings.broker_url),
        "broker_connection_timeout": settings.broker_timeout_seconds,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": build_transport_options(settings),
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "result_backend": None,
        "task_ignore_result": True,
        "task_acks_late": True,
        # A message whose process died is done with: `tasks.lost_workers` reports the loss, and what
        # follows from it the database decides. Requeued, a task that kills would never end.
        "task_reject_on_worker_lost": False,
        "task_track_started": True,
        "task_soft_time_limit": settings.max_run_seconds,
        "task_time_limit": settings.max_run_seconds + HARD_LIMIT_GRACE_SECONDS,
        "task_default_queue": RUN_QUEUE,
        "task_queues": {name: {"exchange": name, "routing_key": name} for name in QUEUES},
        "task_routes": {
            RUN_TASK: {"queue": RUN_QUEUE},
            QUERY_TASK: {"queue": RUN_QUEUE},
            CHUNK_TASK: {"queue": SWEEP_QUEUE},
            FINISH_TASK: {"queue": SWEEP_QUEUE},
            LOST_TASK: {"queue": REPORT_QUEUE},
        },
        # Against leaks: a process that has done or grown this much is replaced between two tasks.
        "worker_max_tasks_per_child": settings.max_tasks_per_process or None,
        "worker_max_memory_per_child": settings.max_process_mb * 1024 or None,  # [KiB]
        "worker_prefetch_multiplier": 1,
        # With late acknowledgement even a multiplier of 1 reserves one message more per process,
        # which would wait behind a long run while another worker is idle.
        "worker_disable_prefetch": True,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_send_task_events": True,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        # How long the pool waits for a last word from a killed process.
        "worker_lost_wait": 1.0,
        "enable_utc": True,
        "timezone": "UTC",
    }


def create_celery_app(settings: Settings) -> Celery:
    """Return a configured application without tasks: enough to watch."""
    use_mended_transport()
    app = Celery("stock_backtest", set_as_current=False)
    app.conf.update(build_celery_config(settings))
    return app
