"""The task protocol: loss, metrics and decoding, and what its data looks like.

A task knows nothing about targets, and targets know nothing about tasks: training and evaluation
go through these methods only. Torch is imported by implementations, not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import torch

    from nibblefit.results import Report


class MetricSink(Protocol):
    """Accumulates batches and ends in metrics."""

    def update(self, outputs: Sequence[torch.Tensor], target: Any) -> None:
        """Add one batch: the network's real-valued outputs and the batch's target."""

    def compute(self) -> Mapping[str, float]:
        """Return metric name → value over everything added."""

    def report(self, subject: str) -> Report:
        """Return metrics plus tables and plot arrays (confusion matrix …)."""


@runtime_checkable
class Task(Protocol):
    """What a network is trained and judged for.

    Attributes:
        name: ``classification``, ``detection``, ``segmentation``, ``reconstruction``.
        metric: Name of the metric that ranks models (best epoch, gates), such as ``top1``.
        maximize: Whether larger is better.
    """

    name: str
    metric: str
    maximize: bool

    def loss(self, outputs: Sequence[torch.Tensor], target: Any) -> torch.Tensor:
        """Return the scalar training loss of one batch."""

    def metrics(self) -> MetricSink:
        """Return an empty accumulator."""

    def decode(self, outputs: Sequence[torch.Tensor]) -> Any:
        """Return what a user wants to see for a batch: class ids, boxes, masks, errors."""

    def collate(self, samples: Sequence[tuple[Any, Any]]) -> tuple[torch.Tensor, Any]:
        """Join (input, target) samples into (batch tensor, batch target)."""
