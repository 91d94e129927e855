"""The single-shot loss: location of matched anchors, class of these and of the hardest others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nibblefit.tasks.collating import as_tensor
from nibblefit.tasks.detection.coding import corners, encode, match
from nibblefit.tasks.detection.options import DetectionOptions


def single_shot_loss(
    locations: Tensor, scores: Tensor, anchors: Tensor, targets: Sequence[Any],
    options: DetectionOptions,
) -> Tensor:  # fmt: skip
    """Return the loss of a batch: (class loss + weight × location loss) per matched anchor.

    Location: smooth L1 of matched anchors. Class: cross entropy of matched anchors and of the
    `negatives` times as many unmatched ones whose loss is largest, picture by picture. Difficult
    boxes are matched like others.

    Args:
        locations: (batch, anchors, 4), as `encode` defines them.
        scores: (batch, anchors, classes + 1), background first, before the activation.
        anchors: (anchors, 4), centre and size.
        targets: Mappings with ``boxes`` (count, 4) in pixels and ``labels`` (count,) from 0.
        options: Matching, mining and weights.
    """
    wanted, classes = _targets(anchors, targets, options, scores.device)
    positive = classes > 0
    entropy = _entropy(scores, classes, options)
    count = positive.sum(dim=1)
    chosen = positive | _hardest(entropy.detach(), positive, count, options)
    place = functional.smooth_l1_loss(locations, wanted, reduction="none").sum(dim=-1)
    total = (entropy * chosen).sum() + options.location_weight * (place * positive).sum()
    return total / count.sum().clamp(min=1)


def _targets(
    anchors: Tensor, targets: Sequence[Any], options: DetectionOptions, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return (batch, anchors, 4) wanted codes and (batch, anchors) classes, 0 background."""
    variances = torch.tensor(options.variances, device=device)
    edges = corners(anchors)
    wanted, classes = [], []
    for target in targets:
        boxes = as_tensor(target["boxes"], device, torch.float32).reshape(-1, 4)
        labels = as_tensor(target["labels"], device, torch.long).reshape(-1)
        chosen = match(edges, boxes, options.matching)
        if len(boxes) == 0:
            wanted.append(torch.zeros_like(anchors))
            classes.append(torch.zeros(len(anchors), dtype=torch.long, device=device))
            continue
        own = chosen.clamp(min=0)
        wanted.append(encode(boxes[own], anchors, variances))
        classes.append(torch.where(chosen >= 0, labels[own] + 1, torch.zeros_like(own)))
    return torch.stack(wanted), torch.stack(classes)


def _entropy(scores: Tensor, classes: Tensor, options: DetectionOptions) -> Tensor:
    if options.activation == "softmax":
        return functional.cross_entropy(scores.transpose(1, 2), classes, reduction="none")
    hot = functional.one_hot(classes, scores.shape[-1]).to(scores.dtype)
    return functional.binary_cross_entropy_with_logits(scores, hot, reduction="none").sum(dim=-1)


def _hardest(entropy: Tensor, positive: Tensor, count: Tensor, options: DetectionOptions) -> Tensor:
    """Return the unmatched anchors with the largest loss, (batch, anchors)."""
    rest = entropy.masked_fill(positive, -1.0)
    asked = (count * options.negatives).clamp(min=options.least_negatives)
    most = (~positive).sum(dim=1)
    rank = rest.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    chosen: Tensor = (rank < torch.minimum(asked, most)[:, None]) & ~positive
    return chosen
