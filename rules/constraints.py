"""Constraints between the parameters of a sweep, such as ``fast < slow``, without eval.

The language has names of numeric parameters, numbers, comparisons (also chained), ``+ - * / // %``,
signs and parentheses. Text is read into Python's syntax tree and every node is checked; anything
else is refused by name. Arithmetic is float64. What has no value, an option that is off or a
division by zero, makes every comparison false, ``!=`` included.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtest.errors import InputError
from rules.constraint_intervals import Interval, combine_intervals, decide_comparison
from rules.rule_validator import suggest_name

MAX_LENGTH = 500
MAX_DEPTH = 50
MAX_CONSTRAINTS = 50
_EXAMPLE = "write a comparison of numeric parameters, as fast < slow"
_SEVERAL = "give several constraints, each as one comparison; all of them must hold"

Values = Mapping[str, "NDArray[Any] | float"]
_Operand = Any  # float64 array or float

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.true_divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.remainder,
}
_DIVISIONS = (ast.Div, ast.FloorDiv, ast.Mod)
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    # Not np.not_equal, which holds for NaN.
    ast.NotEq: lambda left, right: np.less(left, right) | np.greater(left, right),
}
_REFUSALS: dict[type[ast.AST], str] = {
    ast.Call: f"a function call is not part of the language; {_EXAMPLE}",
    ast.Attribute: f"an attribute (a dot after a name) is not part of the language; {_EXAMPLE}",
    ast.Subscript: f"an index in brackets is not part of the language; {_EXAMPLE}",
    ast.BoolOp: f"`and` and `or` are not part of the language; {_SEVERAL}",
    ast.Tuple: f"holds a comma; {_SEVERAL}",
    ast.Not: "`not` is not part of the language; turn the comparison round",
    ast.Pow: "`**` is not part of the language; write x * x",
    ast.BitAnd: f"`&` is not part of the language; {_SEVERAL}",
    ast.BitOr: f"`|` is not part of the language; {_SEVERAL}",
    ast.IfExp: f"`if` is not part of the language; {_EXAMPLE}",
    ast.Lambda: f"`lambda` is not part of the language; {_EXAMPLE}",
    ast.NamedExpr: "`:=` is not part of the language; write == to compare",
    ast.In: "`in` is not part of the language; list the values in the space instead",
    ast.NotIn: "`not in` is not part of the language; list the values in the space instead",
    ast.Is: "`is` is not part of the language; write ==",
    ast.IsNot: "`is not` is not part of the language; write !=",
    ast.Invert: "`~` is not part of the language; turn the comparison round",
    ast.MatMult: "`@` is not part of the language; write * to multiply",
    ast.List: "a list is not part of the language; list the values in the space instead",
    ast.JoinedStr: f"text in quotes is no number; {_EXAMPLE}",
    ast.Compare: f"a comparison inside of arithmetic has no meaning; {_SEVERAL}",
}


class _Refusal(ValueError):
    """Why a text is no constraint."""


@dataclass(frozen=True)
class Constraint:
    """A relation that a combination must meet.

    Parameters
    ----------
    text : str
        In canonical form.
    names : tuple of str
        Parameters that it reads, in order of appearance.
    is_of_rule : bool
        Whether the rule declares it, rather than the request.
    tree : ast.Compare
        What `parse_constraint` has checked.
    """

    text: str
    names: tuple[str, ...]
    is_of_rule: bool
    tree: ast.Compare = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.text

    @property
    def simple_pair(self) -> tuple[str, str, bool] | None:
        """The names (low, high) if all it says is ``low < high``, and whether they may be equal."""
        operands = (self.tree.left, *self.tree.comparators)
        operator = self.tree.ops[0]
        names = [node.id for node in operands if isinstance(node, ast.Name)]
        if len(operands) != 2 or len(names) != 2 or names[0] == names[1]:
            return None
        if isinstance(operator, ast.Gt | ast.GtE):
            names.reverse()
        is_order = isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE)
        return (names[0], names[1], isinstance(operator, ast.LtE | ast.GtE)) if is_order else None

    def evaluate(self, values: Values) -> NDArray[np.bool_]:
        """Return where the constraint holds.

        Parameters
        ----------
        values : mapping of str to ndarray, shape (n,), or float
            For each of `names`; NaN where an option is off.

        Returns
        -------
        ndarray of bool, shape (n,), or shape () if all values are scalars
        """
        with np.errstate(all="ignore"):
            operands = [_compute(node, values) for node in (self.tree.left, *self.tree.comparators)]
            holds: Any = np.True_
            for i, operator in enumerate(self.tree.ops):
                compare = _COMPARISONS[type(operator)]
                holds = np.logical_and(holds, compare(operands[i], operands[i + 1]))
        return np.asarray(holds)

    def decide(self, intervals: Mapping[str, Interval]) -> bool | None:
        """Return True if it holds wherever the names are within `intervals`, False if nowhere.

        None where intervals do not tell.
        """
        operands = [_bound(node, intervals) for node in (self.tree.left, *self.tree.comparators)]
        answers = [
            decide_comparison(type(operator), operands[i], operands[i + 1])
            for i, operator in enumerate(self.tree.ops)
        ]
        if False in answers:
            return False
        return True if all(answers) else None


def parse_constraint(
    text: object, kinds: Mapping[str, str], *, field: str = "where", is_of_rule: bool = False
) -> Constraint:
    """Read one constraint.

    Parameters
    ----------
    text : str
        For example ``fast < slow`` or ``2 * fast <= slow``.
    kinds : mapping of str to str
        Kind of every parameter that there is: ``int``, ``float``, ``bool`` or ``choice``.
    field : str
        Name of the input in errors.
    is_of_rule : bool
        See `Constraint`.

    Raises
    ------
    InputError
        Naming what the text holds that the language does not have.
    """
    try:
        tree = _parse(text)
        names: dict[str, None] = {}
        for node in (tree.left, *tree.comparators):
            _check(node, kinds, names, 1)
        for operator in tree.ops:
            if type(operator) not in _COMPARISONS:
                raise _Refusal(_describe(operator))
        if not names:
            raise _Refusal(f"names no parameter; {_EXAMPLE}")
    except _Refusal as refusal:
        raise InputError.of(field, text, str(refusal)) from None
    return Constraint(ast.unparse(tree), tuple(names), is_of_rule, tree)


def _parse(text: object) -> ast.Compare:
    if not isinstance(text, str):
        raise _Refusal("must be text, as fast < slow")
    source = text.strip()
    if not source:
        raise _Refusal(f"is empty; leave it out, or {_EXAMPLE}")
    if len(source) > MAX_LENGTH:
        raise _Refusal(f"has {len(source)} characters, and {MAX_LENGTH} are the most; {_SEVERAL}")
    try:
        with warnings.catch_warnings():
            # Python has opinions on "1if"; whoever wrote it reads ours.
            warnings.simplefilter("ignore")
            tree = ast.parse(source, mode="eval").body
    except SyntaxError as error:
        place = f" near column {error.offset}" if error.offset else ""
        hint = "; write == to compare" if "=" in source and "==" not in source else ""
        raise _Refusal(f"cannot be read{place}{hint}; {_EXAMPLE}") from None
    except (ValueError, MemoryError, RecursionError):
        raise _Refusal(f"cannot be read; {_EXAMPLE}") from None
    if isinstance(tree, ast.Compare):
        return tree
    if isinstance(tree, ast.BinOp | ast.Name | ast.Constant) and not _find_refusal(tree):
        raise _Refusal(f"compares nothing; {_EXAMPLE}")
    raise _Refusal(_find_refusal(tree) or f"compares nothing; {_EXAMPLE}")


def _find_refusal(tree: ast.AST) -> str:
    """Return why some node of the tree is refused, the outermost one first, or an empty string."""
    for node in ast.walk(tree):
        if type(node) in _REFUSALS and not isinstance(node, ast.Compare):
            return _describe(node)
    allowed = (ast.BinOp, ast.UnaryOp, ast.Name, ast.Constant)
    return "" if isinstance(tree, allowed) else _describe(tree)


def _describe(node: ast.AST) -> str:
    known = _REFUSALS.get(type(node))
    return known or f"{type(node).__name__} is not part of the language; {_EXAMPLE}"


def _check(node: ast.expr, kinds: Mapping[str, str], names: dict[str, None], depth: int) -> None:
    """Raise _Refusal unless the operand consists of what the language has; collect its names."""
    if depth > MAX_DEPTH:
        raise _Refusal(f"is nested more than {MAX_DEPTH} deep; write it shorter")
    if isinstance(node, ast.Name):
        _check_name(node.id, kinds)
        names[node.id] = None
    elif isinstance(node, ast.Constant):
        _check_number(node.value)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        _check(node.operand, kinds, names, depth + 1)
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        _check(node.left, kinds, names, depth + 1)
        _check(node.right, kinds, names, depth + 1)
        if isinstance(node.op, _DIVISIONS) and _is_constant_zero(node.right):
            raise _Refusal(f"{ast.unparse(node)} divides by zero; write another divisor")
    else:
        operator = node.op if isinstance(node, ast.UnaryOp | ast.BinOp) else None
        raise _Refusal(_describe(operator or node))


def _check_name(name: str, kinds: Mapping[str, str]) -> None:
    kind = kinds.get(name)
    if kind is None:
        known = [known for known, kind in kinds.items() if kind in ("int", "float")]
        raise _Refusal(
            f"no numeric parameter is called {name}; known: {', '.join(known)}"
            f"{suggest_name(name, known)}"
        )
    if kind not in ("int", "float"):
        raise _Refusal(
            f"{name} is a {kind}, and constraints compare numbers; leave values out of its list"
        )


def _check_number(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        shown = "text in quotes" if isinstance(value, str) else str(value)[:40]
        raise _Refusal(f"{shown} is no number; {_EXAMPLE}")
    try:
        is_finite = math.isfinite(float(value))
    except OverflowError:
        is_finite = False
    if not is_finite:
        raise _Refusal("holds a number too large for float64; write a smaller one")


def _is_constant_zero(node: ast.expr) -> bool:
    if any(isinstance(inner, ast.Name) for inner in ast.walk(node)):
        return False
    with np.errstate(all="ignore"):
        return bool(_compute(node, {}) == 0)


def _compute(node: ast.expr, values: Values) -> _Operand:
    if isinstance(node, ast.BinOp):
        left, right = _compute(node.left, values), _compute(node.right, values)
        result = _ARITHMETIC[type(node.op)](left, right)
        return np.where(right == 0, np.nan, result) if isinstance(node.op, _DIVISIONS) else result
    if isinstance(node, ast.UnaryOp):
        operand = _compute(node.operand, values)
        return -operand if isinstance(node.op, ast.USub) else operand
    if isinstance(node, ast.Constant):
        return np.float64(_read_constant(node))
    return np.asarray(values[_read_name(node)], np.float64)


def _bound(node: ast.expr, intervals: Mapping[str, Interval]) -> Interval:
    if isinstance(node, ast.BinOp):
        left, right = _bound(node.left, intervals), _bound(node.right, intervals)
        return combine_intervals(type(node.op), left, right)
    if isinstance(node, ast.UnaryOp):
        inner = _bound(node.operand, intervals)
        if isinstance(node.op, ast.UAdd):
            return inner
        return Interval(-inner.high, -inner.low, inner.may_be_undefined)
    if isinstance(node, ast.Constant):
        value = _read_constant(node)
        return Interval(value, value)
    return intervals[_read_name(node)]


def _read_constant(node: ast.Constant) -> float:
    return float(node.value)  # type: ignore[arg-type]  # `_check_number` has seen it


def _read_name(node: ast.expr) -> str:
    return node.id  # type: ignore[attr-defined,no-any-return]  # `_check` lets nothing else through
