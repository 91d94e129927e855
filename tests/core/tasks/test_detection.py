"""The single-shot detector: anchors, coding, matching, loss, suppression, and a training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nibblefit.errors import InputError, RecipeError
from nibblefit.tasks.average_precision import AveragePrecision, Boxes
from nibblefit.tasks.detection import DetectionOptions, SingleShot
from nibblefit.tasks.detection.anchors import HeadShape, anchors_of
from nibblefit.tasks.detection.coding import decode, encode, match
from nibblefit.tasks.detection.heads import joined, paired
from nibblefit.tasks.detection.loss import single_shot_loss
from nibblefit.tasks.detection.suppression import detections, suppress
from nibblefit.tasks.detection.task import Detection

PLAIN = DetectionOptions()


def overlap(one, other):
    """Return intersection over union of two boxes, the slow way."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    tall = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(wide, 0) * max(tall, 0)
    areas = sum((b[2] - b[0]) * (b[3] - b[1]) for b in (one, other))
    return shared / (areas - shared) if areas > shared else 0.0


@st.composite
def boxes(draw, most=6, least=0):
    """Return boxes with whole corners, so that overlaps are easy fractions."""
    found = []
    for _ in range(draw(st.integers(least, most))):
        x, y = draw(st.integers(0, 20)), draw(st.integers(0, 20))
        found.append((x, y, x + draw(st.integers(1, 12)), y + draw(st.integers(1, 12))))
    return np.array(found, np.float64).reshape(-1, 4)


def test_anchors_by_hand():
    """Two heads on 100 x 200 pixels: centres, squares, ratios and order as the text says."""
    options = DetectionOptions(scales=(0.1, 0.4, 0.9), ratios=((2.0,),))
    found = anchors_of([HeadShape(1, 2, 3), HeadShape(1, 1, 3)], (100, 200), options)
    root = math.sqrt(2)
    expected = [
        (50, 50, 10, 10), (50, 50, 20, 20), (50, 50, 10 * root, 10 / root),
        (150, 50, 10, 10), (150, 50, 20, 20), (150, 50, 10 * root, 10 / root),
        (100, 50, 40, 40), (100, 50, 60, 60), (100, 50, 40 * root, 40 / root),
    ]  # fmt: skip
    assert np.allclose(found, expected)


def test_anchor_options():
    """Steps, offset, pixel sizes and clipping are honoured; misfits are refused by name."""
    options = DetectionOptions(sizes=((30, 60),), steps=(8,), offset=0.0, two_squares=False,
                               clip=True, ratios=((4.0,),))  # fmt: skip
    found = anchors_of([HeadShape(1, 2, 2)], (40, 64), options)
    assert np.allclose(found[0], (7.5, 7.5, 15, 15))
    assert np.allclose(found[3], ((0 + 38) / 2, 3.75, 38, 7.5))
    assert len(anchors_of([HeadShape(2, 3, 6)], (32, 32), PLAIN)) == 36
    with pytest.raises(RecipeError, match="has 5 anchors per place"):
        anchors_of([HeadShape(1, 1, 5)], (32, 32), PLAIN)
    for key, value in (("steps", (1, 2)), ("ratios", ((2,), (2,))), ("sizes", ((1,), (2,))),
                       ("scales", (0.1,))):  # fmt: skip
        with pytest.raises(RecipeError, match=key):
            anchors_of([HeadShape(1, 1, 3)] * 3, (32, 32), DetectionOptions(**{key: value}))
    with pytest.raises(ValueError, match="not both"):
        DetectionOptions(scales=(0.1,), sizes=((1,),))
    with pytest.raises(ValueError, match="smaller, larger"):
        DetectionOptions(sizes=((1, 2, 3),))


@given(boxes(least=1), st.integers(0, 2**32))
def test_coding_round_trip(wanted, seed):
    """Decoding what was encoded gives the boxes back."""
    anchors = torch.from_numpy(np.random.default_rng(seed).uniform(5, 30, (len(wanted), 4)))
    variances = torch.tensor([0.1, 0.1, 0.2, 0.2], dtype=torch.float64)
    codes = encode(torch.from_numpy(wanted), anchors, variances)
    assert np.allclose(decode(codes, anchors, variances).numpy(), wanted, atol=1e-9)


