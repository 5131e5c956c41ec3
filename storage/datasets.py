"""Datasets: bars stored once per content, and symbols that point to them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Row, bindparam, func, insert, select, update
from sqlalchemy import delete as delete_from

from backtest.errors import InputError
from storage.blobs import insert_blobs, load_blobs, unpack_array
from storage.dataset_uses import find_uses
from storage.errors import DatasetInUse, SymbolTaken, UnknownDataset
from storage.grouping import Grouping
from storage.models import MAX_SYMBOL_LENGTH, dataset_blocks, dataset_contents, datasets
from storage.records import DatasetContent, DatasetRecord
from storage.repository import Repository, delete_unused_content
from storage.run_tags import clean_tags
from storage.sql_types import database_time

if TYPE_CHECKING:
    import numpy as np

    from backtest.bars import Bars, DataWarning

DATASET_COLUMNS = {
    "timestamps": "<i8",
    "open": "<f8",
    "high": "<f8",
    "low": "<f8",
    "close": "<f8",
    "volume": "<f8",
    "adj_factor": "<f8",
}

_SHA256 = re.compile(r"[0-9a-f]{64}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Neither `.` nor `..`, which mean a place, and nothing that a spreadsheet would run.
_SYMBOL = re.compile(r"(?!\.+$)[A-Za-z0-9^._][A-Za-z0-9^._=:+&-]*")


def validate_symbol(symbol: str) -> str:
    """Return `symbol` without surrounding blanks.

    Raises
    ------
    InputError
        If it is empty, too long, has characters that do not belong into an address, or reads as a
        dataset's hash or id.
    """
    name = symbol.strip()
    if not _SYMBOL.fullmatch(name):
        raise InputError.of(
            "symbol", symbol, "use letters, digits and . _ - ^ = : + &, for example BRK.B"
        )
    if len(name) > MAX_SYMBOL_LENGTH:
        raise InputError.of("symbol", symbol, f"at most {MAX_SYMBOL_LENGTH} characters")
    if _SHA256.fullmatch(name.lower()) or _UUID.fullmatch(name.lower()):
        raise InputError.of("symbol", symbol, "reads as a dataset's hash or id; choose a name")
    return name


class DatasetRepository(Repository):
    """Operations on datasets; see `Repository`."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        # Every submission asks, most of a burst for the same one.
        self._wanted = Grouping["str", "DatasetRecord | None"](self._get_all)

    def add(self, parsed: DatasetContent, symbol: str, file_name: str) -> DatasetRecord:
        """Store bars under a symbol.

        Content that is already there is not stored again; content that the symbol already points
        to changes nothing; any other content becomes the symbol's next version.

        Raises
        ------
        InputError
            If the symbol cannot be used.
        """
        name = validate_symbol(symbol)
        missing = DATASET_COLUMNS.keys() - parsed.columns.keys()
        if missing:
            raise ValueError(f"parsed bars lack the columns {sorted(missing)}")

        def work(connection: Connection) -> DatasetRecord:
            _insert_content(connection, parsed)
            latest = _find(connection, "symbol", name)
            if latest is None or latest.sha256 != parsed.sha256:
                version = 1 if latest is None else latest.version + 1
                tags = () if latest is None else latest.tags
                _insert_pointer(connection, parsed.sha256, name, version, file_name, tags)
                latest = _find(connection, "symbol", name)
            assert latest is not None  # noqa: S101  # inserted above
            return latest

        return self._write_unique(work)

    def get(self, ref: str) -> DatasetRecord | None:
        """Find a dataset by id, SHA-256 or symbol (its newest version).

        A symbol that is not found as written is tried in capitals.
        """
        return self._wanted.do(ref)

    def _get_all(self, group: Sequence[str]) -> Sequence[DatasetRecord | None]:
        def work(connection: Connection) -> dict[str, DatasetRecord | None]:
            return {ref: _find_any(connection, ref) for ref in set(group)}

        found = self._read(work)
        return [found[ref] for ref in group]

    def list(self) -> tuple[DatasetRecord, ...]:
        """Return the newest version of every symbol, by symbol."""
        newest = (
            select(datasets.c.symbol, func.max(datasets.c.version).label("version"))
            .group_by(datasets.c.symbol)
            .subquery()
        )
        query = (
            _select_records()
            .join(
                newest,
                (newest.c.symbol == datasets.c.symbol) & (newest.c.version == datasets.c.version),
            )
            .order_by(datasets.c.symbol)
        )
        return self._read(lambda connection: tuple(map(_record, connection.execute(query))))

    def list_versions(self, symbol: str) -> tuple[DatasetRecord, ...]:
        """Return every version of a symbol, newest first; none if there is no such symbol."""
        query = _select_records().where(datasets.c.symbol == symbol)
        query = query.order_by(datasets.c.version.desc())
        return self._read(lambda connection: tuple(map(_record, connection.execute(query))))

    def patch(
        self, ref: str, *, symbol: str | None = None, tags: Iterable[str] | None = None
    ) -> DatasetRecord | None:
        """Rename or tag the symbol that `ref` belongs to, with all its versions.

        Runs keep the name they were submitted under, and find their bars by the hash.

        Parameters
        ----------
        ref : str
            As for `get`.
        symbol : str, optional
            The new name.
        tags : iterable of str, optional
            They replace those that are there.

        Returns
        -------
        DatasetRecord or None
            As `get` finds it now; None if there is no such dataset.

        Raises
        ------
        InputError
            If the name or a tag cannot be used.
        SymbolTaken
            If another dataset has the name.
        """
        name = None if symbol is None else validate_symbol(symbol)
        changes: dict[str, Any] = {} if tags is None else {"tags": clean_tags(tags)}

        def work(connection: Connection) -> DatasetRecord | None:
            found = _find_any(connection, ref)
            if found is None:
                return None
            if name is not None and name != found.symbol:
                if _find(connection, "symbol", name) is not None:
                    raise SymbolTaken(f"there is a dataset {name} already")
                changes["symbol"] = name
            if changes:
                own = datasets.c.symbol == found.symbol
                connection.execute(update(datasets).where(own).values(**changes))
            return _find(connection, "id", found.id)

        return self._write_unique(work)

    def remove(self, ref: str) -> bool:
        """Forget a symbol with all its versions, or one version by its id or SHA-256.

        Returns
        -------
        bool
            Whether anything was found to remove.

        Raises
        ------
        DatasetInUse
            If runs or sweeps stand on it.
        """

        def work(connection: Connection) -> bool:
            columns = datasets.c.id, datasets.c.symbol, datasets.c.sha256
            rows = connection.execute(
                select(*columns).where(_match_versions(connection, ref))
            ).all()
            if uses := find_uses(connection, rows):
                raise DatasetInUse(uses)
            for row in rows:
                connection.execute(delete_from(datasets).where(datasets.c.id == row.id))
            for sha256 in sorted({row.sha256 for row in rows}):
                delete_unused_content(connection, sha256)
            return bool(rows)

        return self._write(work)

    def load_columns(self, sha256: str, names: Sequence[str]) -> dict[str, np.ndarray[Any, Any]]:
        """Return columns of a content as read-only arrays.

        Parameters
        ----------
        sha256 : str
            Content, whether or not a symbol still points to it.
        names : sequence of str
            Of ``timestamps`` (int64, UTC nanoseconds) and the float64 columns.

        Raises
        ------
        UnknownDataset
            If the content is not stored.
        """
        return self._read(lambda connection: _load_columns(connection, sha256, names))

    def load_bars(self, sha256: str) -> tuple[Bars, tuple[DataWarning, ...]]:
        """Return the whole dataset, unadjusted, with the warnings of its file.

        Raises
        ------
        UnknownDataset
            If the content is not stored.
        """
        from backtest.bars import Bars, DataWarning

        content, columns = self._read(
            lambda connection: (
                _get_content(connection, sha256),
                _load_columns(connection, sha256, list(DATASET_COLUMNS)),
            )
        )
        bars = Bars(**columns, spacing=content.spacing, periods_per_year=content.periods_per_year)
        return bars, tuple(DataWarning(**item) for item in content.warnings)


