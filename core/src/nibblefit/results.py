"""What stages report: findings, metrics, tables and the files they wrote. Values, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from nibblefit.ir.graph import frozen_mapping


class Status(StrEnum):
    """Outcome of one finding; only PASSED counts as passed."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_APPLICABLE = "not_applicable"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One checked fact, in words a user can act on.

    Attributes:
        rule: Stable identifier, ``family.subject``.
        status: See `Status`.
        message: What was found; names the layer.
        where: Layer, file or recipe key.
        hint: What to do; empty when passed.
        value, limit, unit: Numbers behind the message, if there are any.
    """

    rule: str
    status: Status
    message: str
    where: str = ""
    hint: str = ""
    value: float | None = None
    limit: float | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table for terminal, JSON and HTML alike; cells are JSON scalars."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


#: Key of `Report.arrays` under which a detector's evaluation keeps what it found, see there.
DETECTIONS = "detections"


@dataclass(frozen=True, slots=True)
class Report:
    """Result of an evaluation or of an inspection.

    Attributes:
        subject: What was measured, such as ``float model`` or ``integer graph``.
        metrics: Name → value. Accuracies are fractions 0…1.
        findings: Checked facts.
        tables: Per-layer signal-to-noise, support table and the like.
        arrays: Named nested lists for plots (``confusion``: counts[actual][predicted];
            ``histogram:<tensor>``: {"edges", "counts"}; ``detections``: for each of the first
            samples [left, top, right, bottom, label, score, 1 right / 0 wrong / -1 neither];
            ``charts``: what `nibblefit.charts.as_entry` returns).
    """

    subject: str
    metrics: Mapping[str, float] = field(default_factory=frozen_mapping)
    findings: tuple[Finding, ...] = ()
    tables: tuple[Table, ...] = ()
    arrays: Mapping[str, Any] = field(default_factory=frozen_mapping)

    @property
    def failed(self) -> tuple[Finding, ...]:
        """Findings that failed."""
        return tuple(f for f in self.findings if f.status is Status.FAILED)


@dataclass(frozen=True, slots=True)
class ArtifactFile:
    """One written file: role (``yaml``, ``checkpoint``, ``sample``, ``readme`` …), path inside
    the artifact's folder, and SHA-256 of its bytes.
    """

    role: str
    path: PurePosixPath
    sha256: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """A folder of vendor files and the graph it was made from.

    Attributes:
        target: Name of the target.
        part: Device the files are for, empty if the target has none.
        graph_digest: `nibblefit.ir.store.digest` of the quantized graph.
        files: Every file, in a stable order.
        notes: Command lines and versions worth keeping, JSON-like. Entries under ``memory`` are
            drawn in the report, `nibblefit.report.memory` says how they look; so are those under
            ``charts``, see `nibblefit.charts`.
    """

    target: str
    part: str
    graph_digest: str
    files: tuple[ArtifactFile, ...]
    notes: Mapping[str, Any] = field(default_factory=frozen_mapping)
