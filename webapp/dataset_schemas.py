"""Shapes of requests and answers about datasets; see `webapp.schemas`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from storage.models import MAX_SYMBOL_LENGTH
from webapp.schemas import AnswerModel, DataWarningView, RequestModel, Tag

Symbol = Annotated[str, Field(min_length=1, max_length=MAX_SYMBOL_LENGTH)]


class DatasetView(AnswerModel):
    """One version of a dataset."""

    id: str
    symbol: str
    version: int
    sha256: str
    n_bars: int
    start: str
    end: str
    spacing: str
    periods_per_year: float
    has_adjustment: bool
    warnings: list[DataWarningView]
    file_name: str
    created_at: str
    n_bytes: Annotated[int, Field(description="Of its bars in the database, compressed")]
    tags: list[str]


class DatasetList(AnswerModel):
    """All datasets, the current version of each symbol; or all versions of one, newest first."""

    datasets: list[DatasetView]


class DatasetQuery(RequestModel):
    """Which dataset is meant."""

    symbol: Annotated[str, Field(max_length=MAX_SYMBOL_LENGTH)]


class DatasetUpload(BaseModel):
    """Multipart form of an upload."""

    file: Annotated[
        str, Field(description="CSV or Parquet", json_schema_extra={"format": "binary"})
    ]
    symbol: Annotated[str, Field(min_length=1, max_length=MAX_SYMBOL_LENGTH)]
    date_format: Annotated[
        str | None, Field(max_length=40, description="strptime format; send it before the file")
    ] = None


class DatasetListQuery(RequestModel):
    """Which datasets are listed."""

    symbol: Annotated[
        str | None, Field(max_length=MAX_SYMBOL_LENGTH, description="All versions of this one")
    ] = None


class DatasetPatch(RequestModel):
    """What may be changed of a symbol, with all its versions."""

    symbol: Symbol | None = None
    tags: Annotated[list[Tag], Field(max_length=20)] | None = None


class PreviewQuery(RequestModel):
    """Whether anything is stored."""

    preview: Annotated[
        bool, Field(description="Answer what it would be stored as, and store nothing")
    ] = False


class DatasetSeriesQuery(RequestModel):
    """Which part of which columns, and how many points of it."""

    names: Annotated[
        str, Field(max_length=200, description="Of open, high, low, close and volume, with commas")
    ] = "close"
    adjust: Annotated[bool, Field(description="By the adjusted close, as runs do")] = False
    start_idx: Annotated[int, Field(ge=0, description="First bar, inclusive")] = 0
    end_idx: Annotated[int | None, Field(ge=0, description="Last bar, inclusive")] = None
    points: Annotated[int, Field(ge=2, le=10_000, description="Largest number of points")] = 2000


class DatasetSeries(AnswerModel):
    """Columns of equal length, thinned so that no spike is lost."""

    idx: list[int]
    time: list[str]
    epoch: list[float]
    open: list[float] | None = None
    high: list[float] | None = None
    low: list[float] | None = None
    close: list[float] | None = None
    volume: list[float] | None = None


class FindingExample(AnswerModel):
    """One bar that a finding is about."""

    idx: int
    time: str
    text: str


class Finding(AnswerModel):
    """Something notable about bars."""

    code: Annotated[str, Field(description="For programs, as `price_jump`")]
    level: Annotated[Literal["warning", "note"], Field(description="A warning asks for a look")]
    message: str
    count: int
    examples: Annotated[list[FindingExample], Field(max_length=20)]


class CloseSummary(AnswerModel):
    """The close in four figures."""

    first: float
    last: float
    lowest: float
    highest: float


class BarReport(AnswerModel):
    """What a person should look at before trusting bars."""

    close: CloseSummary
    findings: list[Finding]


class FileColumn(AnswerModel):
    """One column of a file, and what it was read as."""

    name: str
    role: Annotated[str | None, Field(description="null if it is not read")]


class FileView(AnswerModel):
    """How a file was understood."""

    name: str
    kind: str
    date_format: Annotated[str, Field(description="strptime syntax, or words")]
    n_columns: int
    columns: Annotated[list[FileColumn], Field(max_length=60)]


class DatasetPreview(AnswerModel):
    """What a file would be stored as; rows are time, OHLC, volume, adjusted close."""

    symbol: str
    version: int
    is_known: Annotated[bool, Field(description="The symbol has these very bars already")]
    sha256: str
    n_bars: int
    start: str
    end: str
    spacing: str
    periods_per_year: float
    has_adjustment: bool
    warnings: list[DataWarningView]
    file: FileView
    first_rows: list[list[str | float]]
    last_rows: list[list[str | float]]
    report: BarReport
    series: DatasetSeries


class SourceView(AnswerModel):
    """A public source that may be asked."""

    name: str


class SourceList(AnswerModel):
    """All of them; none unless an operator names one."""

    sources: list[SourceView]


class FetchRequest(RequestModel):
    """What is fetched from a source, and what it is called here."""

    symbol: Annotated[Symbol, Field(description="As the source writes it")]
    name: Annotated[Symbol | None, Field(description="Symbol to store it under")] = None
    start: Annotated[str | None, Field(max_length=10, description="YYYY-MM-DD")] = None
    end: Annotated[str | None, Field(max_length=10, description="YYYY-MM-DD, inclusive")] = None
