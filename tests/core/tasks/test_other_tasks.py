"""Segmentation, reconstruction and detection with stub networks: the protocol holds for all."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nibblefit.errors import InputError
from nibblefit.tasks.average_precision import Boxes
from nibblefit.tasks.detection import Detection
from nibblefit.tasks.protocol import Task
from nibblefit.tasks.reconstruction import Reconstruction
from nibblefit.tasks.segmentation import Segmentation


def test_segmentation_metrics_equal_torchmetrics():
    """Pixel accuracy and mean intersection over union equal torchmetrics."""
    functional = pytest.importorskip("torchmetrics.functional.classification")
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 4, 5, 6, generator=generator)
    labels = torch.randint(4, (3, 5, 6), generator=generator)
    labels[0, 0] = 255
    task = Segmentation(list("abcd"))
    sink = task.metrics()
    sink.update([scores], list(labels.numpy()))
    found = sink.report("x")
    arguments = {"num_classes": 4, "ignore_index": 255}
    expected = functional.multiclass_jaccard_index(scores, labels, average=None, **arguments)
    accuracy = functional.multiclass_accuracy(scores, labels, average="micro", **arguments)
    assert math.isclose(found.metrics["miou"], float(expected.mean()), rel_tol=1e-6)
    assert math.isclose(found.metrics["pixel_accuracy"], float(accuracy), rel_tol=1e-6)
    assert np.allclose([row[2] for row in found.tables[0].rows], expected.numpy())


def test_segmentation_protocol():
    """Loss falls as outputs improve; collate stacks maps; decode gives maps."""
    task = Segmentation(["sky", "sea"])
    assert isinstance(task, Task)
    samples = [(np.zeros((1, 2, 2), np.float32), np.array([[0, 1], [1, 255]]))] * 3
    inputs, maps = task.collate(samples)
    assert (inputs.shape, maps.shape) == ((3, 1, 2, 2), (3, 2, 2))
    good = torch.stack([(maps == 0).float(), (maps == 1).float()], 1) * 5
    assert task.loss([good], maps) < task.loss([torch.zeros_like(good)], maps)
    counted = maps != 255
    assert torch.equal(task.decode([good])[counted], maps[counted])
    with pytest.raises(InputError, match="pixels"):
        task.loss([good[:, :, :1]], maps)
    with pytest.raises(InputError, match="outside"):
        task.metrics().update([good], torch.full_like(maps, 7))
    assert dict(task.metrics().compute()) == {}


def test_reconstruction_by_hand():
    """Two known batches give the mean squared error and 10 log10(peak² / mse)."""
    task = Reconstruction(peak=2.0)
    assert isinstance(task, Task)
    sink = task.metrics()
    sink.update([torch.zeros(2, 1, 2)], [np.full((1, 2), 0.5), np.full((1, 2), 0.5)])
    sink.update([torch.zeros(1, 1, 2)], [np.zeros((1, 2))])
    found = sink.compute()
    assert math.isclose(found["mse"], 0.25 * 4 / 6)
    assert math.isclose(found["psnr"], 10 * math.log10(4 / found["mse"]))
    inputs, wanted = task.collate([(np.zeros((1, 2)), np.ones((1, 2)))] * 3)
    assert float(task.loss([inputs], wanted)) == 1.0
    assert task.decode([inputs]) is inputs
    with pytest.raises(InputError, match="shape"):
        task.loss([inputs], wanted[:, :, :1])
    exact = task.metrics()
    exact.update([inputs], inputs)
    assert exact.report("x").metrics["psnr"] == math.inf
    assert dict(task.metrics().compute()) == {}


def stub_decoder(outputs):
    """Read (left, top, right, bottom, label, score) rows."""
    return [
        Boxes(r[:, :4].numpy(), r[:, 4].numpy().astype(int), r[:, 5].numpy()) for r in outputs[0]
    ]


def test_detection_protocol_with_a_stub_head():
    """A head's loss and boxes go through; perfect boxes give 1, misplaced ones 0."""
    task = Detection(["a", "b"], lambda outputs, _: outputs[0].sum(), stub_decoder)
    assert isinstance(task, Task)
    target = {"boxes": [[0, 0, 4, 4], [5, 5, 9, 9]], "labels": [0, 1]}
    inputs, targets = task.collate([(np.zeros((1, 9, 9), np.float32), target)])
    assert inputs.shape == (1, 1, 9, 9)
    rows = torch.tensor([[[0.0, 0, 4, 4, 0, 0.9], [5, 5, 9, 9, 1, 0.8]]])
    assert float(task.loss([rows], targets)) == float(rows.sum())
    sink = task.metrics()
    sink.update([rows], targets)
    assert sink.report("x").metrics["map50"] == 1.0
    misplaced = task.metrics()
    misplaced.update([rows + torch.tensor([6.0, 6, 6, 6, 0, 0])], targets)
    assert misplaced.compute()["map50"] == 0.0
    assert dict(task.metrics().compute()) == {}
