"""Search spaces of sweeps: built from what a request says, limited, and put in an order.

The space itself is in `search_space`, its axes in `search_axes`, the language of constraints in
`constraints`, the order of visits in `visit_order`; other rooms import them from here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from typing import Any, Protocol

from backtest.errors import FieldError, InputError
from rules.base_rule import RuleMetadata
from rules.constraints import MAX_CONSTRAINTS, Constraint, parse_constraint
from rules.rule_validator import validate_params
from rules.search_axes import Axis, NumberRange, Segment, ValueList
from rules.search_domains import (
    build_param_domains,
    build_trading_domains,
    describe_size_errors,
    describe_unknown_param,
    describe_unknown_setting,
)
from rules.search_space import INT64_MAX, MAX_COUNTED, SearchSpace
from rules.search_text import Domain, parse_values
from rules.spec import TradingSpec
from rules.visit_order import Method, VisitOrder, count_positions

__all__ = [
    "Axis",
    "Constraint",
    "SearchSpace",
    "VisitOrder",
    "build_search_space",
    "build_visit_order",
    "check_limit",
    "describe_unmet",
]

# A grid steps over excluded points, which cost little, but not nothing.
MAX_POINTS_PER_COMBINATION = 20
# A random search walks its order at submission until it has found its share: 0.15 us a point.
_MAX_WALK_PER_COMBINATION = 10
_MIN_WALK = 5_000_000
_MAX_WALK = 200_000_000
_SAMPLE = 1 << 18


class Search(Protocol):
    """How a sweep chooses points; `sweep_spec.SweepSearch` is one."""

    @property
    def method(self) -> Method:
        """Grid, random or adaptive."""

    @property
    def n(self) -> int | None:
        """Most combinations to visit, None for a grid."""

    @property
    def seed(self) -> int:
        """Of everything random."""


def build_search_space(
    rule: RuleMetadata,
    params: Mapping[str, object],
    trading: Mapping[str, object],
    datasets: Sequence[str] = (),
    where: str | Sequence[str] | None = None,
) -> SearchSpace:
    """Build the space of a sweep.

    Parameters
    ----------
    rule : RuleMetadata
        The rule's declaration; its own constraints hold in the space.
    params : mapping of str to SPEC, value or list
        Rule parameters; the rest take their defaults.
    trading : mapping of str to SPEC, value or list
        Trading settings; likewise.
    datasets : sequence of str
        Names of the datasets; several make an axis.
    where : str or sequence of str, optional
        Constraints, all of which must hold.

    Returns
    -------
    SearchSpace
        A name with a single value is no axis but fixed.

    Raises
    ------
    InputError
        With every error of every field at once.
    """
    errors: list[FieldError] = []
    param_domains, trading_domains = build_param_domains(rule), build_trading_domains()
    errors += [
        FieldError("rule", rule.name, f"its parameter {name} needs a name of its own to be swept")
        for name in param_domains.keys() & {*trading_domains, "dataset"}
    ]
    found = _parse_group(param_domains, "space", params, errors)
    found |= _parse_group(trading_domains, "trading", trading, errors)
    for name in params.keys() - param_domains.keys():
        message = describe_unknown_param(rule, str(name))
        errors.append(FieldError(f"space.{name}", params[name], message))
    for name in trading.keys() - trading_domains.keys():
        message = describe_unknown_setting(rule, str(name))
        errors.append(FieldError(f"trading.{name}", trading[name], message))
    constraints = _parse_where(where, {**param_domains, **trading_domains}, errors)
    own = tuple(
        parse_constraint(
            str(relation),
            {name: domain.kind for name, domain in param_domains.items()},
            is_of_rule=True,
        )
        for relation in rule.constraints
    )
    space = _assemble(rule, found, datasets, (*own, *constraints))
    # What was refused has no values to compare, and one error about it is enough.
    refused = {error.field.partition(".")[2] for error in errors}
    if not refused & {"size", "size_type"}:
        errors += _find_size_errors(space)
    errors += _find_unmet_constraints(rule, space, refused)
    if errors:
        raise InputError(errors)
    if space.constraints and space.count_admitted() == 0:
        raise describe_unmet(space)
    return space


def describe_unmet(space: SearchSpace, method: Method = "grid") -> InputError:
    """Return the error of a search in which no point met the constraints.

    A grid has looked at every point, by counting or by being computed.
    """
    texts = ", ".join(map(str, space.constraints))
    found = f"none of the {space.n_points:,} points meets all of it"
    if method != "grid":
        found = "no point that meets all of it was found"
    return InputError.of("where", texts, f"{found}; widen a range")


def _parse_group(
    domains: Mapping[str, Domain],
    field: str,
    raw: Mapping[str, object],
    errors: list[FieldError],
) -> dict[str, Axis]:
    """Return an axis for every given name, of one value or more."""
    axes: dict[str, Axis] = {}
    for name, domain in domains.items():
        if name not in raw:
            continue
        try:
            segments = parse_values(domain, f"{field}.{name}", raw[name])
        except InputError as error:
            errors.extend(error.errors)
        else:
            axes[name] = Axis(name, domain.group, domain.kind, segments)
    return axes


def _parse_where(
    where: object, domains: Mapping[str, Domain], errors: list[FieldError]
) -> tuple[Constraint, ...]:
    if where is None:
        return ()
    texts = list(where) if isinstance(where, list | tuple) else [where]
    if len(texts) > MAX_CONSTRAINTS:
        message = f"has more than {MAX_CONSTRAINTS} constraints; join or drop some"
        errors.append(FieldError("where", f"{len(texts)} constraints", message))
        return ()
    kinds = {name: domain.kind for name, domain in domains.items()}
    found: dict[str, Constraint] = {}
    for text in texts:
        try:
            constraint = parse_constraint(text, kinds)
        except InputError as error:
            errors.extend(error.errors)
        else:
            found[constraint.text] = constraint
    return tuple(found.values())


def _assemble(
    rule: RuleMetadata,
    found: Mapping[str, Axis],
    datasets: Sequence[str],
    constraints: tuple[Constraint, ...],
) -> SearchSpace:
    fixed: dict[str, Any] = {parameter.name: parameter.default for parameter in rule.parameters}
    fixed = {**validate_params(rule, fixed), **TradingSpec().model_dump()}
    axes: list[Axis] = []
    if len(datasets) > 1:
        segments: tuple[Segment, ...] = (ValueList(tuple(datasets)),)
        axes.append(Axis("dataset", "dataset", "choice", segments))
    for name in tuple(fixed):
        axis = found.get(name)
        if axis is None:
            continue
        if axis.n_values == 1:
            fixed[name] = axis[0]
        else:
            axes.append(axis)
            del fixed[name]
    return SearchSpace(tuple(axes), constraints, fixed)


def _find_size_errors(space: SearchSpace) -> list[FieldError]:
    """Return the error of a size that some size type of the space does not take."""
    axes = {axis.name: axis for axis in space.axes}
    types = list(axes["size_type"]) if "size_type" in axes else [space.fixed["size_type"]]
    size = axes["size"].bounds if "size" in axes else (space.fixed["size"],)
    return describe_size_errors(types, size)


def _find_unmet_constraints(
    rule: RuleMetadata, space: SearchSpace, refused: Set[str]
) -> list[FieldError]:
    """Return an error for each constraint that alone excludes every point, by intervals."""
    axis_names = {axis.name for axis in space.axes}
    errors: list[FieldError] = []
    for constraint in space.constraints:
        if refused & set(constraint.names) or constraint.decide(space.intervals) is not False:
            continue
        names = [name for name in constraint.names if name in axis_names] or constraint.names
        seen = ", ".join(_describe_levels(space, name) for name in constraint.names)
        field = f"space.{names[0]}" if constraint.is_of_rule else "where"
        what = f"{constraint} of {rule.name}" if constraint.is_of_rule else "it"
        message = f"no point meets {what}: {seen}; widen a range"
        errors.append(FieldError(field, constraint.text, message))
    return errors


def _describe_levels(space: SearchSpace, name: str) -> str:
    for axis in space.axes:
        if axis.name == name:
            low, high = axis.bounds
            return f"{name} is {low:g} to {high:g}"
    value = space.fixed[name]
    return f"{name} is {'off' if value is None else f'{value:g}'}"


def build_visit_order(space: SearchSpace, search: Search) -> VisitOrder:
    """Return which points a sweep visits, in which order.

    A random order goes on past excluded points until `search.n` admitted ones are found, or all
    have been visited; `n_positions` includes the excluded ones on its way.

    Raises
    ------
    InputError
        If the space is too large for 64-bit numbers, or admitted points are too rare to find.
    """
    if space.n_points > INT64_MAX:
        raise InputError.of(
            "space", f"{space.n_points:.3g} points", "has more than 2**63 points; thin an axis"
        )
    n_points, seed = space.n_points, search.seed
    if search.method == "grid":
        return VisitOrder("grid", n_points, n_points, seed, space.count_admitted())
    n_wanted = min(search.n or n_points, n_points)
    if search.method == "adaptive":
        n_admitted = space.count_admitted()
        n_wanted = n_wanted if n_admitted is None else min(n_wanted, n_admitted)
        n_known = None if n_admitted is None else n_wanted
        return VisitOrder("adaptive", n_points, n_wanted, seed, n_known)
    if not space.live_constraints:
        return VisitOrder("random", n_points, n_wanted, seed, n_wanted)
    longest = min(n_points, _MAX_WALK, max(_MIN_WALK, _MAX_WALK_PER_COMBINATION * n_wanted))
    sample = VisitOrder("random", n_points, min(longest, _SAMPLE), seed)
    order = VisitOrder("random", n_points, longest, seed)
    n_positions, n_found = count_positions(sample, space.admitted, n_wanted)
    is_hopeful = longest == n_points or 2 * n_found * longest > n_wanted * n_positions
    if n_found < n_wanted and is_hopeful:
        n_positions, n_found = count_positions(order, space.admitted, n_wanted)
    if n_found < n_wanted and n_positions < n_points:
        raise InputError.of(
            "where",
            ", ".join(map(str, space.live_constraints)),
            f"only {n_found:,} of the first {n_positions:,} random points meet it; narrow the "
            "ranges to where it holds",
        )
    return VisitOrder("random", n_points, n_positions, seed, n_found)


def check_limit(space: SearchSpace, search: Search, max_combinations: int) -> None:
    """Refuse a sweep of more combinations than the configured limit.

    Raises
    ------
    InputError
        Saying how many there are, and which axes to thin to what step; or that there are none.
    """
    if search.method != "grid":
        if search.n is not None and search.n > max_combinations:
            message = f"is above the limit of {max_combinations:,} combinations; lower it"
            raise InputError.of("search.n", search.n, message)
        return
    # Enough to count exactly what may be right at the limit.
    n = space.count_admitted(max(MAX_COUNTED, max_combinations))
    if n == 0:
        raise describe_unmet(space)
    most_points = max_combinations * MAX_POINTS_PER_COMBINATION
    if n is not None and n <= max_combinations and space.n_points <= most_points:
        return
    random = f", or take a random {max_combinations:,} with search.method random"
    if n is not None and n <= max_combinations:
        raise InputError.of(
            "space",
            f"{space.n_points:,} points",
            f"has only {n:,} combinations, but a grid steps over every point, and the limit is "
            f"{most_points:,}; {_describe_thinning(space, most_points, space.n_points)}{random}",
        )
    shown = n if n is not None else space.n_points
    word = "combinations" if n is not None else "points before constraints"
    raise InputError.of(
        "space",
        f"{shown:,} {word}",
        f"is more than the limit of {max_combinations:,} combinations; "
        f"{_describe_thinning(space, max_combinations, shown)}{random}",
    )


def _describe_thinning(space: SearchSpace, n_allowed: int, n: int) -> str:
    """Return which axes to thin, the longest first and as few as do, and to what step."""
    axes = sorted(space.axes, key=lambda axis: axis.n_values, reverse=True)
    for n_thinned in range(1, len(axes) + 1):
        # Each keeps the same share of its values, and at least two of them.
        share = (n_allowed / n) ** (1 / n_thinned)
        kept = [math.floor(axis.n_values * share) for axis in axes[:n_thinned]]
        if min(kept) >= 2:
            pairs = zip(axes[:n_thinned], kept, strict=True)
            return "thin " + " and ".join(_describe_step(axis, keep) for axis, keep in pairs)
    return f"leave out axes, {axes[0].name} first"


def _describe_step(axis: Axis, n_kept: int) -> str:
    every = (axis.n_values - 1) // n_kept + 1
    segment = axis.segments[0]
    if len(axis.segments) == 1 and isinstance(segment, NumberRange):
        step = segment.format_number(segment.step * every)
        return f"{axis.name} ({axis.n_values:,} values) to a step of {step}"
    return f"{axis.name} ({axis.n_values:,} values) to {n_kept:,} values"