def _get_content(connection: Connection, sha256: str) -> Row[Any]:
    query = select(dataset_contents).where(dataset_contents.c.sha256 == sha256)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise UnknownDataset(f"no dataset with the content {sha256[:12]}... is stored")
    return row


def _load_columns(
    connection: Connection, sha256: str, names: Sequence[str]
) -> dict[str, np.ndarray[Any, Any]]:
    _get_content(connection, sha256)
    blobs = load_blobs(connection, dataset_blocks, {"sha256": sha256}, names)
    return {name: unpack_array(blobs[name], DATASET_COLUMNS[name]) for name in names}


def _insert_content(connection: Connection, parsed: DatasetContent) -> None:
    key = dataset_contents.c.sha256
    # Locked, so that it cannot be deleted as unused before we point to it.
    there = select(key).where(key == parsed.sha256).with_for_update()
    if connection.scalar(there) is not None:
        return
    blobs = {name: parsed.columns[name] for name in DATASET_COLUMNS}
    connection.execute(
        insert(dataset_contents).values(
            sha256=parsed.sha256,
            n_bars=parsed.n_bars,
            first_ns=parsed.first_ns,
            last_ns=parsed.last_ns,
            spacing=parsed.spacing,
            periods_per_year=parsed.periods_per_year,
            has_adjustment=parsed.has_adjustment,
            warnings=[dict(item) for item in parsed.warnings],
            created_at=database_time(),
            n_bytes=sum(map(len, blobs.values())),
        )
    )
    insert_blobs(connection, dataset_blocks, {"sha256": parsed.sha256}, blobs)


