"""How detections are judged: average precision, and examples of what was found to look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

from nibblefit.ir.graph import frozen_mapping
from nibblefit.results import DETECTIONS, Report, Table
from nibblefit.tasks.average_precision import AveragePrecision, Boxes, Labels
from nibblefit.tasks.detection.options import DetectionOptions

#: outputs → for each sample boxes (count, 4), labels (count,), scores (count,).
Decoder: TypeAlias = Callable[[Sequence[Tensor]], Sequence[Boxes]]
#: Samples of which the boxes are kept, and the most boxes of one, best first.
SAMPLES, MOST = 4, 100


class DetectionSink:
    """Average precision per class at an overlap of 0.5; keeps what it sees in the first samples.

    Args:
        class_names: Names in the order of the labels.
        decode: Boxes from outputs.
        options: Say how detections are judged.
    """

    def __init__(
        self, class_names: Sequence[str], decode: Decoder, options: DetectionOptions | None = None
    ) -> None:
        options = options or DetectionOptions()
        self._names = tuple(class_names)
        self._decode = decode
        self._absent = 0.0 if options.absent == "zero" else None
        self._precision = AveragePrecision(
            len(self._names), sampled=options.precision == "sample", claims=options.claims
        )
        self._examples: list[list[list[float]]] = []

    def update(self, outputs: Sequence[Tensor], target: Any) -> None:
        """Add one batch; `target` is a sequence of mappings with boxes and labels."""
        for found, wanted in zip(self._decode(outputs), target, strict=True):
            boxes = np.asarray(wanted["boxes"], np.float64).reshape(-1, 4)
            difficult = wanted.get("difficult")
            verdicts = self._precision.add(
                found, boxes, np.asarray(wanted["labels"], np.int64),
                None if difficult is None else np.asarray(difficult, bool),
            )  # fmt: skip
            if len(self._examples) < SAMPLES:
                self._examples.append(_listed(found, verdicts))

    def compute(self) -> Mapping[str, float]:
        """Return ``map50``: the mean over all classes, or over those that occur."""
        present = [value for _, value in self._present()]
        return {"map50": sum(present) / len(present)} if any(self._precision.wanted()) else {}

    def details(self) -> Mapping[str, Mapping[str, float]]:
        """Return the average precision of each class that ``map50`` counts, as ``ap50``."""
        return {"ap50": dict(self._present())} if any(self._precision.wanted()) else {}

    def _present(self) -> list[tuple[str, float]]:
        each = zip(self._names, self._precision.per_class(), strict=True)
        filled = ((name, self._absent if value is None else value) for name, value in each)
        return [(name, value) for name, value in filled if value is not None]

    def report(self, subject: str) -> Report:
        """Return the metric, average precision per class, and the examples."""
        rows = tuple(
            zip(self._names, self._precision.wanted(), self._precision.per_class(), strict=True)
        )
        return Report(
            subject,
            metrics=frozen_mapping(self.compute()),
            tables=(Table("Classes", ("class", "boxes", "average precision"), rows),),
            arrays=frozen_mapping({DETECTIONS: self._examples} if self._examples else {}),
        )


def _listed(found: Boxes, verdicts: Labels) -> list[list[float]]:
    """Return the best boxes of a sample, to a hundredth of a pixel."""
    best = np.argsort(-found.scores, kind="stable")[:MOST]
    columns = (
        *found.boxes[best].round(2).T.tolist(), found.labels[best].tolist(),
        found.scores[best].round(4).tolist(), verdicts[best].tolist(),
    )  # fmt: skip
    return [list(row) for row in zip(*columns, strict=True)]
