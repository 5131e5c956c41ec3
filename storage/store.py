"""All repositories of one database."""

from __future__ import annotations

from sqlalchemy import Engine

from storage.access import TokenRepository
from storage.audit import AuditRepository
from storage.counters import CounterRepository
from storage.datasets import DatasetRepository
from storage.presets import PresetRepository
from storage.runs import RunRepository
from storage.service_leases import ServiceLeases
from storage.sweeps import SweepRepository
from storage.watch import Watch


class Store:
    """The repositories over one engine; threads may share it, forked processes must not.

    Parameters
    ----------
    engine : Engine
        Of `storage.database.create_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.datasets = DatasetRepository(engine)
        self.presets = PresetRepository(engine)
        self.runs = RunRepository(engine)
        self.sweeps = SweepRepository(engine)
        self.leases = ServiceLeases(engine)
        self.tokens = TokenRepository(engine)
        self.audit = AuditRepository(engine)
        self.counters = CounterRepository(engine)
        self.watch = Watch(engine)
