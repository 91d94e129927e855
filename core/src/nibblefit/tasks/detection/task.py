"""Detection: boxes with classes, found by a single-shot head or by one a plugin brings.

The built-in head is that of SSD (see `heads`): maps of locations and scores relative to anchors.
Targets of a sample are a mapping ``{"boxes": (count, 4) float, "labels": (count,) int,
"difficult": (count,) bool}``, the last one optional; boxes are (left, top, right, bottom) in pixels
of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from nibblefit.data.options import read_options
from nibblefit.errors import InputError
from nibblefit.tasks.average_precision import Boxes
from nibblefit.tasks.collating import stack_inputs
from nibblefit.tasks.detection.anchors import HeadShape, anchors_of
from nibblefit.tasks.detection.coding import decode
from nibblefit.tasks.detection.heads import joined, paired, shapes_of
from nibblefit.tasks.detection.judging import Decoder, DetectionSink
from nibblefit.tasks.detection.loss import single_shot_loss
from nibblefit.tasks.detection.options import DetectionOptions
from nibblefit.tasks.detection.suppression import detections

if TYPE_CHECKING:
    from nibblefit.data.source import DataSource
    from nibblefit.recipe import Recipe

#: (outputs, targets of the batch) → scalar loss.
Criterion: TypeAlias = Callable[[Sequence[Tensor], Any], Tensor]


class SingleShot:
    """The built-in head: loss and boxes of heads of locations and scores.

    Args:
        classes: Number of classes without background.
        size: (height, width) of the input in pixels.
        options: See `DetectionOptions`.
    """

    def __init__(self, classes: int, size: tuple[int, int], options: DetectionOptions) -> None:
        self._classes = classes
        self._size = size
        self._options = options
        self._anchors: dict[tuple[HeadShape, ...], Tensor] = {}

    def loss(self, outputs: Sequence[Tensor], targets: Any) -> Tensor:
        """Return the loss of a batch."""
        locations, scores, anchors = self._read(outputs)
        return single_shot_loss(locations, scores, anchors, targets, self._options)

    def decode(self, outputs: Sequence[Tensor]) -> list[Boxes]:
        """Return the boxes of each picture, best first, cut off at its border."""
        locations, scores, anchors = self._read(outputs)
        options = self._options
        variances = torch.tensor(options.variances, device=locations.device)
        places = decode(locations, anchors, variances)
        limits = torch.tensor([self._size[1], self._size[0]] * 2, device=places.device)
        boxes = torch.minimum(places.clamp(min=0), limits).double().cpu().numpy()
        sigmoid = options.activation == "sigmoid"
        likely = scores.sigmoid() if sigmoid else scores.softmax(dim=-1)
        chances = likely[..., 1:].double().cpu().numpy()
        found = [
            detections(own, chance, score=options.score, overlap=options.overlap, keep=options.keep)
            for own, chance in zip(boxes, chances, strict=True)
        ]
        if options.whole_pixels:
            return [one._replace(boxes=np.rint(one.boxes)) for one in found]
        return found

    def _read(self, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        pairs = paired(outputs, self._classes)
        heads = shapes_of(pairs)
        if heads not in self._anchors:
            anchors = anchors_of(heads, self._size, self._options).astype(np.float32)
            self._anchors[heads] = torch.from_numpy(anchors)
        locations, scores = joined(pairs)
        return locations, scores, self._anchors[heads].to(locations.device)


class Detection:
    """Loss and decoding of a head; judged by the mean average precision at 0.5 overlap.

    Args:
        class_names: Names in the order of the labels.
        criterion: Loss of the head.
        decoder: Boxes from outputs.
        options: Those of the recipe; how detections are judged.
    """

    name = "detection"
    metric = "map50"
    maximize = True

    def __init__(
        self, class_names: Sequence[str], criterion: Criterion, decoder: Decoder,
        options: DetectionOptions | None = None,
    ) -> None:  # fmt: skip
        self.class_names = tuple(class_names)
        self._criterion = criterion
        self._decoder = decoder
        self.options = options or DetectionOptions()

    def loss(self, outputs: Sequence[Tensor], target: Any) -> Tensor:
        """Return the head's loss."""
        return self._criterion(outputs, target)

    def metrics(self) -> DetectionSink:
        """Return an empty accumulator."""
        return DetectionSink(self.class_names, self.decode, self.options)

    def decode(self, outputs: Sequence[Tensor]) -> Sequence[Boxes]:
        """Return the boxes found in each sample."""
        return self._decoder(outputs)

    def collate(self, samples: Sequence[tuple[Any, Any]]) -> tuple[Tensor, list[Any]]:
        """Return (batch, …) inputs and the list of targets."""
        return stack_inputs(samples), [target for _, target in samples]


def make(recipe: Recipe, data: DataSource) -> Detection:
    """Return the detection task with the built-in head.

    Raises:
        InputError: The data are no pictures with classes.
    """
    options = read_options(DetectionOptions, recipe.task.options, "detection", "task.options")
    if len(data.input_shape) != 3 or not data.class_names:
        raise InputError(
            f"detection needs pictures with classes, the data set has inputs of shape "
            f"{list(data.input_shape)} and {len(data.class_names)} classes",
            hint="use a data source with boxes, such as data.source = 'voc'",
        )
    head = SingleShot(len(data.class_names), data.input_shape[1:], options)
    return Detection(data.class_names, head.loss, head.decode, options)
