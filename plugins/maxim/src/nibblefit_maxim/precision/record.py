"""The record of a search: every candidate that was measured, kept on disk after each one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Widths = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One choice of weight widths and what it was worth.

    Attributes:
        name: Its widths in the order of the layers, such as ``8-4-4-8``.
        why: ``start``, ``sensitivity`` (one layer alone) or ``descent``.
        layer, bits: What was changed; empty and 0 at the start.
        metric: The task's metric on validation samples.
        weight_bits: Bits of all weights together.
        accepted: Whether the descent kept it; always False for sensitivities.
        epochs: Epochs of quantized training before it was measured.
    """

    name: str
    why: str
    layer: str
    bits: int
    metric: float
    weight_bits: int
    accepted: bool = False
    epochs: int = 0


def name_of(widths: Widths) -> str:
    """Return the name of a choice."""
    return "-".join(str(bits) for bits in widths.values())


class SearchRecord:
    """Candidates of one search, resumable.

    Args:
        file: Where they are kept.
        key: What the search depends on; a record with another key is not taken up.
    """

    def __init__(self, file: Path, key: str) -> None:
        self._file = file
        self._key = key
        self._metrics: dict[str, float] = {}
        self.candidates: list[Candidate] = []
        if file.is_file():
            kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            if kept.get("key") == key:
                self._metrics = {str(k): float(v) for k, v in kept["metrics"].items()}

    @property
    def resumed(self) -> int:
        """Measurements taken up from an earlier, interrupted search."""
        return len(self._metrics)

    def metric(self, name: str, epochs: int) -> float | None:
        """Return what a candidate was measured at, None if it was not."""
        return self._metrics.get(f"{name}@{epochs}")

    def add(self, candidate: Candidate) -> None:
        """Add a candidate and write the file."""
        self.candidates.append(candidate)
        self._metrics[f"{candidate.name}@{candidate.epochs}"] = candidate.metric
        content = {"key": self._key, "metrics": self._metrics}
        temporary = self._file.with_suffix(".new")
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(self._file)

    def table(self, metric: str) -> Mapping[str, Any]:
        """Return the candidates in the order they were tried, for the report."""
        rows = tuple(
            (one.name, one.why, f"{one.layer} {one.bits}" if one.layer else "", one.metric,
             one.weight_bits // 8, "yes" if one.accepted else "no")
            for one in self.candidates
        )  # fmt: skip
        columns = ("weight bits of the layers", "tried as", "changed", metric, "weight bytes",
                   "kept")  # fmt: skip
        return {"title": "Search for few bits", "columns": columns, "rows": rows}

    def write(self, file: Path, facts: Mapping[str, Any]) -> None:
        """Write everything for people and programs, in the order it was tried."""
        content = {**facts, "candidates": [asdict(one) for one in self.candidates]}
        file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
