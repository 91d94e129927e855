"""Detection: boxes with classes. The head of a detector comes from a plugin.

A network's outputs mean nothing without the head that made them, so the loss (`Criterion`) and the
way from outputs to boxes (`Decoder`) are given to the task. Targets of a sample are a mapping
``{"boxes": (count, 4) float, "labels": (count,) int}``; boxes are (left, top, right, bottom) in
pixels of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from torch import Tensor

from nibblefit.data.options import ReaderOptions, read_options
from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import frozen_mapping
from nibblefit.results import Report, Table
from nibblefit.tasks.average_precision import AveragePrecision, Boxes
from nibblefit.tasks.collating import stack_inputs

if TYPE_CHECKING:
    from nibblefit.data.source import DataSource
    from nibblefit.recipe import Recipe

#: (outputs, targets of the batch) → scalar loss.
Criterion: TypeAlias = Callable[[Sequence[Tensor], Any], Tensor]
#: outputs → for each sample boxes (count, 4), labels (count,), scores (count,).
Decoder: TypeAlias = Callable[[Sequence[Tensor]], Sequence[Boxes]]


class DetectionOptions(ReaderOptions):
    """Keys of ``task.options``: none; a detector's settings belong to its head."""


class Detection:
    """Loss and decoding of a given head; judged by the mean average precision at 0.5 overlap.

    Args:
        class_names: Names in the order of the labels.
        criterion: Loss of the head; without it the task cannot train.
        decoder: Boxes from outputs; without it the task cannot judge.
    """

    name = "detection"
    metric = "map50"
    maximize = True

    def __init__(
        self,
        class_names: Sequence[str],
        criterion: Criterion | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        self.class_names = tuple(class_names)
        self._criterion = criterion
        self._decoder = decoder

    def loss(self, outputs: Sequence[Tensor], target: Any) -> Tensor:
        """Return the head's loss."""
        if self._criterion is None:
            raise _headless("trained")
        return self._criterion(outputs, target)

    def metrics(self) -> DetectionSink:
        """Return an empty accumulator."""
        return DetectionSink(self.class_names, self.decode)

    def decode(self, outputs: Sequence[Tensor]) -> Sequence[Boxes]:
        """Return the boxes found in each sample."""
        if self._decoder is None:
            raise _headless("decoded")
        return self._decoder(outputs)

    def collate(self, samples: Sequence[tuple[Any, Any]]) -> tuple[Tensor, list[Any]]:
        """Return (batch, …) inputs and the list of targets."""
        return stack_inputs(samples), [target for _, target in samples]


def _headless(what: str) -> UnsupportedError:
    return UnsupportedError(
        f"a detector cannot be {what} without its head: the built-in task does not know what the "
        "network's outputs mean",
        hint="use a plugin that offers its task under the entry-point group nibblefit.tasks",
    )


class DetectionSink:
    """Average precision per class at an overlap of 0.5."""

    def __init__(self, class_names: Sequence[str], decode: Decoder) -> None:
        self._names = tuple(class_names)
        self._decode = decode
        self._precision = AveragePrecision(len(self._names))

    def update(self, outputs: Sequence[Tensor], target: Any) -> None:
        """Add one batch; `target` is a sequence of mappings with boxes and labels."""
        for found, wanted in zip(self._decode(outputs), target, strict=True):
            boxes = np.asarray(wanted["boxes"], np.float64).reshape(-1, 4)
            self._precision.add(found, boxes, np.asarray(wanted["labels"], np.int64))

    def compute(self) -> Mapping[str, float]:
        """Return ``map50``: the mean over all classes that occur."""
        present = [value for value in self._precision.per_class() if value is not None]
        return {"map50": sum(present) / len(present)} if present else {}

    def report(self, subject: str) -> Report:
        """Return the metric and average precision per class."""
        rows = tuple(zip(self._names, self._precision.per_class(), strict=True))
        return Report(
            subject,
            metrics=frozen_mapping(self.compute()),
            tables=(Table("Classes", ("class", "average precision"), rows),),
        )


def make(recipe: Recipe, data: DataSource) -> Detection:
    """Return the detection task without a head: its data can be read and collated."""
    read_options(DetectionOptions, recipe.task.options, "detection", "task.options")
    return Detection(data.class_names)
