"""Work that one process at a time does for all of them, by the database's clock."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert, or_, select, update
from sqlalchemy import delete as delete_from

from storage.models import service_leases
from storage.repository import Repository
from storage.sql_types import database_time

_NOW = database_time()


class ServiceLeases(Repository):
    """Taking turns; see `Repository`.

    Such a lease spares work and is no guard: its holder may have fallen asleep in the middle of
    it. What is done under one must bear being done twice at once.
    """

    def acquire(self, name: str, holder: str, seconds: float) -> bool:
        """Take or keep a lease; False while another holder's lasts.

        Parameters
        ----------
        holder : str
            Different for each process in the world.
        seconds : float
            How long nobody else may have it.
        """
        mine = service_leases.c.name == name
        free = or_(service_leases.c.holder == holder, service_leases.c.lease_until < _NOW)
        until = database_time(seconds)
        # Most callers find it taken: they look without a lock.
        held = select(service_leases.c.name).where(mine, ~free)
        if self._read(lambda connection: connection.scalar(held)) is not None:
            return False

        def work(connection: Connection) -> bool:
            taken = connection.execute(
                update(service_leases).where(mine, free).values(holder=holder, lease_until=until)
            )
            if taken.rowcount == 1:
                return True
            if connection.scalar(select(service_leases.c.name).where(mine)) is not None:
                return False
            connection.execute(
                insert(service_leases).values(name=name, holder=holder, lease_until=until)
            )
            return True

        return self._write_unique(work)

    def read_clock(self) -> datetime:
        """Return the time by the clock that judges leases, the database's."""
        return self._read(lambda connection: connection.execute(select(_NOW)).scalar_one())

    def release(self, name: str, holder: str) -> None:
        """Give a lease back before its time, if it is this holder's."""
        statement = delete_from(service_leases).where(
            service_leases.c.name == name, service_leases.c.holder == holder
        )
        self._write_again(lambda connection: connection.execute(statement))
