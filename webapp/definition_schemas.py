"""Shapes of the answers that explain metrics; see `webapp.schemas`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from webapp.schemas import AnswerModel


class MetricView(AnswerModel):
    """What one metric means."""

    name: str
    label: str
    kind: Annotated[str, Field(description="How it is written, for example percent or ratio")]
    group: str
    definition: str
    formula: str
    convention: str
    undefined: Annotated[str, Field(description="When it is null; empty if it never is")]


class ConventionView(AnswerModel):
    """How another library computes the headline metrics."""

    name: str
    title: str
    source: str
    percent: Annotated[list[str], Field(description="Metrics that it gives as fractions")]
    terms: Annotated[dict[str, str], Field(description="By metric, in which term it differs")]


class Definitions(AnswerModel):
    """Every metric explained."""

    definitions_version: str
    metrics: list[MetricView]
    conventions: list[ConventionView]
