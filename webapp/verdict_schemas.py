"""Shapes of the verdict on a sweep's winner, which `adapters.sweep_verdict` builds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from webapp.schemas import AnswerModel


class VerdictReason(AnswerModel):
    """One sentence for or against the winner."""

    code: str
    sign: Annotated[Literal["+", "-"], Field(description="+ speaks for the winner, - against it")]
    text: str


class JudgedCombination(AnswerModel):
    """The raw best or the plateau, with the probabilities that its Sharpe ratio is no luck."""

    index: int
    value: Annotated[float | None, Field(description="Its objective")]
    score: Annotated[float | None, Field(description="Median with its neighbours")]
    n_neighbours: int
    edges: Annotated[list[str], Field(description="Axes on whose first or last number it lies")]
    sharpe: float | None
    n_trades: int
    psr: Annotated[float | None, Field(description="Probability that the true Sharpe is above 0")]
    dsr_effective: Annotated[
        float | None, Field(description="Deflated by the effective number of trials")
    ]
    dsr_raw: Annotated[float | None, Field(description="Deflated by all that compete")]
    dsr_textbook: Annotated[
        float | None,
        Field(description="As dsr_effective, with the sample variance of the trials' Sharpes"),
    ]
    min_years_effective: Annotated[
        float | None, Field(description="Years below which luck makes such a best of the trials")
    ]
    min_years_raw: float | None
    benchmark_sharpe: Annotated[float | None, Field(description="Of buy and hold")]


class TrialCounts(AnswerModel):
    """How many trials the winner was chosen from."""

    n_combinations: int
    n_raw: Annotated[int, Field(description="Combinations that compete")]
    n_effective: Annotated[float, Field(description="Independent trials they amount to")]
    n_clusters: Annotated[int, Field(description="Found among those sampled")]
    n_sampled: int
    luck_sharpe_effective: Annotated[
        float | None, Field(description="Sharpe that the best of them has on average by luck")
    ]
    luck_sharpe_raw: float | None
    share_profitable: Annotated[float, Field(ge=0, le=1)]


class OverfittingProbability(AnswerModel):
    """Combinatorially symmetric cross-validation of a sample of the combinations."""

    value: Annotated[
        float | None, Field(description="PBO: how often the best of one half is below the middle")
    ]
    null_low: Annotated[float | None, Field(description="5 % of the draws without merit are below")]
    null_high: Annotated[float | None, Field(description="95 % of these draws are below")]
    n_draws: int
    loss_share: Annotated[
        float | None, Field(description="How often the best of one half loses in the other")
    ]
    in_sample: Annotated[float | None, Field(description="Median Sharpe of the best of one half")]
    out_of_sample: Annotated[float | None, Field(description="Its median Sharpe in the other")]
    n_splits: int
    n_columns: Annotated[int, Field(description="Different combinations among the sample")]
    n_blocks: int


class JudgedData(AnswerModel):
    """What the verdict looked at."""

    n_bars: int
    years: float
    n_periods: Annotated[int, Field(description="Returns per combination in cross-validation")]


class Verdict(AnswerModel):
    """Whether the winner is real or luck; provisional unless `complete`.

    LIKELY_REAL: DSR >= 0.95 at the effective number of trials, and PBO below its null band or a
    loss out of sample in at most 5 % of the splits, no spike, and a Sharpe ratio above that of buy
    and hold. LIKELY_LUCK: DSR < 0.5, or < 0.9
    with PBO not below its null band. UNPROVEN: between. UNKNOWN: nothing to judge.
    """

    sweep_id: str
    complete: Annotated[bool, Field(description="False: over what is computed so far")]
    version: Annotated[
        str, Field(description="Of the method; a verdict of another one is computed again")
    ]
    word: Literal["likely_real", "unproven", "likely_luck", "unknown"]
    objective: str
    reasons: list[VerdictReason]
    advice: str
    best: JudgedCombination | None
    plateau: JudgedCombination | None
    trials: TrialCounts | None
    pbo: OverfittingProbability | None
    data: JudgedData | None
    elsewhere: Annotated[
        dict[str, float | None], Field(description="Sharpe of these settings on other datasets")
    ]
    thresholds: dict[str, float]
