"""What a trading rule is: signals, parameters, metadata, the base class and the registry.

Standard library only at import, so that validating a request needs no numerics. A rule imports its
kernels inside ``compute``.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from backtest.bars import Bars
    from backtest.signal_events import SignalEvents
    from rules.sweep_hooks import IndicatorRows


class Signal(IntEnum):
    """What a rule decides at the close of one bar."""

    HOLD = 0
    BUY = 1
    EXIT = 2
    SELL = -1


ParameterValue = int | float | bool | str


@dataclass(frozen=True, slots=True)
class Parameter:
    """One tunable input of a rule.

    Parameters
    ----------
    name : str
        Identifier, snake_case.
    type : {"int", "float", "bool", "choice"}
        JSON type of the value; an integer is accepted where a float is asked for.
    default : int, float, bool or str
        Value used when the sender leaves the parameter out.
    help : str
        One line for the form and ``stock-backtest rules``.
    minimum, maximum : float, optional
        Inclusive bounds of numbers.
    unit : str
        Shown inside the field, for example ``bars``.
    choices : tuple of str
        Allowed values of a ``choice``.
    only_if : tuple of (str, str), optional
        A ``choice`` of the rule and the value of it without which this parameter has no effect.
    """

    name: str
    type: Literal["int", "float", "bool", "choice"]
    default: ParameterValue
    help: str
    minimum: float | None = None
    maximum: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    only_if: tuple[str, str] | None = None


# 40 years of daily bars, a month of one-minute bars: beyond it a window is a typing error.
MAX_WINDOW = 10_000


def build_window(name: str, default: int, help_line: str, minimum: int = 1) -> Parameter:
    """Build the parameter that most rules have: a whole number of bars from `minimum` on."""
    return Parameter(name, "int", default, help_line, minimum, MAX_WINDOW, "bars")


@dataclass(frozen=True, slots=True)
class Constraint:
    """A relation between two parameters of a rule, for example ``fast < slow``."""

    left: str
    operator: Literal["<", "<="]
    right: str

    def __str__(self) -> str:
        return f"{self.left} {self.operator} {self.right}"


@dataclass(frozen=True, slots=True)
class RuleMetadata:
    """Everything that the API, the form and the command line show of a rule.

    Parameters
    ----------
    name : str
        Identifier in requests, snake_case.
    title : str
        Short display name, for example ``RSI``.
    summary : str
        One line: when it buys and when it sells.
    parameters : tuple of Parameter
        In the order in which the command bar takes positional values.
    constraints : tuple of Constraint
        Relations that must hold between parameters.
    version : str
        Part of a run's fingerprint; raise it when the signals change.
    source : str
        Citation of the publication that defines the rule, empty if it is folklore.
    label : {"", "exact", "adaptation"}
        How close an academic rule is to what was published: the published signal on a single
        series, or a reduction of it. Empty for a rule that claims neither.
    deviations : tuple of str
        Every difference from the publication, one sentence each.
    published_sample : tuple of (str, str) or None
        First and last date of the published sample, ``YYYY-MM-DD``; None if there is none or it
        could not be checked.
    reads : tuple of str
        Trading settings that the signals depend on, for example ``cash_rate``; numbers only. They
        reach `BaseRule.compute` and the parts of a sweep like parameters.
    overlays : tuple of str
        Names of `RuleOutput.indicators` that are prices, such as a moving average: they are drawn
        on the price instead of in a pane of their own.
    """

    name: str
    title: str
    summary: str
    parameters: tuple[Parameter, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    version: str = "1"
    source: str = ""
    label: Literal["", "exact", "adaptation"] = ""
    deviations: tuple[str, ...] = ()
    published_sample: tuple[str, str] | None = None
    reads: tuple[str, ...] = ()
    overlays: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleOutput:
    """What a rule computes from bars.

    Parameters
    ----------
    signal : ndarray of int8, shape (n_bars,)
        `Signal` values; entry t depends on bars <= t only.
    weight : ndarray of float64, shape (n_bars,), optional
        In [0, 1]; multiplies the size of an entry decided at t.
    indicators : dict of str to ndarray of float64, shape (n_bars,)
        Series worth drawing under the price, NaN before warm-up ends.
    """

    signal: NDArray[np.int8]
    weight: NDArray[np.float64] | None = None
    indicators: dict[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignalPart:
    """A part of a rule's signal that depends on some of its parameters: the hook for sweeps.

    A sweep computes each part once per distinct values of its parameters. The signal of a
    combination is the union of the events of its parts; where two parts speak on one bar it is
    HOLD, as in `technical_indicators.build_signal`.

    Parameters
    ----------
    parameters : tuple of str
        Names of the parameters that the part depends on, and of the settings that it reads.
    compute : callable
        ``compute(bars, rows, params)`` with `params` mapping each name to an array of shape
        (n_signals,) (float64, int64, bool or object for choices) returns the events of n_signals
        signals, equal to those of ``BaseRule.compute`` bit for bit. `rows` keeps indicator arrays,
        so that each distinct window is computed once.
    """

    parameters: tuple[str, ...]
    compute: Callable[[Bars, IndicatorRows, Mapping[str, NDArray[Any]]], SignalEvents]


class BaseRule(ABC):
    """A trading rule: metadata, a lookback and a causal computation."""

    metadata: ClassVar[RuleMetadata]

    @abstractmethod
    def warmup_bars(self, **params: Any) -> int:
        """Return the first bar index at which the rule can emit a signal."""

    @abstractmethod
    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        """Compute signals for all bars.

        `params` are complete and validated, and hold the trading settings that the rule reads.
        """

    def signal_parts(self) -> tuple[SignalPart, ...]:
        """Return one or two parts that compiled code computes for many combinations at once.

        Empty, the default, makes a sweep call `compute` per combination, which is slower.
        """
        return ()

    def compute_parts(
        self,
        bars: Bars,
        rows: IndicatorRows,
        wanted: Mapping[int, Mapping[str, NDArray[Any]]],
    ) -> dict[int, SignalEvents]:
        """Compute signals of some of the `signal_parts`, by the number of the part.

        To override where parts share work; `wanted` maps numbers to what `SignalPart.compute`
        takes as `params`.
        """
        parts = self.signal_parts()
        return {
            number: parts[number].compute(bars, rows, params) for number, params in wanted.items()
        }


def collect_inputs(
    metadata: RuleMetadata, params: Mapping[str, Any], trading: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what `BaseRule.compute` takes: parameters, and the trading settings that it reads."""
    return {**params, **{name: trading[name] for name in metadata.reads}}


