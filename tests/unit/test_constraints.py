"""Constraints between parameters: a small language, exact, decided early, and never evaluated."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backtest.errors import InputError
from rules.constraint_intervals import Interval
from rules.constraints import Constraint, parse_constraint

KINDS = {"fast": "int", "slow": "int", "stop": "float", "mode": "choice", "strict": "bool"}


def parse(text: object) -> Constraint:
    return parse_constraint(text, KINDS)


def holds(text: str, **values: float) -> bool:
    return bool(parse(text).evaluate(values))


@pytest.mark.parametrize(
    ("text", "canonical", "names"),
    [
        ("fast<slow", "fast < slow", ("fast", "slow")),
        ("  2*fast <= slow - 1 ", "2 * fast <= slow - 1", ("fast", "slow")),
        ("(fast + 1) % 2 == 0", "(fast + 1) % 2 == 0", ("fast",)),
        ("-stop < +1.5", "-stop < +1.5", ("stop",)),
        ("1 < fast < slow // 2 != 7", "1 < fast < slow // 2 != 7", ("fast", "slow")),
    ],
)
def test_the_language_is_names_numbers_comparisons_and_arithmetic(text, canonical, names):
    constraint = parse(text)
    assert (constraint.text, str(constraint), constraint.names) == (canonical, canonical, names)


EXAMPLE = "write a comparison of numeric parameters, as fast < slow"
SEVERAL = "give several constraints, each as one comparison; all of them must hold"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"is empty; leave it out, or {EXAMPLE}"),
        (5, "must be text, as fast < slow"),
        (None, "must be text, as fast < slow"),
        ("fast", f"compares nothing; {EXAMPLE}"),
        ("fast + slow", f"compares nothing; {EXAMPLE}"),
        ("1 < 2", f"names no parameter; {EXAMPLE}"),
        ("fast < ", f"cannot be read; {EXAMPLE}"),
        ("fast = slow", f"cannot be read near column 6; write == to compare; {EXAMPLE}"),
        ("fast < slow; import os", f"cannot be read near column 12; {EXAMPLE}"),
        ("fast\x00 < slow", f"cannot be read; {EXAMPLE}"),
        ("fst < slow",
         "no numeric parameter is called fst; known: fast, slow, stop; did you mean fast?"),
        ("mode < 3", "mode is a choice, and constraints compare numbers; leave values out of its "
                     "list"),
        ("strict == 1", "strict is a bool, and constraints compare numbers; leave values out of "
                        "its list"),
        ("mode == 'up'", "mode is a choice, and constraints compare numbers; leave values out of "
                         "its list"),
        ("fast < 'up'", f"text in quotes is no number; {EXAMPLE}"),
        ("fast < True", f"True is no number; {EXAMPLE}"),
        ("fast < 1j", f"1j is no number; {EXAMPLE}"),
        ("fast < 1e999", "holds a number too large for float64; write a smaller one"),
        ("fast < 1" + "0" * 400, "holds a number too large for float64; write a smaller one"),
        ("abs(fast) < 3", f"a function call is not part of the language; {EXAMPLE}"),
        ("__import__('os').system('x') < fast",
         f"a function call is not part of the language; {EXAMPLE}"),
        ("__import__('os')", f"a function call is not part of the language; {EXAMPLE}"),
        ("fast.real < slow",
         f"an attribute (a dot after a name) is not part of the language; {EXAMPLE}"),
        ("fast[0] < slow", f"an index in brackets is not part of the language; {EXAMPLE}"),
        ("fast < slow and slow < 9",
         f"`and` and `or` are not part of the language; {SEVERAL}"),
        ("fast < (slow or 3)", f"`and` and `or` are not part of the language; {SEVERAL}"),
        ("fast < slow, slow < 9", f"holds a comma; {SEVERAL}"),
        ("not fast < slow", "`not` is not part of the language; turn the comparison round"),
        ("fast ** 2 < slow", "`**` is not part of the language; write x * x"),
        ("(fast < 3) & (slow < 9)", f"`&` is not part of the language; {SEVERAL}"),
        ("(fast < slow) < 3", f"a comparison inside of arithmetic has no meaning; {SEVERAL}"),
        ("1 + (fast < slow) < 3", f"a comparison inside of arithmetic has no meaning; {SEVERAL}"),
        ("fast if slow else 3 < 4", f"`if` is not part of the language; {EXAMPLE}"),
        ("(lambda: 3) < fast", f"`lambda` is not part of the language; {EXAMPLE}"),
        ("(x := 3) < fast", "`:=` is not part of the language; write == to compare"),
        ("fast in slow",
         "`in` is not part of the language; list the values in the space instead"),
        ("fast is slow", "`is` is not part of the language; write =="),
        ("~fast < slow", "`~` is not part of the language; turn the comparison round"),
        ("fast @ slow < 3", "`@` is not part of the language; write * to multiply"),
        (
            "[fast] < slow",
            "a list is not part of the language; list the values in the space instead",
        ),
        ("[x for x in slow]", f"ListComp is not part of the language; {EXAMPLE}"),
        ("f'{fast}' < slow", f"text in quotes is no number; {EXAMPLE}"),
        ("fast / 0 < slow", "fast / 0 divides by zero; write another divisor"),
        ("fast % (3 - 3.0) < slow", "fast % (3 - 3.0) divides by zero; write another divisor"),
        ("fast // (0 * 5) < slow", "fast // (0 * 5) divides by zero; write another divisor"),
        ("fast < slow" + " " * 400 + "+ 1" * 40,
         f"has 531 characters, and 500 are the most; {SEVERAL}"),
        ("-" * 60 + "fast < 3", "is nested more than 50 deep; write it shorter"),
        ("(" * 240 + "fast" + ")" * 240 + "< 3", f"cannot be read near column 201; {EXAMPLE}"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_by_name(text, message):
    with pytest.raises(InputError) as caught:
        parse(text)
    assert [(error.field, error.value, error.message) for error in caught.value.errors] == [
        ("where", text, message)
    ]


def test_what_has_no_value_makes_every_comparison_false():
    for operator in ("<", "<=", ">", ">=", "==", "!="):
        assert not holds(f"stop {operator} 3", stop=math.nan)
        assert not holds(f"3 / stop {operator} 3", stop=0.0)
        assert not holds(f"fast // stop {operator} 3", fast=1, stop=0.0)
        assert not holds(f"fast % stop {operator} 3", fast=1, stop=0.0)


def test_arrays_and_fixed_numbers_are_compared_element_by_element():
    fast = np.array([1, 2, 3])
    assert parse("fast * 2 < slow").evaluate({"fast": fast, "slow": 5}).tolist() == [
        True, True, False,
    ]  # fmt: skip


def test_an_order_of_two_names_is_known_as_such():
    assert parse("fast < slow").simple_pair == ("fast", "slow", False)
    assert parse("fast >= slow").simple_pair == ("slow", "fast", True)
    for text in ("fast == slow", "fast < 3", "fast < fast", "fast < slow < 3", "fast < 2 * slow"):
        assert parse(text).simple_pair is None


# A grammar of the language, drawn as text.
numbers = st.one_of(st.integers(0, 20).map(str), st.sampled_from(["0.5", "2.25", "1e2"]))
operands = st.recursive(
    st.one_of(st.sampled_from(["fast", "slow", "stop"]), numbers),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]),
                  inner),
        st.builds("(-{})".format, inner),
    ),
    max_leaves=6,
)  # fmt: skip
operators = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
texts = st.one_of(
    st.builds("{} {} {}".format, operands, operators, operands),
    st.builds("{} {} {} {} {}".format, operands, operators, operands, operators, operands),
)


def parse_drawn(text: str) -> Constraint:
    try:
        return parse(text)
    except InputError:  # without a name, or dividing by a constant zero
        assume(False)
        raise


class Undefined(Exception):
    """The twin met something without a value."""


class Number(float):
    """Python's own arithmetic, in which NaN and a division by zero raise."""

    def _apply(self, name: str, other: float) -> Number:
        if name in ("__truediv__", "__floordiv__", "__mod__") and other == 0:
            raise Undefined
        result = getattr(float, name)(self, float(other))
        if math.isnan(result):
            raise Undefined
        return Number(result)


