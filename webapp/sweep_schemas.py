"""Shapes of requests and answers about sweeps; OpenAPI is generated from them.

The body of a sweep is described in `rules.sweep_spec`. Answers are built as plain dicts for speed;
the contract tests hold them to these models.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, RootModel

from rules.base_rule import ParameterValue
from storage.models import MAX_SYMBOL_LENGTH
from webapp.schemas import AnswerModel, RequestModel

SweepState = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
Order = Literal["best", "worst", "ascending", "descending"]
Metrics = dict[str, float | int | None]
Metric = Annotated[
    str | None,
    Field(max_length=40, description="Headline metric; by default the sweep's objective"),
]
MinTrades = Annotated[
    int | None,
    Field(ge=0, description="Fewest closed trades of a combination; by default the sweep's own"),
]
Filters = Annotated[
    list[str],
    Field(description="Condition on a metric or parameter, as sharpe>1; may be repeated"),
]


class SubmitSweepQuery(RequestModel):
    """What a submission may ask for beside the sweep."""

    wait: Annotated[
        float, Field(ge=0, description="Seconds until the sweep is terminal, at most 30")
    ] = 0.0
    estimate: Annotated[bool, Field(description="Answer counts and time, and store nothing")] = (
        False
    )


class SweepListQuery(RequestModel):
    """Filters of the list of sweeps."""

    state: Annotated[SweepState | None, Field(description="Only sweeps in this state")] = None
    symbol: Annotated[str | None, Field(max_length=MAX_SYMBOL_LENGTH)] = None
    rule: Annotated[str | None, Field(max_length=MAX_SYMBOL_LENGTH)] = None
    tag: Annotated[str | None, Field(max_length=40)] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[
        str | None, Field(max_length=400, description="`next_cursor` of the page before")
    ] = None


class RankingQuery(RequestModel):
    """Which combinations to rank by what, and which page of them."""

    metric: Metric = None
    order: Annotated[
        Order, Field(description="`best` is the largest, but for volatility and turnover")
    ] = "best"
    min_trades: MinTrades = None
    filter: Filters = Field(default_factory=list)
    offset: Annotated[int, Field(ge=0, le=100_000_000, description="Rows to skip")] = 0
    limit: Annotated[int, Field(ge=1, le=1000, description="Rows of the page")] = 50
    near: Annotated[
        bool,
        Field(
            description="While a sweep is going on: let a worker find `near` and `total` of "
            "what is done, instead of answering the best rows at once without them"
        ),
    ] = False


def _describe_fixed(schema: dict[str, Any]) -> None:
    """Add what no field of a model can be: one parameter of the query string per further axis."""
    schema["properties"]["fixed"] = {
        "type": "object",
        "description": "With other=fixed: fixed.NAME=VALUE for each further axis, as "
        "fixed.window=14 or fixed.stop_loss=off; what is not named is held where the best "
        "combination has it",
        "patternProperties": {"^fixed\\..+$": {"type": "string"}},
        "additionalProperties": False,
        "examples": [{"fixed.overbought": "70", "fixed.stop_loss": "off"}],
    }


class HeatmapQuery(RequestModel):
    """Two axes, and what becomes of the others."""

    model_config = ConfigDict(json_schema_extra=_describe_fixed)

    x: Annotated[str | None, Field(max_length=64, description="Axis across")] = None
    y: Annotated[str | None, Field(max_length=64, description="Axis upwards")] = None
    metric: Metric = None
    other: Annotated[
        Literal["best", "median", "fixed"], Field(description="What a cell shows of the rest")
    ] = "best"
    min_trades: MinTrades = None


class MetricQuery(RequestModel):
    """What is looked at."""

    metric: Metric = None
    min_trades: MinTrades = None


class SweepLinks(AnswerModel):
    """Where to go on from a sweep."""

    self: str
    ranking: str
    heatmap: str
    marginals: str
    importance: str
    parallel: str
    verdict: str
    chunks: str
    export_parquet: str
    export_csv: str
    pause: str
    resume: str
    cancel: str
    retry: str
    page: str


class SweepSubmitted(AnswerModel):
    """Answer to a submitted sweep."""

    sweep_id: str
    run_id: Annotated[str, Field(description="The same value, for clients of runs")]
    state: SweepState
    cached: Annotated[bool, Field(description="The same sweep was done before; this is that one")]
    links: SweepLinks


class SweepEstimate(AnswerModel):
    """What a sweep would take; nothing is stored."""

    n_points: Annotated[int, Field(description="Points of the grid")]
    n_combinations: Annotated[
        int | None, Field(description="What is computed; null if only planning can tell")
    ]
    n_excluded: int | None
    n_positions: Annotated[int, Field(description="Points to visit, excluded ones among them")]
    n_bars: int
    rate: Annotated[float, Field(description="Points per second by all workers")]
    rate_source: Annotated[
        Literal["measured", "assumed"], Field(description="By this rule's latest sweep, or not yet")
    ]
    seconds: float
    chunks: int
    processes: Annotated[int, Field(description="Workers that are counted on")]


class SweepAccepted(RootModel[SweepSubmitted | SweepEstimate]):
    """A sweep that is done already, or an estimate."""


class ChunkCounts(AnswerModel):
    """Chunks of a sweep by state; one that is cut only after measuring counts as one."""

    total: int
    done: int
    failed: int
    queued: int
    running: int
    cancelled: int


class CombinationRow(AnswerModel):
    """One combination with its headline metrics."""

    index: Annotated[int, Field(description="Number in the grid, last axis fastest")]
    dataset: Annotated[str | None, Field(description="Symbol, where there are several")] = None
    params: dict[str, ParameterValue]
    trading: dict[str, ParameterValue | None]
    metrics: Metrics


class RankedRow(CombinationRow):
    """One combination of a ranking."""

    rank: Annotated[int, Field(ge=1)]
    near: Annotated[
        float | None,
        Field(
            description="Median of the objective over it and its neighbours; null without any, and "
            "in what is answered at once while the sweep is going on"
        ),
    ] = None


class ScoredRow(CombinationRow):
    """A combination with its neighbourhood: one step along one ordered axis."""

    score: Annotated[
        float | None, Field(description="Median of the objective over it and its neighbours")
    ] = None
    n_neighbours: int | None = None


class Winner(AnswerModel):
    """The best combination of a sweep; its values are there once the sweep has succeeded."""

    model_config = ConfigDict(frozen=True, extra="allow")

    index: int
    metrics: Metrics


class _SweepFields(AnswerModel):
    """What the list and the state of a sweep share."""

    sweep_id: str
    run_id: str
    state: SweepState
    stage: str
    progress: Annotated[float, Field(ge=0, le=1)]
    submitted_at: str
    started_at: str | None
    finished_at: str | None
    fingerprint: str
    symbol: str
    rule: str
    objective: str
    method: Literal["grid", "random", "adaptive"]
    swept: Annotated[list[str], Field(description="Axes, in the order of the grid")]
    n_points: Annotated[float, Field(description="Cells of the full grid")]
    n_combinations: Annotated[
        int | None, Field(description="Without excluded points; null until that is known")
    ]
    result_sha256: str | None
    error: dict[str, Any] | None
    tags: list[str]
    note: str
    links: SweepLinks


class SweepItem(_SweepFields):
    """One sweep of the list."""

    best: Annotated[Winner | None, Field(description="Of what is computed so far")]
    plateau: Annotated[
        Winner | None, Field(description="Best by its neighbourhood, once all is computed")
    ]


class SweepView(_SweepFields):
    """State of one sweep."""

    queue_position: Annotated[
        int | None, Field(description="Always null: sweeps share the workers, none waits its turn")
    ]
    attempt: Annotated[int, Field(description="How often finalising was started")]
    spec: dict[str, Any]
    min_trades: int
    n_excluded: Annotated[int | None, Field(description="So far, until the sweep has succeeded")]
    n_failed: Annotated[int | None, Field(description="So far, until the sweep has succeeded")]
    n_done: Annotated[int, Field(description="Combinations computed so far")]
    n_positions: Annotated[int, Field(description="Points to visit, excluded ones among them")]
    n_positions_done: int
    n_bars: int
    chunks: ChunkCounts
    rate: Annotated[float | None, Field(description="Points per second by all workers")]
    eta_seconds: float | None
    seconds: Annotated[float | None, Field(description="Wall time since the start, until the end")]
    best: Annotated[ScoredRow | None, Field(description="Of what is computed so far")]
    plateau: Annotated[
        ScoredRow | None, Field(description="Best by its neighbourhood, once all is computed")
    ]
    metrics: Annotated[Metrics | None, Field(description="Of the best combination")]
    warnings: list[dict[str, Any]]


class SweepList(AnswerModel):
    """One page of sweeps."""

    sweeps: list[SweepItem]
    next_cursor: str | None


class SweepStateAnswer(AnswerModel):
    """A sweep after its state was asked to change."""

    sweep_id: str
    run_id: str
    state: SweepState


class SweepPending(AnswerModel):
    """A worker is computing the answer; ask again."""

    state: Literal["computing"]


class _OverSweep(AnswerModel):
    """What every view of results says about what it covers."""

    model_config = ConfigDict(frozen=True, extra="allow")

    sweep_id: str
    metric: str
    complete: Annotated[bool, Field(description="False: over what is computed so far")]


class Ranking(_OverSweep):
    """One page of a ranking."""

    order: Order
    total: Annotated[int | None, Field(description="Eligible combinations; null while running")]
    offset: int
    rows: list[RankedRow]


class HeatmapAxis(AnswerModel):
    """One axis of a heat map."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    values: list[Any]


