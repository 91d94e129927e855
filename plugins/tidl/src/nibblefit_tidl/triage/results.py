"""Everything a triage found."""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit_tidl.triage.differences import LayerError
from nibblefit_tidl.triage.layers import Layer
from nibblefit_tidl.triage.procedure import Procedure
from nibblefit_tidl.triage.ranking import Ranking
from nibblefit_tidl.triage.stability import Stability
from nibblefit_tidl.triage.traces.checking import TraceCheck


@dataclass(frozen=True, slots=True)
class Triage:
    """Outcome of a triage.

    Attributes:
        target, part: What the integers are for.
        frames: Test samples the layers were compared on.
        layers: The merged layers.
        errors: Error of every layer that both networks have.
        ranking: Which layers deserve 16 bits; None in a quick triage.
        stability: Whether calibration saw enough; None in a quick triage.
        procedure: TI's settings one after another; None in a quick triage.
        traces: Comparison with TI's traces; None without any.
    """

    target: str
    part: str
    frames: int
    layers: tuple[Layer, ...]
    errors: tuple[LayerError, ...]
    ranking: Ranking | None = None
    stability: Stability | None = None
    procedure: Procedure | None = None
    traces: TraceCheck | None = None

    @property
    def worst(self) -> LayerError:
        """The layer with the lowest signal to noise."""
        return min(self.errors, key=lambda error: error.decibels)

    @property
    def verdicts(self) -> tuple[str, ...]:
        """What each part came to, one sentence each."""
        worst = self.worst
        found = [f"lowest signal to noise: '{worst.layer.name}' with {worst.decibels:.1f} dB"]
        if self.ranking is not None:
            found.append(f"16 bits: {self.ranking.verdict}")
        if self.stability is not None:
            found.append(f"calibration: {self.stability.verdict}")
        if self.procedure is not None:
            found.append(f"procedure: {self.procedure.skipped or self.procedure.verdict}")
        if self.traces is not None:
            found.append(self.traces.verdict)
        return tuple(found)
