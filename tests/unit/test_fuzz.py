"""A few hundred broken inputs for everything that reads what people send; chaos tries more."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtest.errors import InputError
from rules.constraints import parse_constraint
from rules.spec import parse_run_request
from rules.sweep_request import parse_sweep_request
from tests.support.fuzz_bytes import TEXTS, read_bars, target_parquet
from tests.support.fuzz_targets import KINDS, PRESET, RUN, SWEEP, list_targets
from tests.support.fuzzing import fuzz
from webapp.api.presets import parse_preset

N_INPUTS, SEED = 300, 1

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("name", sorted(list_targets()))
def test_broken_inputs_are_read_or_refused_by_name(name: str) -> None:
    report = fuzz(name, N_INPUTS, SEED)
    assert report.failures == []
    assert report.n == report.accepted + report.refused + report.ended == N_INPUTS
    assert report.accepted
    assert report.refused


def test_inputs_are_made_from_their_number_alone() -> None:
    for name, target in list_targets().items():
        for number in range(200):
            first, second = (target(random.Random(number))[0] for _ in range(2))
            assert repr(first) == repr(second), name


def find_refused_fields(read: Callable[[], object]) -> set[str]:
    """Return the fields that a reader refuses; nothing but its documented error is caught."""
    try:
        read()
    except InputError as error:
        return {item.field for item in error.errors}
    return set()


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=600))
def test_any_text_is_a_constraint_or_refused(text: str) -> None:
    assert find_refused_fields(lambda: parse_constraint(text, KINDS)) <= {"where"}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(TEXTS), st.integers(0, 300), st.binary(max_size=40))
def test_any_bytes_within_a_file_are_read_or_refused(text: bytes, at: int, inner: bytes) -> None:
    fields = find_refused_fields(lambda: read_bars(text[:at] + inner + text[at:]))
    assert fields <= {"file", "date_format"}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from((RUN, SWEEP, PRESET)), st.data(), JSON)
def test_any_json_in_place_of_a_field_is_taken_or_refused(
    document: dict[str, object], data: st.DataObject, value: object
) -> None:
    changed = {**document, data.draw(st.sampled_from(sorted(document))): value}
    for parse in (parse_run_request, parse_sweep_request, parse_preset):
        assert "" not in find_refused_fields(partial(parse, changed))


def test_an_input_that_was_once_read_with_an_unforeseen_error_is_refused() -> None:
    # The name of its time zone is no text, which shows when it is asked for.
    data, read = target_parquet(random.Random(7 * 1_000_003 + 97_269))
    assert isinstance(data, bytes)
    with pytest.raises(InputError, match="damaged Parquet"):
        read()