def _insert_pointer(
    connection: Connection,
    sha256: str,
    symbol: str,
    version: int,
    file_name: str,
    tags: Sequence[str],
) -> None:
    connection.execute(
        insert(datasets).values(
            id=str(uuid.uuid4()),
            symbol=symbol,
            version=version,
            sha256=sha256,
            file_name=file_name[-255:],  # the end of a name says more than its beginning
            created_at=database_time(),
            tags=list(tags),
        )
    )


def _match_versions(connection: Connection, ref: str) -> Any:
    if _UUID.fullmatch(ref.lower()):
        return datasets.c.id == ref.lower()
    if _SHA256.fullmatch(ref.lower()):
        return datasets.c.sha256 == ref.lower()
    exact = _find(connection, "symbol", ref)
    return datasets.c.symbol == (ref if exact is not None else ref.upper())


def _select_records() -> Any:
    return select(
        datasets,
        *(column for column in dataset_contents.c if column.name not in ("sha256", "created_at")),
    ).join(dataset_contents, dataset_contents.c.sha256 == datasets.c.sha256)


# Built once: every submission asks, and building a query costs more than running it.
_NEWEST = {
    name: _select_records()
    .where(datasets.c[name] == bindparam("wanted"))
    .order_by(datasets.c.version.desc(), datasets.c.created_at.desc())
    .limit(1)
    for name in ("id", "sha256", "symbol")
}


def _find(connection: Connection, column: str, wanted: str) -> DatasetRecord | None:
    row = connection.execute(_NEWEST[column], {"wanted": wanted}).one_or_none()
    return None if row is None else _record(row)


def _find_any(connection: Connection, ref: str) -> DatasetRecord | None:
    if _UUID.fullmatch(ref.lower()):
        return _find(connection, "id", ref.lower())
    if _SHA256.fullmatch(ref.lower()):
        return _find(connection, "sha256", ref.lower())
    return _find(connection, "symbol", ref) or _find(connection, "symbol", ref.upper())


def _record(row: Row[Any]) -> DatasetRecord:
    values = dict(row._mapping)
    values["warnings"] = tuple(values["warnings"])
    values["tags"] = tuple(values["tags"] or ())
    return DatasetRecord(**values)
