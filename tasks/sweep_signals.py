"""The signals of a sweep: which distinct ones a rule has, and their events, computed once.

A rule's parts depend on some of its parameters only, so that a grid of a million combinations has a
few thousand distinct signals. Safe for threads: tables are replaced, never changed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from backtest.bars import Bars
from backtest.signal_events import SignalEvents, build_events, join_events
from rules.base_rule import BaseRule, RuleOutput
from tasks.logs import get_logger

if TYPE_CHECKING:
    from rules.search_axes import Axis
    from rules.sweep_hooks import IndicatorRows

log = get_logger(__name__)

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Columns = Mapping[str, NDArray[Any]]

# Distinct signals that get a place in a table (int32 each); parts with more are not kept at all.
_MAX_PLACES = 2**20
# Events that a part keeps between tiles, per dataset.
_TABLE_BYTES = 16 * 2**20
# Events that are computed at once, as far as one can tell before: a signal on every 16th bar.
_BATCH_BYTES = 32 * 2**20
_BYTES_PER_BAR = 5 / 16
_FAULTS = (
    "",
    "events must lie on the bars, in their order, one on each",
    "codes must be BUY, SELL or EXIT",
    "weight must be in [0, 1]",
)
_DTYPES: dict[str, Any] = {"int": np.int64, "float": np.float64, "bool": np.bool_, "choice": object}


class AxisGroup:
    """Some of a space's axes and fixed values: numbers and columns for their combinations.

    Parameters
    ----------
    axes : sequence of Axis
        All axes of the space.
    names : sequence of str
        What the group consists of, swept or fixed.
    fixed : mapping
        Value of each of `names` that is no axis.
    dtypes : mapping of str to dtype
        Of the columns of fixed values.
    """

    def __init__(
        self,
        axes: Sequence[Axis],
        names: Sequence[str],
        fixed: Mapping[str, Any],
        dtypes: Mapping[str, Any],
    ) -> None:
        # No two axes of a space have one name, whatever group they are of.
        self._axes = [(row, axis) for row, axis in enumerate(axes) if axis.name in names]
        swept = {axis.name for _, axis in self._axes}
        self._fixed = {name: fixed[name] for name in names if name not in swept}
        self._dtypes = dtypes
        self.size = 1
        for _, axis in self._axes:
            self.size *= axis.n_values

    def number(self, digits: IntArray) -> IntArray:
        """Return the number, in [0, size), of each column of `digits`, shape (n_axes, n)."""
        numbers = np.zeros(digits.shape[1], dtype=np.int64)
        for row, axis in self._axes:
            numbers *= axis.n_values
            numbers += digits[row]
        return numbers

    def build_columns(self, numbers: IntArray) -> dict[str, NDArray[Any]]:
        """Return the values behind numbers, by name, each of shape (n,)."""
        columns = {
            name: np.full(numbers.size, value, dtype=self._dtypes[name])
            for name, value in self._fixed.items()
        }
        for axis, digits in self._split(numbers):
            columns[axis.name] = axis.values(digits)
        return columns

    def build_rows(self, numbers: IntArray) -> list[dict[str, Any]]:
        """Return the values behind numbers as Python has them, one mapping each."""
        rows = [dict(self._fixed) for _ in range(numbers.size)]
        for axis, digits in self._split(numbers):
            for row, digit in zip(rows, digits.tolist(), strict=True):
                row[axis.name] = axis[digit]
        return rows

    def _split(self, numbers: IntArray) -> Iterator[tuple[Axis, IntArray]]:
        rest = numbers
        for _, axis in reversed(self._axes):
            rest, digits = np.divmod(rest, axis.n_values)
            yield axis, digits


@dataclass(frozen=True, slots=True)
class SignalTable:
    """Events of several signals, and which of them could not be computed (they have none)."""

    events: SignalEvents
    failed: BoolArray

    @property
    def n_bytes(self) -> int:
        """Memory of the table."""
        events = self.events
        arrays = (events.offsets, events.bar, events.code, events.weight, self.failed)
        return sum(array.nbytes for array in arrays)


_EMPTY = SignalTable(
    SignalEvents(np.zeros(1, np.int64), np.empty(0, np.int32), np.empty(0, np.int8), np.empty(0)),
    np.empty(0, np.bool_),
)

_FAILED = SignalTable(replace(_EMPTY.events, offsets=np.zeros(2, np.int64)), np.ones(1, np.bool_))


def join_tables(tables: Sequence[SignalTable]) -> SignalTable:
    """Put tables behind one another."""
    if len(tables) == 1:
        return tables[0]
    return SignalTable(
        join_events([table.events for table in tables]),
        np.concatenate([table.failed for table in tables]),
    )


_Compute = Callable[[AxisGroup, IntArray], SignalTable]


@dataclass(frozen=True, slots=True)
class _Look:
    """What a part has of some numbers: a table, the place of each in it or -1, and what is not."""

    numbers: IntArray
    table: SignalTable
    places: NDArray[np.int32]
    missing: IntArray  # distinct, ascending

    def join(self, found: SignalTable) -> tuple[SignalTable, NDArray[np.int32]]:
        """Return table and places with the table of the missing ones."""
        if not self.missing.size:
            return self.table, self.places
        first = self.table.events.n_signals
        unknown = self.places < 0
        places = self.places.copy()
        places[unknown] = first + np.searchsorted(self.missing, self.numbers[unknown])
        return (join_tables([self.table, found]) if first else found), places


class PartSignals:
    """The signals of one part of a rule on one set of bars, kept while they are small.

    Parameters
    ----------
    group : AxisGroup
        What the part depends on.
    keep : bool
        Whether signals come again in later tiles.
    """

    def __init__(self, group: AxisGroup, keep: bool) -> None:
        self.group = group
        self._lock = threading.Lock()
        # Joined where signals of several are asked for together, which in a grid is seldom.
        self._tables: list[SignalTable] = []
        self._n_signals = self._n_bytes = 0
        # Place of each signal in the tables behind one another, -1 for none.
        self._places: NDArray[np.int32] | None = (
            np.full(group.size, -1, dtype=np.int32) if keep and group.size <= _MAX_PLACES else None
        )

    def look_up(self, digits: IntArray) -> _Look:
        """Return what there is for each column of `digits`, shape (n_axes, n)."""
        numbers = self.group.number(digits)
        if self._places is None:
            nowhere = np.full(numbers.size, -1, dtype=np.int32)
            return _Look(numbers, _EMPTY, nowhere, np.unique(numbers))
        table = _EMPTY
        with self._lock:
            places = self._places[numbers]
            unknown = numbers[places < 0]
            if unknown.size < numbers.size:
                if len(self._tables) > 1:
                    self._tables = [join_tables(self._tables)]
                (table,) = self._tables
        if not unknown.size:
            return _Look(numbers, table, places, unknown)
        # Distinct ones in order: marking them is a tenth of the cost of sorting.
        marked = np.zeros(self.group.size, np.bool_)
        marked[unknown] = True
        return _Look(numbers, table, places, np.flatnonzero(marked))

    def keep(self, missing: IntArray, found: SignalTable) -> None:
        """Keep a table of signals for later tiles; if there is no room, instead of all others."""
        if self._places is None or found.n_bytes > _TABLE_BYTES:
            return
        with self._lock:
            if self._n_bytes + found.n_bytes > _TABLE_BYTES:
                self._tables, self._n_signals, self._n_bytes = [], 0, 0
                self._places.fill(-1)
            stop = self._n_signals + missing.size
            self._places[missing] = np.arange(self._n_signals, stop, dtype=np.int32)
            self._tables.append(found)
            self._n_signals, self._n_bytes = stop, self._n_bytes + found.n_bytes


class RuleSignals:
    """All parts of a rule's signal, one of all its inputs for a rule without hook.

    Parameters
    ----------
    rows : IndicatorRows
        Of `bars`.
    n_points : int
        Of one dataset: a part with nearly as many signals is not worth keeping.
    """

    def __init__(
        self,
        rule: BaseRule,
        axes: Sequence[Axis],
        fixed: Mapping[str, Any],
        bars: Bars,
        rows: IndicatorRows,
        n_points: int,
    ) -> None:
        self._rule, self._bars, self._rows = rule, bars, rows
        dtypes = {item.name: _DTYPES[item.type] for item in rule.metadata.parameters}
        dtypes |= dict.fromkeys(rule.metadata.reads, np.float64)
        self._has_hook = bool(rule.signal_parts())
        names = [part.parameters for part in rule.signal_parts()] or [tuple(dtypes)]
        groups = [AxisGroup(axes, some, fixed, dtypes) for some in names]
        self._parts = [PartSignals(group, keep=2 * group.size <= n_points) for group in groups]

    def find(self, digits: IntArray) -> list[tuple[SignalTable, NDArray[np.int32]]] | None:
        """Return, for each part, a table and the place in it of each column of `digits`.

        None where that would be more signals than may be computed at once: ask for fewer columns.
        """
        looks = [part.look_up(digits) for part in self._parts]
        n_bytes = sum(look.missing.size for look in looks) * self._bars.n_bars * _BYTES_PER_BAR
        if digits.shape[1] > 1 and n_bytes > _BATCH_BYTES:
            return None
        missing = {i: look.missing for i, look in enumerate(looks) if look.missing.size}
        # Without a lock: others may meanwhile compute theirs.
        tables = self._compute(missing) if missing else {}
        for i, table in tables.items():
            self._parts[i].keep(missing[i], table)
        return [look.join(tables.get(i, _EMPTY)) for i, look in enumerate(looks)]

    def _compute(self, missing: Mapping[int, IntArray]) -> dict[int, SignalTable]:
        if not self._has_hook:
            return {0: self._compute_alone(missing[0])}
        try:
            return self._compute_parts(missing)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001  # whatever a rule raises; logged where it fails alone
            return {part: self._compute_batch(part, some) for part, some in missing.items()}

    def _compute_parts(self, missing: Mapping[int, IntArray]) -> dict[int, SignalTable]:
        """Compute signals of several parts at one stroke."""
        wanted = {i: self._parts[i].group.build_columns(some) for i, some in missing.items()}
        found = self._rule.compute_parts(self._bars, self._rows, wanted)
        for i, some in missing.items():
            check_events(found[i], some.size, self._bars.n_bars)
        return {
            i: SignalTable(found[i], np.zeros(some.size, np.bool_)) for i, some in missing.items()
        }

    def _compute_batch(self, part: int, numbers: IntArray) -> SignalTable:
        """Compute signals of a part; where that fails one by one, so that only some fail."""
        from rules.sweep_hooks import TooManyRows

        try:
            return self._compute_parts({part: numbers})[part]
        except MemoryError:
            raise
        except TooManyRows:
            halves = np.array_split(numbers, 2)
            return join_tables([self._compute_batch(part, half) for half in halves])
        except Exception:  # noqa: BLE001  # whatever a rule raises; logged where it fails alone
            return _compute_singly(
                lambda one: self._compute_parts({part: one})[part].events,
                self._parts[part].group,
                numbers,
            )

    def _compute_alone(self, numbers: IntArray) -> SignalTable:
        """Compute signals through `BaseRule.compute`."""
        group = self._parts[0].group

        def compute(one: IntArray) -> SignalEvents:
            (params,) = group.build_rows(one)
            events = _build_rule_events(self._rule.compute(self._bars, **params), self._bars.n_bars)
            check_events(events, 1, self._bars.n_bars)
            return events

        return _compute_singly(compute, group, numbers)


def _compute_singly(
    compute: Callable[[IntArray], SignalEvents], group: AxisGroup, numbers: IntArray
) -> SignalTable:
    """Compute signals one after the other; one that raises fails, and the first is logged."""
    tables: list[SignalTable] = []
    failures: list[tuple[IntArray, Exception]] = []
    for i in range(numbers.size):
        one = numbers[i : i + 1]
        try:
            tables.append(SignalTable(compute(one), np.zeros(1, np.bool_)))
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a rule raises, its signal alone fails
            failures.append((one, error))
            tables.append(_FAILED)
    if failures:
        first, reason = failures[0]
        (params,) = group.build_rows(first)
        log.warning("signals_failed", count=len(failures), params=params, error=repr(reason))
    return join_tables(tables)


def _build_rule_events(output: RuleOutput, n_bars: int) -> SignalEvents:
    """Build the events of what a rule computed; raises ValueError for what the engine refuses."""
    if output.signal.shape != (n_bars,) or output.signal.dtype != np.int8:
        raise ValueError(f"signal is {output.signal.dtype} {output.signal.shape}")
    weight = output.weight
    if weight is not None:
        if weight.shape != (n_bars,) or weight.dtype != np.float64:
            raise ValueError(f"weight is {weight.dtype} {weight.shape}")
        if not ((weight >= 0.0) & (weight <= 1.0)).all():
            raise ValueError("weight must be in [0, 1]")
    return build_events(output.signal, weight)


def check_events(events: SignalEvents, n_signals: int, n_bars: int) -> None:
    """Raise ValueError for events that are none of `n_signals` signals: kernels do not look."""
    offsets, bar, code, weight = events.offsets, events.bar, events.code, events.weight
    if offsets.shape != (n_signals + 1,) or offsets[0] != 0 or offsets[-1] != bar.size:
        raise ValueError(f"offsets {offsets.shape} do not fit {n_signals} signals")
    if code.shape != bar.shape or weight.size not in (0, bar.size):
        raise ValueError("bar, code and weight differ in length")
    from rules.sweep_kernels import find_fault

    if fault := find_fault(offsets, bar, code, weight, n_bars):
        raise ValueError(_FAULTS[fault])
