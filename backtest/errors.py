"""Errors that a person can act on: every refusal names the field, the value and the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One refused input.

    Parameters
    ----------
    field : str
        Dotted path of the input as its sender names it, for example ``params.window``.
    value : object
        The value as received, or None if it was missing.
    message : str
        What is allowed and what to do, one sentence without a trailing full stop.
    """

    field: str
    value: object
    message: str

    def __str__(self) -> str:
        shown = repr(self.value)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        return f"{self.field} = {shown}: {self.message}"


class InputError(ValueError):
    """Bad input, with all its errors at once.

    Parameters
    ----------
    errors : iterable of FieldError
        At least one.
    """

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)
        if not self.errors:
            raise AssertionError("an InputError needs at least one FieldError")
        super().__init__("; ".join(str(error) for error in self.errors))

    @classmethod
    def of(cls, field: str, value: object, message: str) -> InputError:
        """Build an error about a single field."""
        return cls([FieldError(field, value, message)])
