"""The Celery application: how messages travel. What they do is in `tasks.execute`.

The broker is transport only. Messages carry ids and nothing else, results live in the database, and
whatever the broker loses or doubles is put right there: a claim admits one attempt at a time, and
maintenance sends again what never arrived.
"""

from __future__ import annotations

import uuid
from functools import lru_cache
from typing import Any

from celery import Celery

from tasks.broker import use_mended_transport
from tasks.settings import Settings

RUN_TASK = "stock_backtest.run"
CHUNK_TASK = "stock_backtest.sweep_chunk"
FINISH_TASK = "stock_backtest.sweep_finish"
QUERY_TASK = "stock_backtest.sweep_query"
LOST_TASK = "stock_backtest.report_lost"
# Sweeps have a queue of their own, so that a large one never delays a single run: workers look
# into the queues in alphabetical order (see `queue_order_strategy`), and take from the second only
# while the first is empty. What somebody waits for before a page is in the first.
REPORT_QUEUE = "reports"  # a few milliseconds each, by which work of dead processes goes on
RUN_QUEUE = "runs"
SWEEP_QUEUE = "sweeps"
QUEUES = (REPORT_QUEUE, RUN_QUEUE, SWEEP_QUEUE)

# A message that a dead worker took is offered again after this long. It may be short, even shorter
# than a run: a second delivery finds the claim taken and does nothing.
_REDELIVER_AFTER_SECONDS = 60
_REDELIVER_SWEEP_SECONDS = 5
# After the soft limit a task has this long to record its failure before its process is killed.
_HARD_LIMIT_GRACE_SECONDS = 30


def build_celery_config(settings: Settings) -> dict[str, Any]:
    """Return the Celery configuration that follows from `settings`."""
    timeout = settings.broker_timeout_seconds
    return {
        "broker_url": settings.broker_url,
        "broker_connection_timeout": timeout,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "visibility_timeout": _REDELIVER_AFTER_SECONDS,
            "unacked_restore_interval": _REDELIVER_SWEEP_SECONDS,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": 2 * _REDELIVER_SWEEP_SECONDS,
            # A broker that accepts connections but answers nothing must not hold a request.
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "max_retries": 0,
            # Without it the queues take turns, and a run would wait for one chunk more.
            "queue_order_strategy": "sorted",
        },
        # The sender has the row in the database to fall back on; waiting here helps nobody.
        "task_publish_retry": False,
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
        "task_time_limit": settings.max_run_seconds + _HARD_LIMIT_GRACE_SECONDS,
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
    """Return a configured application without tasks: enough to send messages and to watch."""
    use_mended_transport()
    app = Celery("stock_backtest", set_as_current=False)
    app.conf.update(build_celery_config(settings))
    return app


@lru_cache(maxsize=8)
def get_sender(settings: Settings) -> Celery:
    """Return the application that this process sends with, one per settings."""
    return create_celery_app(settings)


def send_run(settings: Settings, run_id: str) -> None:
    """Put one message for `run_id` on the queue; the run's id is the task's id.

    Raises
    ------
    kombu.exceptions.OperationalError
        If the broker cannot be reached in time.
    """
    get_sender(settings).send_task(RUN_TASK, args=[run_id], task_id=run_id, queue=RUN_QUEUE)


def send_chunk(settings: Settings, sweep_id: str, idx: int) -> None:
    """Put one message for a chunk on the queue of sweeps; raises as `send_run` does."""
    _send(settings, CHUNK_TASK, SWEEP_QUEUE, build_chunk_task_id(sweep_id, idx), sweep_id, idx)


def send_finish(settings: Settings, sweep_id: str) -> None:
    """Put one message for a sweep's finaliser on its queue; raises as `send_run` does."""
    _send(settings, FINISH_TASK, SWEEP_QUEUE, sweep_id, sweep_id)


def send_query(settings: Settings, query_id: str) -> None:
    """Put one message for a question on the queue of runs; raises as `send_run` does."""
    _send(settings, QUERY_TASK, RUN_QUEUE, query_id, query_id)


def build_chunk_task_id(sweep_id: str, idx: int) -> str:
    """Return the id of a chunk's task: the same for each attempt, as messages may repeat."""
    return str(uuid.uuid5(uuid.UUID(sweep_id), str(idx)))


def _send(settings: Settings, task: str, queue: str, task_id: str, *args: str | int) -> None:
    get_sender(settings).send_task(task, args=list(args), task_id=task_id, queue=queue)
