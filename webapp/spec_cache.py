"""Specifications of sweeps, kept because building a space counts its points."""

from __future__ import annotations

import threading
from collections import OrderedDict

from rules.sweep_spec import SweepSpec
from storage.sweep_records import SweepRecord

# Of the sweeps that people look at. Counting 12,000,000 constrained points takes 0.15 s, which
# every poll of a page would pay.
_MOST_KEPT = 8


class SpecCache:
    """The specifications last asked for, by sweep: they never change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._specs: OrderedDict[str, SweepSpec] = OrderedDict()

    def load(self, record: SweepRecord) -> SweepSpec:
        """Return the specification of a sweep, its space built."""
        with self._lock:
            spec = self._specs.get(record.sweep_id)
            if spec is not None:
                self._specs.move_to_end(record.sweep_id)
                return spec
        spec = SweepSpec.from_json(record.spec)
        spec.build_space()
        with self._lock:
            self._specs[record.sweep_id] = spec
            while len(self._specs) > _MOST_KEPT:
                self._specs.popitem(last=False)
        return spec
