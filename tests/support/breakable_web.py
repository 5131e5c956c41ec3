"""The web application, with the rules that harm and a way to die at the worst of instants."""

from __future__ import annotations

import os
import signal

from flask import Flask

import webapp.app
from storage.store import Store
from tasks import submit
from tasks.settings import Settings
from tests.support.poisoned_command import register_poison

DEADLY_NOTE = "dies between commit and enqueue"


def create_app() -> Flask:
    register_poison()
    dispatch = submit.dispatch_run
    died: set[str] = set()

    def die_or_dispatch(store: Store, settings: Settings, run_id: str) -> bool:
        record = store.runs.get(run_id)
        if record is not None and record.note == DEADLY_NOTE and run_id not in died:
            os.kill(os.getppid(), signal.SIGKILL)  # gunicorn's main process, and so all of it
            os.kill(os.getpid(), signal.SIGKILL)
        return dispatch(store, settings, run_id)

    submit.dispatch_run = die_or_dispatch
    return webapp.app.create_app()