@given(boxes(8, 1), boxes(5), st.sampled_from([0.3, 0.5, 0.9]))
def test_matching_equals_the_definition(anchors, wanted, threshold):
    """Greatest overlap first, each box once; then every anchor that overlaps enough."""
    found = match(torch.from_numpy(anchors), torch.from_numpy(wanted), threshold).tolist()
    shares = [[overlap(a, w) for w in wanted] for a in anchors]
    expected = [
        row.index(max(row)) if row and max(row) >= threshold - 1e-12 else -1 for row in shares
    ]
    taken: set[int] = set()
    given_to: set[int] = set()
    for _ in range(min(len(anchors), len(wanted))):
        best = max(

                (shares[a][w], -a, -w)
                for a in range(len(anchors)) if a not in taken
                for w in range(len(wanted)) if w not in given_to

        )  # fmt: skip
        taken.add(-best[1])
        given_to.add(-best[2])
        expected[-best[1]] = -best[2]
    assert found == expected


@given(boxes(8), st.randoms(), st.sampled_from([0.2, 0.45, 0.7]))
def test_suppression_equals_the_definition(found, random, threshold):
    """A box stays if no better one that stays overlaps it by more than the threshold."""
    scores = [random.choice([0.1, 0.5, 0.5, 0.9]) for _ in found]
    order = sorted(range(len(found)), key=lambda n: (-scores[n], n))
    stay: list[int] = []
    for number in order:
        if all(overlap(found[number], found[kept]) <= threshold + 1e-12 for kept in stay):
            stay.append(number)
    assert suppress(found, np.array(scores), threshold).tolist() == stay


def test_detections_are_cut_and_kept_per_class():
    """Low scores go, classes do not suppress each other, the best few of all stay."""
    places = np.array([[0, 0, 4, 4], [0, 0, 4, 4], [10, 10, 14, 14]], np.float64)
    chances = np.array([[0.9, 0.3], [0.8, 0.6], [0.005, 0.7]])
    found = detections(places, chances, score=0.01, overlap=0.5, keep=10)
    assert found.scores.tolist() == [0.9, 0.7, 0.6]
    assert found.labels.tolist() == [0, 1, 1]
    assert len(detections(places, chances, score=0.01, overlap=0.5, keep=1).scores) == 1
    assert len(detections(places, chances * 0, score=0.01, overlap=0.5, keep=1).scores) == 0


def test_loss_by_hand():
    """One matched anchor, one hard negative of three: their entropies and the smooth L1."""
    anchors = torch.tensor([[5.0, 5, 10, 10], [50, 50, 10, 10], [70, 70, 10, 10], [90, 90, 10, 10]])
    target = {"boxes": np.array([[0.0, 0, 10, 10]]), "labels": np.array([1])}
    scores = torch.tensor([[[0.0, 0, 2], [0, 0, 0], [0, 3, 0], [5, 0, 0]]])
    places = torch.zeros(1, 4, 4)
    places[0, 0, 0] = 0.5
    options = DetectionOptions(negatives=1.0, location_weight=2.0)
    found = single_shot_loss(places, scores, anchors, [target], options)
    matched = -math.log(math.exp(2) / (2 + math.exp(2)))
    hardest = -math.log(1 / (2 + math.exp(3)))
    assert float(found) == pytest.approx(matched + hardest + 2.0 * 0.5 * 0.25, rel=1e-6)


def test_pictures_without_boxes():
    """They add nothing by default, and their hardest negatives where asked for."""
    anchors = torch.tensor([[5.0, 5, 10, 10], [50, 50, 10, 10]])
    empty = {"boxes": np.zeros((0, 4)), "labels": np.zeros(0, int)}
    arguments = (torch.zeros(1, 2, 4), torch.zeros(1, 2, 3), anchors, [empty])
    assert float(single_shot_loss(*arguments, PLAIN)) == 0.0
    one = DetectionOptions(least_negatives=1)
    assert float(single_shot_loss(*arguments, one)) == pytest.approx(math.log(3))
    sigmoid = DetectionOptions(least_negatives=1, activation="sigmoid")
    assert float(single_shot_loss(*arguments, sigmoid)) == pytest.approx(3 * math.log(2))


