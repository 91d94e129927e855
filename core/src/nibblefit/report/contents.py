"""What a report page shows, as plain values: collected once, then laid out without any lookups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby

from nibblefit.report.charts import Drawn
from nibblefit.results import Finding, Table

#: What stands for a step's name beside findings that come from no step.
INSPECTION = "inspection"


class Tone(StrEnum):
    """How a headline number is to be read."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Headline:
    """One number at the top of the page."""

    label: str
    value: str
    detail: str = ""
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Measured:
    """Metrics of one evaluated subject, in the order of the run.

    Attributes:
        against: Evaluate step it is compared with, empty for none.
        drop: What the leading metric lost since then; negative for a gain.
        chosen: ``winner`` of a search or ``last round`` of a repeat, else empty.
        final: Whether the plan goes on with it: no earlier round, no candidate that lost.
    """

    step: str
    subject: str
    metrics: dict[str, float]
    against: str = ""
    drop: float | None = None
    chosen: str = ""
    final: bool = True


@dataclass(frozen=True, slots=True)
class Training:
    """Epochs of one training step: metric name → value, one mapping per epoch.

    Attributes:
        note: Which epoch was kept, and why; empty if that is not known.
    """

    step: str
    epochs: tuple[dict[str, float], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a bar chart.

    Attributes:
        share: Length of the bar, 0…1 of the chart's width.
        text: The number, with its unit.
    """

    label: str
    share: float
    text: str
    detail: str = ""
    tone: Tone = Tone.PLAIN


@dataclass(frozen=True, slots=True)
class Bars:
    """A horizontal bar chart with a heading and a sentence that says how to read it."""

    title: str
    bars: tuple[Bar, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts between edges (one more edge than counts)."""

    name: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Confusion:
    """counts[actual][predicted] with the classes' names."""

    subject: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of the run."""

    name: str
    stage: str
    status: str
    seconds: float | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class FileRow:
    """One written file; the path starts at the run folder."""

    role: str
    path: str
    size_bytes: int | None
    sha256: str


#: Files of one role in a row that are listed one by one.
MOST_LISTED = 8


def file_series(files: Sequence[FileRow]) -> list[tuple[FileRow, ...]]:
    """Return files in groups: a long series of one role together, every other file alone."""
    found: list[tuple[FileRow, ...]] = []
    for _, group in groupby(files, key=lambda file: file.role):
        series = tuple(group)
        found += [series] if len(series) > MOST_LISTED else [(file,) for file in series]
    return found


@dataclass(frozen=True, slots=True)
class Image:
    """A drawing made elsewhere, as PNG bytes, with a heading and a sentence that explains it."""

    title: str
    png: bytes
    note: str = ""


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything on the page. An empty field leaves its section out."""

    title: str
    target: str
    part: str
    folder: str
    headlines: tuple[Headline, ...] = ()
    measured: tuple[Measured, ...] = ()
    searches: tuple[Table, ...] = ()
    trainings: tuple[Training, ...] = ()
    charts: tuple[Drawn, ...] = ()
    noise: tuple[Bars, ...] = ()
    zeros: tuple[Bars, ...] = ()
    sizes: tuple[Bars, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    memory: tuple[MemoryPicture, ...] = ()
    images: tuple[Image, ...] = ()
    findings: tuple[tuple[str, Finding], ...] = ()
    tables: tuple[tuple[str, Table], ...] = ()
    steps: tuple[StepRow, ...] = ()
    left_over: tuple[str, ...] = ()
    files: tuple[FileRow, ...] = ()
    recipe: str = ""
    provenance: tuple[tuple[str, str], ...] = ()
    notes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Banks:
    """How full equal memories are, one bar each (weight memory of every processor, …).

    Attributes:
        used, capacity: In `unit`, one entry per bank.
        group: Banks that belong together (processors of a quadrant); 0 if none do.
    """

    title: str
    unit: str
    used: tuple[int, ...]
    capacity: tuple[int, ...]
    group: int = 0
    bank: str = "bank"


@dataclass(frozen=True, slots=True)
class Span:
    """Addresses a layer reads (`is_output` False) or writes, start included, stop excluded."""

    layer: str
    is_output: bool
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """Which addresses of a memory each layer reads and writes, in the order of execution."""

    title: str
    unit: str
    capacity: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """How full equal memories are while each layer runs.

    Attributes:
        layers: In the order of execution.
        used: In `unit`, per layer one entry per memory.
        capacity: Of each memory.
        bank: What one memory is called.
    """

    title: str
    unit: str
    layers: tuple[str, ...]
    used: tuple[tuple[int, ...], ...]
    capacity: int
    bank: str = "bank"


MemoryPicture = Banks | Timeline | Grid
