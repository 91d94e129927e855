"""Classification: one class per input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from nibblefit.data.options import ReaderOptions, read_options
from nibblefit.errors import InputError, RecipeError
from nibblefit.ir.graph import frozen_mapping
from nibblefit.results import Report
from nibblefit.tasks.collating import as_tensor, stack_inputs
from nibblefit.tasks.confusion import Confusion, per_class_table

if TYPE_CHECKING:
    from nibblefit.data.source import DataSource
    from nibblefit.recipe import Recipe


class ClassificationOptions(ReaderOptions):
    """Keys of ``task.options``."""

    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the target spread over all classes."
    )
    outputs: Literal["logits", "probabilities"] = Field(
        default="logits",
        description="What the network's first output is; probabilities if it ends in softmax.",
    )


class Classification:
    """Cross entropy; judged by top-1.

    Args:
        class_names: Names in the order of the network's outputs.
        options: See `ClassificationOptions`.
    """

    name = "classification"
    metric = "top1"
    maximize = True

    def __init__(
        self,
        class_names: Sequence[str],
        options: ClassificationOptions | None = None,
    ) -> None:
        self.class_names = tuple(class_names)
        self.options = options or ClassificationOptions()

    def loss(self, outputs: Sequence[Tensor], target: Any) -> Tensor:
        """Return the mean cross entropy of a batch."""
        scores = class_scores(outputs, self.class_names)
        labels = as_tensor(target, scores.device, torch.long)
        smoothing = self.options.label_smoothing
        if self.options.outputs == "logits":
            return functional.cross_entropy(scores, labels, label_smoothing=smoothing)
        # The smallest normal number keeps the logarithm of an exact zero finite.
        logs = scores.clamp_min(torch.finfo(scores.dtype).tiny).log()
        wanted = functional.nll_loss(logs, labels)
        return (1.0 - smoothing) * wanted - smoothing * logs.mean()

    def metrics(self) -> ClassificationSink:
        """Return an empty accumulator."""
        return ClassificationSink(self.class_names)

    def decode(self, outputs: Sequence[Tensor]) -> Tensor:
        """Return class numbers (batch,); the lowest of equal scores wins."""
        return class_scores(outputs, self.class_names).argmax(1)

    def collate(self, samples: Sequence[tuple[Any, Any]]) -> tuple[Tensor, Tensor]:
        """Return (batch, …) inputs and (batch,) class numbers."""
        return stack_inputs(samples), torch.tensor([int(target) for _, target in samples])


def class_scores(outputs: Sequence[Tensor], class_names: Sequence[str]) -> Tensor:
    """Return the first output as (batch, classes), after checking the number of classes.

    Raises:
        InputError: The network's last layer and the data set disagree.
    """
    scores = outputs[0].flatten(1)
    if scores.shape[1] < max(len(class_names), 2):
        raise InputError(
            f"the network's first output has {scores.shape[1]} values per sample, the data set "
            f"{len(class_names)} classes",
            hint="give the last layer one output per class",
        )
    return scores


class ClassificationSink:
    """Top-1, top-5 (with more than five classes) and the confusion matrix.

    Of equal scores the lowest class number ranks first, as in hardware and in numpy's argmax, so
    integer outputs, which often tie, are ranked the same everywhere.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self._names = tuple(class_names)
        self._confusion: Confusion | None = None
        self._in_five = 0
        self._count = 0

    def update(self, outputs: Sequence[Tensor], target: Any) -> None:
        """Add one batch; real or integer scores."""
        scores = class_scores(outputs, self._names).detach()
        labels = as_tensor(target, scores.device, torch.long)
        classes = scores.shape[1]
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            raise InputError(
                f"a label lies outside 0 … {classes - 1}", hint="check the data set's labels"
            )
        if self._confusion is None:
            self._confusion = Confusion(classes)
        self._confusion.add(labels, scores.argmax(1))
        own = scores.gather(1, labels[:, None])
        before = torch.arange(classes, device=scores.device)[None, :] < labels[:, None]
        # NaN compares false with everything: it must not look like a first place.
        ahead = ~(scores <= own) | ((scores == own) & before)
        self._in_five += int((ahead.sum(1) < 5).sum())
        self._count += len(labels)

    def compute(self) -> Mapping[str, float]:
        """Return ``top1``, and ``top5`` with more than five classes; fractions 0…1."""
        if self._confusion is None or self._count == 0:
            return {}
        hits = int(self._confusion.counts.trace())
        found = {"top1": hits / self._count}
        if self._confusion.classes > 5:
            found["top5"] = self._in_five / self._count
        return found

    def report(self, subject: str) -> Report:
        """Return metrics, the per-class table and the confusion matrix."""
        if self._confusion is None:
            return Report(subject)
        counts = self._confusion.counts
        names = [*self._names, *map(str, range(len(self._names), len(counts)))]
        return Report(
            subject,
            metrics=frozen_mapping(self.compute()),
            tables=(per_class_table(counts, names),),
            arrays=frozen_mapping({"confusion": counts.tolist(), "classes": names}),
        )


def make(recipe: Recipe, data: DataSource) -> Classification:
    """Return the recipe's classification task."""
    options = read_options(
        ClassificationOptions, recipe.task.options, "classification", "task.options"
    )
    if len(data.class_names) == 0:
        raise RecipeError(
            "the data set has no classes, and task.kind is 'classification'",
            hint="use data with integer labels, or another task",
        )
    return Classification(data.class_names, options)
