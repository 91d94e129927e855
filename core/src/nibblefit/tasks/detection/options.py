"""Keys of ``task.options`` for detection: anchors, matching, loss, and what is kept of the boxes.

The defaults are those of the single-shot detector (Liu et al., SSD, ECCV 2016): scales from 0.1 to
0.9 of the input's shorter side, overlap 0.5, three negatives per positive, variances 0.1 and 0.2.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from nibblefit.data.options import ReaderOptions
from nibblefit.tasks.average_precision import Claims

Share = Annotated[float, Field(gt=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]


class DetectionOptions(ReaderOptions):
    """Keys of ``task.options``."""

    scales: tuple[Share, ...] = Field(
        default=(),
        description="Anchor sizes of each head as a share of the input's shorter side, and one "
        "more for the last head's larger anchor. Empty: evenly from 0.1 to 0.9.",
    )
    sizes: tuple[tuple[Positive, ...], ...] = Field(
        default=(),
        description="Anchor sizes of each head in pixels, [smaller, larger]; takes the place of "
        "scales.",
    )
    ratios: tuple[tuple[Positive, ...], ...] = Field(
        default=(),
        description="Width over height of each head's anchors beyond 1, such as [[2, 0.5]]; one "
        "list serves all heads. Empty: as the number of channels says (4 anchors: 2 and 1/2; 6: "
        "also 3 and 1/3).",
    )
    two_squares: bool = Field(
        default=True, description="A second, larger square anchor: the mean to the next scale."
    )
    steps: tuple[Positive, ...] = Field(
        default=(),
        description="Pixels between anchors, per head. Empty: input size over map size.",
    )
    offset: float = Field(default=0.5, description="Centre of the first anchor, in steps.")
    clip: bool = Field(default=False, description="Cut anchors off at the input's border.")
    variances: tuple[Positive, Positive, Positive, Positive] = Field(
        default=(0.1, 0.1, 0.2, 0.2),
        description="What the network's x, y, width and height are multiplied by.",
    )
    matching: Share = Field(
        default=0.5, description="Overlap from which an anchor stands for a box."
    )
    neutral: Share | None = Field(
        default=None,
        description="Anchors that stand for no box but overlap one at least so much are left out "
        "of the loss. Unset: they are background.",
    )
    negatives_from: Literal["picture", "batch"] = Field(
        default="picture",
        description="Hardest negatives are chosen picture by picture, or over the whole batch.",
    )
    negatives: Positive = Field(
        default=3.0, description="Hardest negatives in the loss, per positive."
    )
    least_negatives: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Negatives of a picture without boxes."
    )
    location_weight: Annotated[float, Field(ge=0.0)] = Field(
        default=1.0, description="Weight of the location loss against the class loss."
    )
    activation: Literal["softmax", "sigmoid"] = Field(
        default="softmax", description="How class scores become probabilities."
    )
    score: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        default=0.01, description="Boxes with less confidence are dropped."
    )
    overlap: Share = Field(
        default=0.45, description="Of boxes of a class that overlap more, the best one stays."
    )
    keep: Annotated[int, Field(gt=0)] = Field(
        default=200, description="Most boxes per picture; of each class, twice as many are looked "
        "at.",
    )  # fmt: skip
    precision: Literal["integrate", "sample"] = Field(
        default="integrate",
        description="Average precision as the area under the curve (VOC since 2010), or the mean "
        "of 11 samples of it (VOC 2007).",
    )
    claims: Claims = Field(
        default="nearest",
        description="What a detection counts as: its nearest box (VOC), or the nearest that no "
        "better detection has claimed (COCO, TAO).",
    )
    absent: Literal["skip", "zero"] = Field(
        default="skip",
        description="A class that no picture holds is left out of the mean precision, or counts "
        "as 0 (TAO).",
    )
    whole_pixels: bool = Field(
        default=False, description="Round the boxes that are found to whole pixels, as TAO does."
    )

    @model_validator(mode="after")
    def _one_way_of_sizing(self) -> DetectionOptions:
        if self.scales and self.sizes:
            raise ValueError("scales or sizes, not both")
        if any(len(pair) not in (1, 2) for pair in self.sizes):
            raise ValueError("sizes holds [smaller, larger] or [size] per head")
        return self
