"""Shapes of requests and answers that only HTTP has; OpenAPI is generated from them.

Runs themselves are described in `rules.spec`. Answers are built as plain dicts for speed; the
contract tests hold them to these models.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from rules.base_rule import ParameterValue
from rules.spec import RunSpec, TradingSpec
from storage.models import MAX_NAME_LENGTH, MAX_SYMBOL_LENGTH

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Tag = Annotated[str, Field(min_length=1, max_length=40)]
Note = Annotated[str, Field(max_length=2000)]


class RequestModel(BaseModel):
    """What is sent: unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class AnswerModel(BaseModel):
    """What is answered."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class ProblemError(AnswerModel):
    """One refused field."""

    field: str
    value: Any
    message: str


class Problem(AnswerModel):
    """RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemError]
    run_id: str | None = None


class RunPatch(RequestModel):
    """What may be changed of a run that exists."""

    tags: Annotated[list[Tag], Field(max_length=20)] | None = None
    note: Note | None = None


class RunListQuery(RequestModel):
    """Filters of the run list."""

    state: Annotated[State | None, Field(description="Only runs in this state")] = None
    symbol: Annotated[str | None, Field(max_length=MAX_SYMBOL_LENGTH)] = None
    rule: Annotated[str | None, Field(max_length=MAX_SYMBOL_LENGTH)] = None
    tag: Annotated[str | None, Field(max_length=40)] = None
    sort: Annotated[
        str, Field(max_length=40, description="Time or headline metric; a leading minus descends")
    ] = "-submitted_at"
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[
        str | None, Field(max_length=400, description="`next_cursor` of the page before")
    ] = None


class WaitQuery(RequestModel):
    """How long a submission may hold its answer."""

    wait: Annotated[
        float, Field(ge=0, description="Seconds until the run is terminal, at most 30")
    ] = 0.0


class SeriesQuery(RequestModel):
    """Which part of which series, and how many points of it."""

    names: Annotated[str, Field(max_length=1000, description="Comma-separated column names")] = (
        "equity,benchmark"
    )
    start_idx: Annotated[int, Field(ge=0, description="First bar, inclusive")] = 0
    end_idx: Annotated[int | None, Field(ge=0, description="Last bar, inclusive")] = None
    points: Annotated[int, Field(ge=2, le=10_000, description="Largest number of points")] = 2000


class TradeViewQuery(RequestModel):
    """Which trades: those that touch these bars, and how many of them at most."""

    start_idx: Annotated[int, Field(ge=0, description="First bar, inclusive")] = 0
    end_idx: Annotated[int | None, Field(ge=0, description="Last bar, inclusive")] = None
    limit: Annotated[int, Field(ge=1, le=10_000, description="Largest number of trades")] = 1000


class RunLinks(AnswerModel):
    """Where to go on from a submitted run."""

    self: str
    result: str
    charts: str
    view: str
    cancel: str
    page: str


class RunSubmitted(AnswerModel):
    """Answer to a submitted run."""

    run_id: str
    state: State
    cached: Annotated[bool, Field(description="The same run was done before; this is that one")]
    links: RunLinks


class RunView(AnswerModel):
    """State of one run."""

    run_id: str
    state: State
    stage: str
    progress: Annotated[float, Field(ge=0, le=1)]
    queue_position: Annotated[int | None, Field(description="1 is next; null once it has started")]
    queue_length: Annotated[int | None, Field(description="Runs that wait, while this one does")]
    submitted_at: str
    started_at: str | None
    finished_at: str | None
    attempt: int
    error: dict[str, Any] | None
    fingerprint: str
    symbol: str
    rule: str
    spec: RunSpec
    metrics: dict[str, float | int | bool | None] | None
    tags: list[str]
    note: str
    has_charts: bool
    links: RunLinks


class RunList(AnswerModel):
    """One page of runs."""

    runs: list[RunView]
    next_cursor: str | None


class Trade(AnswerModel):
    """One trade of a result."""

    entry_time: str
    exit_time: str
    direction: Literal["long", "short"]
    shares: float
    entry_price: float
    exit_price: float
    commission: float
    pnl: float
    return_: Annotated[float | None, Field(alias="return")]
    bars_held: int
    exit_reason: str
    mae: float | None
    mfe: float | None


class PageTrade(Trade):
    """One trade as the page reads it: with its bars."""

    entry_idx: int
    exit_idx: int


class DataWarningView(AnswerModel):
    """A finding about the data of a run."""

    code: str
    message: str
    count: int
    first: str | None


