"""What a trading rule is: signals, parameters, metadata, the base class and the registry.

Standard library only at import, so that validating a request needs no numerics. A rule imports its
kernels inside ``compute``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from backtest.bars import Bars


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
    """

    name: str
    type: Literal["int", "float", "bool", "choice"]
    default: ParameterValue
    help: str
    minimum: float | None = None
    maximum: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()


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
    """

    name: str
    title: str
    summary: str
    parameters: tuple[Parameter, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    version: str = "1"
    source: str = ""


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


class BaseRule(ABC):
    """A trading rule: metadata, a lookback and a causal computation."""

    metadata: ClassVar[RuleMetadata]

    @abstractmethod
    def warmup_bars(self, **params: Any) -> int:
        """Return the first bar index at which the rule can emit a signal."""

    @abstractmethod
    def compute(self, bars: Bars, **params: Any) -> RuleOutput:
        """Compute signals for all bars; `params` are complete and validated."""


_REGISTRY: dict[str, BaseRule] = {}


def register_rule(rule_class: type[BaseRule]) -> type[BaseRule]:
    """Class decorator that makes a rule appear in the API, the form and the command line."""
    name = rule_class.metadata.name
    if name in _REGISTRY:
        raise ValueError(f"rule {name!r} is already registered by {type(_REGISTRY[name])!r}")
    _REGISTRY[name] = rule_class()
    return rule_class


def get_rule(name: str) -> BaseRule | None:
    """Return the rule registered under `name`, or None."""
    _load_rules()
    return _REGISTRY.get(name)


def list_rules() -> list[BaseRule]:
    """Return all registered rules, by name."""
    _load_rules()
    return [_REGISTRY[name] for name in sorted(_REGISTRY)]


def _load_rules() -> None:
    # Imported on first use: the rule modules import this one.
    import rules.technical_rules  # noqa: F401