def test_heads_are_found_in_both_orders():
    """Pair after pair and all locations first are read alike; anything else is refused."""
    pairs = [(torch.rand(2, 8, n, n), torch.rand(2, 6, n, n)) for n in (3, 2)]
    straight = [one for pair in pairs for one in pair]
    grouped = [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
    for outputs in (straight, grouped):
        locations, scores = joined(paired(outputs, 2))
        assert (locations.shape, scores.shape) == ((2, 26, 4), (2, 26, 3))
        assert torch.equal(locations[0, 1], pairs[0][0][0, 4:8, 0, 0])
        assert torch.equal(scores[0, 2], pairs[0][1][0, :3, 0, 1])
    for outputs in (straight[:3], straight[:2], [torch.rand(2, 8)] * 2):
        with pytest.raises(InputError, match="no detection heads for 5 classes"):
            paired(outputs, 5)


def test_difficult_boxes_count_nowhere():
    """A found difficult box is neither right nor wrong; a missed one is no miss."""
    wanted = np.array([[0.0, 0, 4, 4], [10, 10, 14, 14]])
    found = Boxes(wanted[::-1], np.zeros(2, int), np.array([0.9, 0.8]))
    judged = AveragePrecision(1)
    judged.add(found, wanted, np.zeros(2, int), np.array([False, True]))
    assert judged.per_class() == [1.0]
    assert judged.wanted() == [1]


@given(st.lists(st.booleans(), min_size=1, max_size=15), st.integers(0, 5))
def test_sampled_precision_equals_the_definition(ranked, missed):
    """Mean over recalls 0 … 1 of the best precision at that recall or beyond."""
    judged = AveragePrecision(1, sampled=True)
    total = sum(ranked) + missed
    place = np.array([[0.0, 0, 1, 1]])
    for number, right in enumerate(ranked):
        seen = place if right else place + 5
        labels = np.zeros(int(right), int)
        judged.add(Boxes(seen, np.zeros(1, int), np.array([1.0 - number / 100])),
                   place[: int(right)], labels)  # fmt: skip
    for _ in range(missed):
        judged.add(Boxes(place[:0], np.zeros(0, int), np.zeros(0)), place, np.zeros(1, int))
    if total == 0:
        assert judged.per_class() == [None]
        return
    points = [(sum(ranked[: n + 1]), sum(ranked[: n + 1]) / (n + 1)) for n in range(len(ranked))]
    expected = sum(
        max((p for hits, p in points if 10 * hits >= level * total), default=0.0)
        for level in range(11)
    )
    assert judged.per_class()[0] == pytest.approx(expected / 11)


class TinyDetector(nn.Module):
    """Two heads on a few convolutions."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 12, 3, 2, 1), nn.ReLU(), nn.Conv2d(12, 24, 3, 2, 1), nn.ReLU()
        )
        self.deep = nn.Sequential(nn.Conv2d(24, 24, 3, 2, 1), nn.ReLU())
        self.heads = nn.ModuleList(
            nn.Conv2d(24, 4 * n, 3, padding=1) for n in (4, classes + 1, 4, classes + 1)
        )

    def forward(self, x):
        near = self.body(x)
        far = self.deep(near)
        return [head(near if n < 2 else far) for n, head in enumerate(self.heads)]


def scenes(count):
    """Return pictures with one bright square and one dark bar each, and their boxes."""
    generator = np.random.default_rng(0)
    pictures = np.full((count, 1, 32, 32), 0.5, np.float32)
    targets = []
    for picture in pictures:
        x, y = generator.integers(0, 8, 2)
        u, v = generator.integers(16, 20, 2)
        picture[0, y : y + 8, x : x + 8] = 1.0
        picture[0, v : v + 6, u : u + 12] = 0.0
        targets.append({
            "boxes": np.array([[x, y, x + 8, y + 8], [u, v, u + 12, v + 6]], np.float32),
            "labels": np.array([0, 1]),
        })  # fmt: skip
    return torch.from_numpy(pictures), targets


def test_a_detector_learns():
    """A tiny network finds squares and bars: mean average precision above 0.9."""
    torch.manual_seed(0)
    inputs, targets = scenes(24)
    network = TinyDetector(2)
    head = SingleShot(2, (32, 32), DetectionOptions(scales=(0.2, 0.35, 0.6)))
    task = Detection(("square", "bar"), head.loss, head.decode)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(120):
        optimizer.zero_grad()
        loss = task.loss(network(inputs), targets)
        loss.backward()
        optimizer.step()
    sink = task.metrics()
    with torch.no_grad():
        sink.update(network(inputs), targets)
    found = sink.report("tiny")
    assert found.metrics["map50"] > 0.9
    assert [row[:2] for row in found.tables[0].rows] == [("square", 24), ("bar", 24)]
