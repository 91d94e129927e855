"""Boxes as offsets from anchors, and back; which anchor stands for which box."""

from __future__ import annotations

import torch
from torch import Tensor


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
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    areas = [(b[:, 2:] - b[:, :2]).clamp(min=0).prod(dim=-1) for b in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return torch.where(union > 0, shared / union.clamp(min=1e-12), torch.zeros_like(shared))


def match(anchors: Tensor, boxes: Tensor, threshold: float) -> Tensor:
    """Return for each anchor the number of its box, -1 where it stands for none.

    Every box gets the anchor that overlaps it most, boxes with the greatest overlap choosing first;
    other anchors stand for the box they overlap most, from the threshold on.

    Args:
        anchors: (count, 4) corners.
        boxes: (wanted, 4) corners.
        threshold: Least overlap.
    """
    if len(boxes) == 0:
        return torch.full((len(anchors),), -1, dtype=torch.long, device=anchors.device)
    shares = pairwise_overlap(anchors, boxes)
    best, chosen = shares.max(dim=1)
    chosen = torch.where(best >= threshold, chosen, torch.full_like(chosen, -1))
    free = shares.clone()
    for _ in range(min(len(boxes), len(anchors))):
        place = int(free.argmax())
        anchor, box = divmod(place, free.shape[1])
        chosen[anchor] = box
        free[anchor, :] = -1.0
        free[:, box] = -1.0
    return chosen