for _name in ("__add__", "__sub__", "__mul__", "__truediv__", "__floordiv__", "__mod__"):
    setattr(Number, _name, lambda self, other, _name=_name: self._apply(_name, other))
Number.__neg__ = lambda self: Number(-float(self))  # type: ignore[method-assign]


def evaluate_plainly(text: str, values: dict[str, float]) -> bool:
    """Let Python itself evaluate the text, which the product never does."""
    import ast

    tree = ast.parse(text, mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            node.value = float(node.value)  # type: ignore[arg-type]

    class Wrap(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> Any:
            return ast.Call(ast.Name("Number", ast.Load()), [node], [])

    tree = ast.fix_missing_locations(Wrap().visit(tree))
    names = {name: Number(value) for name, value in values.items()}
    # Chained comparisons stop at the first false one; undefined parts after it do not matter.
    try:
        return bool(eval(compile(tree, "twin", "eval"), {"Number": Number}, names))
    except Undefined:
        return False


levels = st.one_of(st.integers(-6, 30).map(float), st.sampled_from([0.0, 0.5, 0.1, -2.25, 1e3]))


@given(texts, levels, levels, levels)
def test_evaluation_equals_python_itself(text, fast, slow, stop):
    values = {"fast": fast, "slow": slow, "stop": stop}
    assert bool(parse_drawn(text).evaluate(values)) == evaluate_plainly(text, values)


@given(
    texts,
    *(st.lists(levels, min_size=1, max_size=4) for _ in range(3)),
    st.booleans(),
)
def test_what_intervals_decide_no_enumeration_contradicts(text, fast, slow, stop, with_off):
    constraint = parse_drawn(text)
    axes = {"fast": fast, "slow": slow, "stop": [*stop, math.nan] if with_off else stop}
    intervals = {
        name: Interval(min(found), max(found), with_off and name == "stop")
        for name, found in (("fast", fast), ("slow", slow), ("stop", stop))
    }
    grid = np.meshgrid(*axes.values(), indexing="ij")
    met = np.broadcast_to(constraint.evaluate(dict(zip(axes, grid, strict=True))), grid[0].shape)
    decided = constraint.decide(intervals)
    if decided is not None:
        assert bool(met.all()) if decided else not met.any()


@pytest.mark.parametrize(
    ("text", "decided"),
    [
        ("fast < slow", None),
        ("fast < slow + 100", True),
        ("fast > slow + 100", False),
        ("fast == 11", False),
        ("fast != 11", True),
        ("1 / fast < 2", True),
        ("1 / (fast - 3) < 2", None),
        ("fast % 3 <= 3", True),
        ("fast // 4 < 6", True),
        ("fast < stop", None),
        ("fast > stop + 100", False),
        ("1 <= fast <= 10 < 11", True),
        ("1 <= fast <= 10 < 9", False),
    ],
)
def test_intervals_decide_the_usual_cases(text, decided):
    intervals = {
        "fast": Interval(1, 10),
        "slow": Interval(5, 20),
        "stop": Interval(50, 60, may_be_undefined=True),
    }
    assert parse(text).decide(intervals) is decided


def test_an_option_that_is_always_off_meets_nothing():
    off = Interval(math.inf, -math.inf, True)
    assert parse("stop < 3").decide({"stop": off}) is False
    assert parse("stop + 1 != 3").decide({"stop": off}) is False
