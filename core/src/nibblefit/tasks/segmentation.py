"""Segmentation: one class per pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from nibblefit.data.options import ReaderOptions, read_options
from nibblefit.errors import InputError
from nibblefit.ir.graph import frozen_mapping
from nibblefit.results import Report, Table
from nibblefit.tasks.collating import as_tensor, stack_inputs
from nibblefit.tasks.confusion import Confusion, ratio

if TYPE_CHECKING:
    from nibblefit.data.source import DataSource
    from nibblefit.recipe import Recipe


class SegmentationOptions(ReaderOptions):
    """Keys of ``task.options``."""

    ignore: int = Field(default=255, description="Label of pixels that count nowhere.")


class Segmentation:
    """Cross entropy per pixel; judged by the mean intersection over union.

    Args:
        class_names: Names in the order of the output's channels.
        options: See `SegmentationOptions`.
    """

    name = "segmentation"
    metric = "miou"
    maximize = True

    def __init__(
        self, class_names: Sequence[str], options: SegmentationOptions | None = None
    ) -> None:
        self.class_names = tuple(class_names)
        self.options = options or SegmentationOptions()

    def loss(self, outputs: Sequence[Tensor], target: Any) -> Tensor:
        """Return the mean cross entropy over all pixels that count."""
        scores, labels = _pair(outputs, target)
        return functional.cross_entropy(scores, labels, ignore_index=self.options.ignore)

    def metrics(self) -> SegmentationSink:
        """Return an empty accumulator."""
        return SegmentationSink(self.class_names, self.options.ignore)

    def decode(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return label maps (batch, *spatial)."""
        return outputs[0].argmax(1)

    def collate(self, samples: Sequence[tuple[Any, Any]]) -> tuple[Tensor, Tensor]:
        """Return (batch, …) inputs and (batch, *spatial) label maps."""
        maps = np.stack([np.asarray(target, np.int64) for _, target in samples])
        return stack_inputs(samples), torch.from_numpy(maps)


def _pair(outputs: Sequence[Tensor], target: Any) -> tuple[Tensor, Tensor]:
    scores = outputs[0]
    labels = as_tensor(target, scores.device, torch.long)
    if scores.shape[2:] != labels.shape[1:]:
        raise InputError(
            f"the network's output is {list(scores.shape[2:])} pixels, the label map "
            f"{list(labels.shape[1:])}",
            hint="end the network at the resolution of the label maps",
        )
    return scores, labels


class SegmentationSink:
    """Counts of pixels."""

    def __init__(self, class_names: Sequence[str], ignore: int) -> None:
        self._names = tuple(class_names)
        self._ignore = ignore
        self._confusion = Confusion(len(self._names))

    def update(self, outputs: Sequence[Tensor], target: Any) -> None:
        """Add one batch."""
        scores, labels = _pair(outputs, target)
        counts = labels != self._ignore
        actual, predicted = labels[counts], scores.argmax(1)[counts]
        classes = self._confusion.classes
        if len(actual) and not 0 <= int(actual.min()) <= int(actual.max()) < classes:
            raise InputError(
                f"a label map holds a label outside 0 … {classes - 1}",
                hint="check the label maps, or set task.options.ignore",
            )
        self._confusion.add(actual, predicted)

    def compute(self) -> Mapping[str, float]:
        """Return ``miou`` over the classes that occur, and ``pixel_accuracy``."""
        counts = self._confusion.counts
        total = int(counts.sum())
        if total == 0:
            return {}
        union = counts.sum(0) + counts.sum(1) - np.diagonal(counts)
        overlap = ratio(np.diagonal(counts), union)
        return {
            "miou": float(overlap[union > 0].mean()),
            "pixel_accuracy": int(counts.trace()) / total,
        }

    def report(self, subject: str) -> Report:
        """Return metrics, intersection over union per class, and the confusion matrix."""
        counts = self._confusion.counts
        union = counts.sum(0) + counts.sum(1) - np.diagonal(counts)
        overlap = ratio(np.diagonal(counts), union)
        rows = tuple(
            (name, int(counts[i].sum()), float(overlap[i])) for i, name in enumerate(self._names)
        )
        return Report(
            subject,
            metrics=frozen_mapping(self.compute()),
            tables=(Table("Classes", ("class", "pixels", "iou"), rows),),
            arrays=frozen_mapping({"confusion": counts.tolist(), "classes": list(self._names)}),
        )


def make(recipe: Recipe, data: DataSource) -> Segmentation:
    """Return the recipe's segmentation task."""
    options = read_options(SegmentationOptions, recipe.task.options, "segmentation", "task.options")
    return Segmentation(data.class_names, options)