_REGISTRY: dict[str, BaseRule] = {}


def register_rule(rule_class: type[BaseRule]) -> type[BaseRule]:
    """Class decorator that makes a rule appear in the API, the form and the command line.

    Raises
    ------
    ValueError
        If the name is taken, or the declared defaults break the declared ranges or constraints.
    """
    from rules.rule_validator import validate_params  # it imports this module

    metadata = rule_class.metadata
    if metadata.name in _REGISTRY:
        taken_by = type(_REGISTRY[metadata.name])
        raise ValueError(f"rule {metadata.name!r} is already registered by {taken_by!r}")
    names = [parameter.name for parameter in metadata.parameters]
    for constraint in metadata.constraints:
        for name in (constraint.left, constraint.right):
            if name not in names:
                raise ValueError(
                    f"rule {metadata.name!r}: {constraint} names no parameter {name!r}"
                )
    validate_params(metadata, {})  # an InputError is a ValueError and names the parameter
    _REGISTRY[metadata.name] = rule_class()
    return rule_class


def get_rule(name: str) -> BaseRule | None:
    """Return the rule registered under `name`, or None."""
    _load_rules()
    return _REGISTRY.get(name)


def list_rules() -> list[BaseRule]:
    """Return all registered rules, by name."""
    _load_rules()
    return [_REGISTRY[name] for name in sorted(_REGISTRY)]


@cache
def _load_rules() -> None:
    """Import every module ``rules/*_rules.py``, on first use since they import this one.

    Found by name, so that a new module of rules needs no entry anywhere.
    """
    package = importlib.import_module("rules")
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.endswith("_rules"):
            importlib.import_module(f"rules.{module.name}")
