"""The single-shot loss: location of matched anchors, class of these and of the hardest others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from nibblefit.tasks.collating import as_tensor
from nibblefit.tasks.detection.coding import NEUTRAL, corners, encode, match
from nibblefit.tasks.detection.options import DetectionOptions


def single_shot_loss(
    locations: Tensor, scores: Tensor, anchors: Tensor, targets: Sequence[Any],
    options: DetectionOptions,
) -> Tensor:  # fmt: skip
    """Return the loss of a batch: (class loss + weight × location loss) per matched anchor.

    Location: smooth L1 of matched anchors. Class: cross entropy of matched anchors and of the
    `negatives` times as many unmatched ones whose loss is largest, picture by picture or over the
    whole batch. Anchors between `neutral` and `matching` are left out. Difficult boxes are matched
    like others.

    Args:
        locations: (batch, anchors, 4), as `encode` defines them.
        scores: (batch, anchors, classes + 1), background first, before the activation.
        anchors: (anchors, 4), centre and size.
        targets: Mappings with ``boxes`` (count, 4) in pixels and ``labels`` (count,) from 0.
        options: Matching, mining and weights.
    """
    classes, wanted = _targets(anchors, targets, options, scores.device)
    return matched_loss(locations, scores, classes, wanted, options)


def matched_loss(locations: Tensor, scores: Tensor, classes: Tensor, wanted: Tensor,
                 options: DetectionOptions) -> Tensor:  # fmt: skip
    """Return the loss of a batch whose anchors are already matched.

    Args:
        locations: (batch, anchors, 4).
        scores: (batch, anchors, classes + 1), before the activation.
        classes: (batch, anchors): 0 background, -1 left out.
        wanted: (matched, 4) codes of the anchors whose class is above 0, in their order.
        options: Mining and weights.
    """
    positive = classes > 0
    entropy = _entropy(scores, classes.clamp(min=0), options)
    count = positive.sum(dim=1)
    chosen = positive | _hardest(entropy.detach(), classes, count, options)
    place = functional.smooth_l1_loss(locations[positive], wanted, reduction="sum")
    total = (entropy * chosen).sum() + options.location_weight * place
    return total / count.sum().clamp(min=1)


def _targets(
    anchors: Tensor, targets: Sequence[Any], options: DetectionOptions, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return (batch, anchors) classes, 0 background, -1 left out, and codes of those above 0."""
    variances = torch.tensor(options.variances, device=device)
    edges = corners(anchors)
    classes = torch.zeros(len(targets), len(anchors), dtype=torch.long, device=device)
    wanted = []
    for row, target in zip(classes, targets, strict=True):
        boxes = as_tensor(target["boxes"], device, torch.float32).reshape(-1, 4)
        labels = as_tensor(target["labels"], device, torch.long).reshape(-1)
        chosen = match(edges, boxes, options.matching, options.neutral)
        row[chosen == NEUTRAL] = -1
        matched = torch.nonzero(chosen >= 0).squeeze(1)
        own = chosen[matched]
        row[matched] = labels[own] + 1
        wanted.append(encode(boxes[own], anchors[matched], variances))
    return classes, torch.cat(wanted)


def _entropy(scores: Tensor, classes: Tensor, options: DetectionOptions) -> Tensor:
    if options.activation == "softmax":
        return functional.cross_entropy(scores.transpose(1, 2), classes, reduction="none")
    hot = functional.one_hot(classes, scores.shape[-1]).to(scores.dtype)
    return functional.binary_cross_entropy_with_logits(scores, hot, reduction="none").sum(dim=-1)


def _hardest(entropy: Tensor, classes: Tensor, count: Tensor, options: DetectionOptions) -> Tensor:
    """Return the unmatched anchors with the largest loss, (batch, anchors)."""
    if options.negatives_from == "batch":
        shape = classes.shape
        entropy, classes = entropy.reshape(1, -1), classes.reshape(1, -1)
        found = _hardest_of_rows(entropy, classes, count.sum(dim=0, keepdim=True), options)
        return found.reshape(shape)
    return _hardest_of_rows(entropy, classes, count, options)


def _hardest_of_rows(
    entropy: Tensor, classes: Tensor, count: Tensor, options: DetectionOptions
) -> Tensor:
    free = classes == 0
    rest = entropy.masked_fill(~free, -1.0)
    asked = (count * options.negatives).clamp(min=options.least_negatives)
    most = free.sum(dim=1)
    places = torch.arange(entropy.shape[1], device=entropy.device)
    first = places < torch.minimum(asked, most)[:, None]
    order = rest.argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(free).scatter_(1, order, first)
