"""A detector's outputs: heads of locations and class scores, as one list over all anchors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from nibblefit.errors import InputError
from nibblefit.tasks.detection.anchors import HeadShape

_CONVENTION = (
    "end the network in one pair of maps per head: locations with 4 channels per anchor, scores "
    "with one channel per anchor for the background and for each class; either pair after pair or "
    "all locations before all scores"
)


def paired(outputs: Sequence[Tensor], classes: int) -> list[tuple[Tensor, Tensor]]:
    """Return (locations, scores) maps of each head.

    Args:
        outputs: Maps (batch, channels, height, width), pair after pair, or all locations and then
            all scores.
        classes: Number of classes without background.

    Raises:
        InputError: The outputs are no heads of such a detector.
    """
    if len(outputs) % 2 == 0 and all(output.ndim == 4 for output in outputs):
        half = len(outputs) // 2
        for pairs in (
            list(zip(outputs[::2], outputs[1::2], strict=True)),
            list(zip(outputs[:half], outputs[half:], strict=True)),
        ):
            if pairs and all(_belong(*pair, classes + 1) for pair in pairs):
                return pairs
    raise InputError(
        "the network's outputs are no detection heads for "
        f"{classes} classes: {', '.join(str(list(output.shape[1:])) for output in outputs)}",
        hint=_CONVENTION,
    )


def _belong(locations: Tensor, scores: Tensor, classes: int) -> bool:
    anchors, rest = divmod(locations.shape[1], 4)
    return (
        rest == 0
        and scores.shape[1] == anchors * classes
        and locations.shape[2:] == scores.shape[2:]
    )


def shapes_of(pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[HeadShape, ...]:
    """Return the heads' shapes."""
    return tuple(
        HeadShape(locations.shape[2], locations.shape[3], locations.shape[1] // 4)
        for locations, _ in pairs
    )


def joined(pairs: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return (batch, anchors, 4) locations and (batch, anchors, classes + 1) scores.

    Order: head, row, column, anchor: channels are listed anchor by anchor, as Permute and Flatten
    do in Caffe's detectors.
    """
    locations = [_listed(one, 4) for one, _ in pairs]
    scores = [_listed(two, two.shape[1] * 4 // one.shape[1]) for one, two in pairs]
    return torch.cat(locations, dim=1), torch.cat(scores, dim=1)


def _listed(maps: Tensor, numbers: int) -> Tensor:
    return maps.permute(0, 2, 3, 1).reshape(maps.shape[0], -1, numbers)
