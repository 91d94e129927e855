"""The task protocol: loss, metrics and decoding, and what its data looks like.

A task knows nothing about targets, and targets know nothing about tasks: training and evaluation
go through these methods only. Torch is imported by implementations, not here.
"""

from __future__ import annotations

import re
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
class DetailedSink(MetricSink, Protocol):
    """A sink that also knows figures of single classes, keypoints … behind its metrics.

    A training keeps them in its history; nothing is chosen by them and no terminal line shows them.
    """

    def details(self) -> Mapping[str, Mapping[str, float]]:
        """Return name → part → value over everything added, such as ``ap50`` → class → AP."""


#: Parts of a metric's name that say that less of it is better: costs and errors.
_COSTS = frozenset({
    "loss", "error", "errors", "err", "mse", "rmse", "mae", "mape", "epe", "distance", "perplexity",
    "bytes", "macs", "flops", "parameters", "seconds", "cycles", "latency", "energy", "power",
    "misses", "wer", "cer", "fpr", "fnr",
})  # fmt: skip


@runtime_checkable
class Task(Protocol):
    """What a network is trained and judged for.

    A task may also have `directions`, a mapping from the names of further metrics to whether
    larger is better; `rises` says what holds for those it leaves out.

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


def rises(metric: str, task: Task | None = None) -> bool:
    """Return whether a larger value of a metric is better.

    What the task says counts: of the metric that ranks it by `maximize`, of others by
    `directions`. Otherwise a name with a word for a cost or an error in it (``weight_bytes``,
    ``depth/rmse``) is better when smaller, every other when larger.

    Args:
        metric: Name of the metric.
        task: The task, if it is known.
    """
    if task is not None:
        if metric == task.metric:
            return task.maximize
        stated: Mapping[str, bool] = getattr(task, "directions", {})
        if metric in stated:
            return bool(stated[metric])
    return not _COSTS & set(re.split(r"[^a-z]+", metric.lower()))
