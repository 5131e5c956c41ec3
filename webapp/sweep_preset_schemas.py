"""Shapes of presets of sweeps; `rules.sweep_request` says what a sweep may hold."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from rules.sweep_request import SweepSearch
from storage.models import MAX_NAME_LENGTH, MAX_SYMBOL_LENGTH
from webapp.schemas import AnswerModel, RequestModel


class SweepPresetRequest(RequestModel):
    """A named set of inputs; everything of a sweep but its tags and note."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]
    rule: Annotated[str, Field(min_length=1, max_length=MAX_SYMBOL_LENGTH)]
    dataset: Annotated[str | None, Field(min_length=1, max_length=128)] = None
    datasets: Annotated[list[str] | None, Field(min_length=1)] = None
    space: dict[str, Any] = Field(default_factory=dict)
    params: dict[str, Any] = Field(default_factory=dict)
    trading: dict[str, Any] = Field(default_factory=dict)
    where: Annotated[str | list[str] | None, Field(description="As in a sweep")] = None
    objective: str = "sharpe"
    min_trades: Annotated[int, Field(ge=0)] = 0
    search: SweepSearch = Field(default_factory=SweepSearch)
    start: str | None = None
    end: str | None = None
    adjust: bool = True


class SweepPresetView(SweepPresetRequest):
    """A stored preset."""

    id: str
    created_at: str
    updated_at: str


class SweepPresetList(AnswerModel):
    """All presets of sweeps, by name."""

    presets: list[SweepPresetView]
