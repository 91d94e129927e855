"""The single-shot loss of batches against its definition, anchor by anchor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nibblefit.tasks.detection import DetectionOptions
from nibblefit.tasks.detection.coding import match
from nibblefit.tasks.detection.loss import single_shot_loss

#: A row of squares of 10 pixels, half overlapping; centre and size.
ANCHORS = [(5.0 + 5 * n, 5.0, 10.0, 10.0) for n in range(6)]


def share(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Return intersection over union of two boxes, the slow way."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    tall = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(wide, 0) * max(tall, 0)
    return shared / (sum((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)) - shared)


def chosen_by_rule(boxes: list[tuple[float, ...]], threshold: float) -> dict[int, int]:
    """Return anchor → box: boxes choose in turn, then anchors from the threshold on."""
    edges = [(x - w / 2, y - h / 2, x + w / 2, y + h / 2) for x, y, w, h in ANCHORS]
    shares = [[share(edge, box) for box in boxes] for edge in edges]
    found = {}
    for anchor, row in enumerate(shares):
        if row and max(row) >= threshold:
            found[anchor] = row.index(max(row))
    free = {(a, b) for a in range(len(edges)) for b in range(len(boxes))}
    while free:
        anchor, box = max(sorted(free), key=lambda pair: shares[pair[0]][pair[1]])
        found[anchor] = box
        free = {(a, b) for a, b in free if a != anchor and b != box}
    return found


def smooth(value: float) -> float:
    """Return the smooth L1 of a difference."""
    return 0.5 * value**2 if abs(value) < 1 else abs(value) - 0.5


def loss_by_rule(
    codes: list[Any], scores: list[Any], targets: list[Any], options: DetectionOptions
) -> float:
    """Return the loss as its text defines it."""
    total, positives = 0.0, 0
    for place, said, target in zip(codes, scores, targets, strict=True):
        boxes = [tuple(map(float, box)) for box in target["boxes"]]
        chosen = chosen_by_rule(boxes, options.matching)
        entropy = {}
        for anchor, row in enumerate(said):
            label = int(target["labels"][chosen[anchor]]) + 1 if anchor in chosen else 0
            entropy[anchor] = math.log(sum(map(math.exp, row))) - row[label]
        rest = sorted((entropy[a] for a in entropy if a not in chosen), reverse=True)
        hard = max(int(len(chosen) * options.negatives), options.least_negatives)
        total += sum(entropy[a] for a in chosen) + sum(rest[:hard])
        for anchor, box in chosen.items():
            (x, y, w, h), (left, top, right, bottom) = ANCHORS[anchor], boxes[box]
            wanted = (
                ((left + right) / 2 - x) / w / 0.1, ((top + bottom) / 2 - y) / h / 0.1,
                math.log((right - left) / w) / 0.2, math.log((bottom - top) / h) / 0.2,
            )  # fmt: skip
            total += options.location_weight * sum(
                smooth(got - want) for got, want in zip(place[anchor], wanted, strict=True)
            )
        positives += len(chosen)
    return total / max(1, positives)


@st.composite
def pictures(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Return targets of one to three pictures, some without boxes."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        boxes = [
            (x, y, x + draw(st.integers(3, 15)), y + draw(st.integers(3, 12)))
            for x, y in draw(st.lists(st.tuples(st.integers(0, 25), st.integers(0, 6)), max_size=4))
        ]
        labels = [draw(st.integers(0, 1)) for _ in boxes]
        found.append({
            "boxes": np.array(boxes, np.float32).reshape(-1, 4), "labels": np.array(labels, int)
        })  # fmt: skip
    return found


@given(pictures(), st.integers(0, 2**32), st.sampled_from([0.35, 0.5]), st.integers(0, 3))
def test_loss_equals_the_definition(
    targets: list[dict[str, Any]], seed: int, threshold: float, least: int
) -> None:
    """Batches with crowded, lonely and no boxes: every term is the one of the definition."""
    generator = np.random.default_rng(seed)
    codes = generator.normal(size=(len(targets), len(ANCHORS), 4))
    scores = generator.normal(size=(len(targets), len(ANCHORS), 3))
    options = DetectionOptions(
        matching=threshold, least_negatives=least, negatives=1.0, location_weight=0.7
    )
    found = single_shot_loss(
        torch.from_numpy(codes).float(), torch.from_numpy(scores).float(), torch.tensor(ANCHORS),
        targets, options,
    )  # fmt: skip
    expected = loss_by_rule(codes.tolist(), scores.tolist(), targets, options)
    assert float(found) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_boxes_with_one_favourite_choose_in_turn() -> None:
    """Two boxes prefer one anchor: the closer one gets it, the other its second choice."""
    anchors = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10], [40, 0, 50, 10]])
    boxes = torch.tensor([[2.0, 0, 12, 10], [0, 0, 9, 10]])
    assert match(anchors, boxes, 0.99).tolist() == [1, 0, -1]


def test_more_boxes_than_anchors() -> None:
    """Each anchor stands for one box; boxes left over have none."""
    anchors = torch.tensor([[0.0, 0, 10, 10]])
    boxes = torch.tensor([[0.0, 0, 6, 10], [0, 0, 9, 10]])
    assert match(anchors, boxes, 0.5).tolist() == [1]