class EquityColumns(AnswerModel):
    """One entry a bar in every column."""

    time: list[str]
    equity: list[float | None]
    cash: list[float | None]
    position: list[float | None]
    close: list[float | None]


class SamplePart(AnswerModel):
    """Performance over some bars of a run, as if the account had been opened before them."""

    first_time: str
    last_time: str
    total_return: float | None
    cagr: float | None
    volatility: float | None
    sharpe: float | None
    max_drawdown: float | None
    n_bars: int


class SampleSplit(AnswerModel):
    """Performance inside the published sample of the rule, and after it."""

    published: list[str]
    inside: SamplePart | None
    after: SamplePart | None
    reasons: dict[str, str]


class RunResult(AnswerModel):
    """The object of ``stock-backtest backtest --json``."""

    run_id: str | None
    fingerprint: str
    definitions_version: str
    engine_version: str
    results_version: str
    spec: RunSpec
    metrics: dict[str, float | int | bool | None]
    trades: list[Trade]
    equity: EquityColumns
    warnings: list[DataWarningView]
    sample: SampleSplit | None


class RunCharts(AnswerModel):
    """Four pictures as ``data:image/png;base64`` URLs."""

    drawdown: str
    orders: str
    trade_pnl: str
    cumulative_return: str


class PageView(BaseModel):
    """View model of the five tabs, without series and trades."""

    model_config = ConfigDict(frozen=True, extra="allow")

    run_id: str
    fingerprint: str
    spec: RunSpec
    metrics: dict[str, float | int | bool | None]
    n_bars: int
    spacing: str


class PageSeries(BaseModel):
    """Columns of equal length: ``idx``, ``time`` and one per asked name."""

    model_config = ConfigDict(frozen=True, extra="allow")

    idx: list[int]
    time: list[str]


class PageTrades(AnswerModel):
    """All trades of a run."""

    trades: list[PageTrade]


class TradeView(AnswerModel):
    """Trades of a window; all of them if `n_found` are listed."""

    n_trades: int = Field(description="Of the whole run")
    n_found: int = Field(description="In the window")
    trades: dict[str, list[float | int | str | None]] = Field(
        description="``number``, counted from 1, and a column per field of a trade"
    )


class RunState(AnswerModel):
    """A run after its state was asked to change."""

    run_id: str
    state: State


class PresetRequest(RequestModel):
    """A named set of inputs; everything of a run but its tags and note."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH)]
    rule: Annotated[str, Field(min_length=1, max_length=MAX_SYMBOL_LENGTH)]
    params: dict[str, ParameterValue] = Field(default_factory=dict)
    trading: TradingSpec = Field(default_factory=TradingSpec)
    dataset: Annotated[str | None, Field(min_length=1, max_length=128)] = None
    start: str | None = None
    end: str | None = None
    adjust: bool = True


class PresetView(PresetRequest):
    """A stored preset."""

    id: str
    created_at: str
    updated_at: str


class PresetList(AnswerModel):
    """All presets, by name."""

    strategies: list[PresetView]


class ParameterView(AnswerModel):
    """One input, as a form needs it."""

    name: str
    type: Literal["int", "float", "bool", "choice"]
    default: ParameterValue | None
    help: str
    minimum: float | None
    maximum: float | None
    exclusive_minimum: bool
    exclusive_maximum: bool
    unit: str
    choices: list[str]
    optional: Annotated[bool, Field(description="null switches it off")]
    only_if: Annotated[
        list[str] | None,
        Field(description="Another parameter, and the value of it without which this one is idle"),
    ]


class ConstraintView(AnswerModel):
    """A relation that two parameters must keep."""

    left: str
    operator: Literal["<", "<="]
    right: str


class RuleView(AnswerModel):
    """One trading rule."""

    name: str
    title: str
    summary: str
    version: str
    source: str
    label: Literal["", "exact", "adaptation"]
    deviations: list[str]
    published_sample: list[str] | None
    reads: list[str] = Field(description="Trading settings that the signals depend on")
    overlays: list[str] = Field(description="Indicators in units of price, drawn on the price")
    parameters: list[ParameterView]
    constraints: list[ConstraintView]


class RuleList(AnswerModel):
    """All rules and the trading parameters that every rule shares."""

    rules: list[RuleView]
    trading: list[ParameterView]


class Health(AnswerModel):
    """State of what the web tier depends on."""

    status: Literal["ok", "degraded", "down"]
    database: str
    broker: str
    workers: int | None
    reasons: Annotated[list[str], Field(description="What is wrong, and what to do about it")]
    version: str


class Alive(AnswerModel):
    """The process answers."""

    status: Literal["ok"]
