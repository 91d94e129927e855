"""Boxes as offsets from anchors, and back; which anchor stands for which box."""

from __future__ import annotations

import torch
from torch import Tensor

#: Mark of anchors that are too near a box to be background, and too far to stand for it.
NEUTRAL = -2


def corners(centred: Tensor) -> Tensor:
    """Return (left, top, right, bottom) of (centre x, centre y, width, height)."""
    half = centred[..., 2:] / 2
    return torch.cat([centred[..., :2] - half, centred[..., :2] + half], dim=-1)


def centred(boxes: Tensor) -> Tensor:
    """Return (centre x, centre y, width, height) of (left, top, right, bottom)."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def encode(boxes: Tensor, anchors: Tensor, variances: Tensor) -> Tensor:
    """Return what the network should say for boxes (left, top, right, bottom) at anchors.

    Centres are offsets in units of the anchor, sizes logarithms, both divided by the variances.
    """
    wanted = centred(boxes)
    place = (wanted[..., :2] - anchors[..., :2]) / anchors[..., 2:]
    scale = torch.log(wanted[..., 2:] / anchors[..., 2:])
    return torch.cat([place, scale], dim=-1) / variances


def decode(codes: Tensor, anchors: Tensor, variances: Tensor) -> Tensor:
    """Return boxes (left, top, right, bottom) from the network's words; undoes `encode`."""
    scaled = codes * variances
    place = scaled[..., :2] * anchors[..., 2:] + anchors[..., :2]
    # A wild output in early training must not overflow.
    size = torch.exp(scaled[..., 2:].clamp(max=20.0)) * anchors[..., 2:]
    return corners(torch.cat([place, size], dim=-1))


def pairwise_overlap(first: Tensor, second: Tensor) -> Tensor:
    """Return the intersection over union of every pair of boxes, (first, second)."""
    left, top, right, bottom = (b[None, :] for b in second.unbind(dim=-1))
    low_x, low_y, high_x, high_y = (b[:, None] for b in first.unbind(dim=-1))
    across = torch.minimum(high_x, right).sub_(torch.maximum(low_x, left)).clamp_(min=0)
    down = torch.minimum(high_y, bottom).sub_(torch.maximum(low_y, top)).clamp_(min=0)
    shared = across.mul_(down)
    areas = [(b[:, 2:] - b[:, :2]).clamp(min=0).prod(dim=-1) for b in (first, second)]
    union = (areas[0][:, None] + areas[1][None, :]).sub_(shared)
    return shared.div_(union.clamp_(min=1e-12))


def match(anchors: Tensor, boxes: Tensor, threshold: float, neutral: float | None = None) -> Tensor:
    """Return for each anchor the number of its box, -1 where it stands for none.

    Every box gets the anchor that overlaps it most, boxes with the greatest overlap choosing first;
    other anchors stand for the box they overlap most, from the threshold on.

    Args:
        anchors: (count, 4) corners.
        boxes: (wanted, 4) corners.
        threshold: Least overlap.
        neutral: Anchors that stand for none and overlap some box at least so much get `NEUTRAL`:
            they are neither right nor wrong. None: there are none.
    """
    if len(boxes) == 0:
        return torch.full((len(anchors),), -1, dtype=torch.long, device=anchors.device)
    shares = pairwise_overlap(anchors, boxes)
    best, chosen = shares.max(dim=1)
    chosen[best < threshold] = -1
    favourites = shares.argmax(dim=0)
    if int(torch.bincount(favourites).max()) == 1:
        # Nobody is in anybody's way, so it does not matter who chooses first.
        chosen[favourites] = torch.arange(len(boxes), device=chosen.device)
    else:
        chosen = _in_turn(chosen, shares)
    if neutral is not None:
        chosen[(chosen < 0) & (best >= neutral)] = NEUTRAL
    return chosen


def _in_turn(chosen: Tensor, shares: Tensor) -> Tensor:
    """Return the choice with an anchor of its own for each box, the greatest overlap first.

    Args:
        chosen: (anchors,) boxes chosen by overlap alone; changed.
        shares: (anchors, boxes) overlaps; changed.
    """
    for _ in range(min(shares.shape)):
        anchor, box = divmod(int(shares.argmax()), shares.shape[1])
        chosen[anchor] = box
        shares[anchor, :] = -1.0
        shares[:, box] = -1.0
    return chosen
