"""The specification of a sweep in the pinned form that workers compute.

What is asked for is `sweep_request.SweepRequest`; here its datasets are pinned by content, its
points counted, and a point of the space becomes one complete run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from backtest.errors import InputError
from rules.base_rule import ParameterValue
from rules.optimizer import (
    SearchSpace,
    VisitOrder,
    build_search_space,
    build_visit_order,
    check_limit,
)
from rules.search_axes import Axis
from rules.spec import DatasetRef, RunSpec, TradingSpec, canonicalise_value
from rules.sweep_request import (
    HEADLINE_METRICS,
    SMALLER_IS_BETTER,
    SweepRequest,
    SweepSearch,
    get_metadata,
    parse_sweep_request,
)

__all__ = [
    "HEADLINE_METRICS",
    "SMALLER_IS_BETTER",
    "SweepRequest",
    "SweepSearch",
    "SweepSpec",
    "check_limit",
    "compute_sweep_fingerprint",
    "parse_sweep_request",
    "pin_sweep_request",
]

# Equal spaces that are written differently share a fingerprint up to so many values of an axis.
_MAX_COMPARED_VALUES = 10_000


class SweepSpec(BaseModel):
    """One sweep, completely specified: the same spec gives the same numbers anywhere.

    `params` and `trading` are complete; what is swept holds its first value there and all its
    values in `space` and `trading_space`, as SPEC text or as a list of names or flags.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    datasets: list[DatasetRef]
    rule: str
    space: dict[str, str | list[ParameterValue]]
    trading_space: dict[str, str | list[ParameterValue]]
    params: dict[str, ParameterValue]
    trading: TradingSpec
    where: list[str]
    objective: str
    min_trades: int
    search: SweepSearch
    start: str | None
    end: str | None
    # Derived once, since counting may cost a second: positions of the order, and the combinations
    # among them, None if only the sweep itself can tell.
    n_positions: int
    n_combinations: int | None

    def to_json_dict(self) -> dict[str, Any]:
        """Return the ``spec`` object of ``sweep --json``."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Read what `to_json_dict` wrote."""
        return cls.model_validate(document)

    @property
    def dataset_labels(self) -> list[str]:
        """Names of the datasets: symbols, or content hashes where two symbols are the same."""
        return label_datasets(self.datasets)

    def build_space(self) -> SearchSpace:
        """Return the space; the same object for each call on this spec.

        Raises
        ------
        InputError
            If the rule is gone or no longer takes these values.
        """
        return self._built_space

    @cached_property
    def _built_space(self) -> SearchSpace:
        return build_search_space(
            get_metadata(self.rule),
            {**self.params, **self.space},
            {**self.trading.model_dump(), **self.trading_space},
            self.dataset_labels,
            self.where,
        )

    def build_order(self) -> VisitOrder:
        """Return the order of visits, without counting again."""
        n_points = self.build_space().n_points
        return VisitOrder(self.search.method, n_points, self.n_positions, self.search.seed)

    def combination(self, point: int) -> tuple[DatasetRef, dict[str, ParameterValue], TradingSpec]:
        """Return dataset, complete parameters and trading settings of a point."""
        values = self.build_space()[point]
        label = values.pop("dataset", None)
        dataset = self.datasets[self.dataset_labels.index(label) if label is not None else 0]
        params = {name: values.get(name, value) for name, value in self.params.items()}
        changes = {name: value for name, value in values.items() if name not in self.params}
        # Every value and every pair that constrain each other were validated with the space.
        return dataset, params, self.trading.model_copy(update=changes)

    def run_spec(self, point: int) -> RunSpec:
        """Return the single run that a point stands for."""
        dataset, params, trading = self.combination(point)
        return RunSpec(
            dataset=dataset,
            rule=self.rule,
            params=params,
            trading=trading,
            start=self.start,
            end=self.end,
        )


def label_datasets(datasets: Sequence[DatasetRef]) -> list[str]:
    """Return a distinct name for each dataset: its symbol, else its content hash."""
    symbols = [dataset.symbol for dataset in datasets]
    return symbols if len(set(symbols)) == len(symbols) else [item.sha256 for item in datasets]


def pin_sweep_request(
    request: SweepRequest, datasets: Sequence[DatasetRef], max_combinations: int | None = None
) -> SweepSpec:
    """Complete a request with its datasets and defaults, and count its points.

    Parameters
    ----------
    request : SweepRequest
        Validated.
    datasets : sequence of DatasetRef
        What ``request.dataset_names`` stand for, in their order.
    max_combinations : int, optional
        Limit to check before anything is counted out; see `optimizer.check_limit`.

    Raises
    ------
    InputError
        If two names stand for the same data, or the space is too large.
    """
    hashes = [dataset.sha256 for dataset in datasets]
    for i, dataset in enumerate(datasets):
        if dataset.sha256 in hashes[:i]:
            first = datasets[hashes.index(dataset.sha256)].symbol
            message = f"holds the same data as {first}; remove one of them"
            raise InputError.of("datasets", dataset.symbol, message)
    space = request.build_space(label_datasets(datasets))
    if max_combinations is not None:
        check_limit(space, request.search, max_combinations)
    order = build_visit_order(space, request.search)
    values = {**space.fixed, **{axis.name: axis[0] for axis in space.axes}}
    return SweepSpec(
        datasets=list(datasets),
        rule=request.rule,
        space={axis.name: axis.to_spec() for axis in space.axes if axis.group == "params"},
        trading_space={axis.name: axis.to_spec() for axis in space.axes if axis.group == "trading"},
        params={item.name: values[item.name] for item in get_metadata(request.rule).parameters},
        trading=TradingSpec(**{name: values[name] for name in TradingSpec.model_fields}),
        where=[found.text for found in space.constraints if not found.is_of_rule],
        objective=request.objective,
        min_trades=request.min_trades,
        search=request.search,
        start=request.start,
        end=request.end,
        n_positions=order.n_positions,
        n_combinations=order.n_combinations,
    )


def compute_sweep_fingerprint(
    spec: SweepSpec, *, engine_hash: str, rule_version: str, results_version: str
) -> str:
    """Return the SHA-256 under which a finished sweep is found again.

    Symbols are left out, since content hashes say more, and so is the way in which values were
    written: ``2,4,6`` and ``2:6:2`` are the same axis.
    """
    space = spec.build_space()
    body = spec.to_json_dict()
    body["datasets"] = [
        {"sha256": dataset.sha256, "adjusted": dataset.adjusted} for dataset in spec.datasets
    ]
    body["axes"] = [[axis.name, _canonicalise_axis(axis)] for axis in space.axes
                    if axis.group != "dataset"]  # fmt: skip
    body["fixed"] = {name: canonicalise_value(value) for name, value in space.fixed.items()}
    for derived in ("space", "trading_space", "params", "trading", "n_positions", "n_combinations"):
        del body[derived]
    body["where"] = sorted(spec.where)
    if spec.search.method == "grid":
        del body["search"]["seed"]
    body["versions"] = {"engine": engine_hash, "rule": rule_version, "results": results_version}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _canonicalise_axis(axis: Axis) -> Any:
    if axis.n_values > _MAX_COMPARED_VALUES:
        return axis.to_spec()
    return [canonicalise_value(value) for value in axis]
