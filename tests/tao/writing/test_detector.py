"""The description beside a detector's engine: enough to find the same boxes by it alone."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from nibblefit.nn.capture import capture
from nibblefit.nn.network import Network
from nibblefit.recipe import DataSection
from nibblefit.tasks.detection import Detection, DetectionOptions, SingleShot
from nibblefit_tao.networks.ssd_resnet import SsdResNet18
from nibblefit_tao.writing.detector import detector_text

SIZE = (64, 96)
OPTIONS = {
    "scales": {"score": 0.2},
    "sizes": {"sizes": [[10, 20], [30, 40], [50, 60]], "offset": 0.25, "score": 0.2, "keep": 7},
    "sigmoid": {"activation": "sigmoid", "steps": [8, 16, 32], "clip": True, "score": 0.4},
}  # fmt: skip


def area(box: Any) -> float:
    """Return a box's area."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def overlap(one: Any, two: Any) -> float:
    """Return the intersection over union of two boxes."""
    low, high = np.maximum(one[:2], two[:2]), np.minimum(one[2:], two[2:])
    shared = area(np.concatenate([low, high])) if (high > low).all() else 0.0
    return shared / max(area(one) + area(two) - shared, 1e-12)


def candidates(facts: Any, outputs: dict[str, Any]) -> list[tuple[float, int, Any]]:
    """Return (score, class, box) of every anchor and class, by the words of the README alone."""
    _, height, width = facts["input"]["shape"]
    limits, found = np.array([width, height, width, height]), []
    for head in facts["heads"]:
        count, classes = len(head["anchors"]), len(facts["classes"])
        for row, column, entry in np.ndindex(*head["places"], count):
            centre = np.array([(column + head["offset"]) * head["step"][1],
                               (row + head["offset"]) * head["step"][0]])  # fmt: skip
            size = np.array(head["anchors"][entry])
            if facts["clip_anchors"]:
                edges = np.clip([centre - size / 2, centre + size / 2], 0, limits[:2])
                centre, size = edges.mean(axis=0), edges[1] - edges[0]
            t = outputs[head["locations"]][4 * entry : 4 * entry + 4, row, column]
            t = t.astype(np.float64) * facts["variances"]
            middle, half = centre + t[:2] * size, size * np.exp(t[2:]) / 2
            box = np.clip(np.concatenate([middle - half, middle + half]), 0, limits)
            raw = outputs[head["scores"]][classes * entry : classes * (entry + 1), row, column]
            powers = np.exp(raw.astype(np.float64))
            sigmoid = facts["activation"] == "sigmoid"
            chances = powers / (1 + powers) if sigmoid else powers / powers.sum()
            found += [(chances[n], n, box) for n in range(1, classes)]
    return [one for one in found if one[0] >= facts["least_score"]]


def kept(facts: Any, found: list[tuple[float, int, Any]]) -> list[tuple[float, int, Any]]:
    """Return what stays, best first."""
    stay: list[tuple[float, int, Any]] = []
    for label in range(1, len(facts["classes"])):
        own = sorted((one for one in found if one[1] == label), key=lambda one: -one[0])
        boxes: list[Any] = []
        for one in own[: facts["candidates"]]:
            if all(overlap(one[2], box) <= facts["largest_overlap"] for box in boxes):
                boxes.append(one[2])
                stay.append(one)
    return sorted(stay, key=lambda one: -one[0])[: facts["most_boxes"]]


@pytest.mark.parametrize("name", OPTIONS)
def test_the_same_boxes_are_found_by_the_description_alone(name: str) -> None:
    """Anchors, variances, activation, scores and overlaps, from a network's real outputs."""
    torch.manual_seed(1)
    graph = capture(SsdResNet18(2, 6, width=0.125, levels=3).eval(), (3, *SIZE))
    options = DetectionOptions.model_validate(OPTIONS[name])
    head = SingleShot(2, SIZE, options)
    task = Detection(("a", "b"), head.loss, head.decode, options)
    data = DataSection(source="voc", path=".", range=(-1.0, 1.0))
    facts = json.loads(detector_text(graph, task, data))
    assert facts["classes"] == ["background", "a", "b"]
    assert facts["input"] == {"name": graph.inputs[0], "shape": [3, *SIZE], "range": [-1.0, 1.0],
                              "mean": [], "std": []}  # fmt: skip
    with torch.no_grad():
        outputs = [0.3 * value for value in Network(graph).eval()(torch.randn(1, 3, *SIZE))]
    (wanted,) = task.decode(outputs)
    values = {n: value[0].numpy() for n, value in zip(graph.outputs, outputs, strict=True)}
    found = kept(facts, candidates(facts, values))
    assert len(found) == len(wanted.scores) > 5
    assert [label - 1 for _, label, _ in found] == wanted.labels.tolist()
    np.testing.assert_allclose([score for score, _, _ in found], wanted.scores, rtol=1e-5)
    np.testing.assert_allclose([box for _, _, box in found], wanted.boxes, atol=1e-3)