class Heatmap(_OverSweep):
    """A metric over two axes: rows of `values`, `index` and `n` are y, columns are x."""

    other: Literal["best", "median", "fixed"]
    x: HeatmapAxis
    y: HeatmapAxis
    values: list[list[float | None]]
    index: list[list[int | None]]
    n: list[list[int]]
    n_failed: Annotated[
        list[list[int]] | None,
        Field(description="Combinations without a result; left out where nothing failed"),
    ] = None
    min: float | None
    max: float | None


class Marginals(_OverSweep):
    """The distribution of a metric over each value of each axis, and over all combinations."""


class Importance(_OverSweep):
    """Shares of a metric's variance that axes and pairs of axes explain."""


class Parallel(_OverSweep):
    """Rows for parallel coordinates: the best, and an even sample of all."""


class ChunkStates(AnswerModel):
    """One letter per chunk, in order."""

    sweep_id: str
    chunks: ChunkCounts
    states: Annotated[str, Field(description="d done, r running, q queued, f failed, c cancelled")]


class CombinationView(AnswerModel):
    """One combination by its number, and the body that opens it as a run."""

    index: int
    excluded: Annotated[bool, Field(description="A constraint keeps it out of the sweep")]
    dataset: str
    params: dict[str, ParameterValue]
    trading: dict[str, ParameterValue | None]
    run: Annotated[dict[str, Any], Field(description="Body for POST /api/v1/runs")]
