"""Kernels longer than the hardware's run exactly, as convolutions over shifted copies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.maxim.agreement import Around, agree
from tests.maxim.networks import captured
from torch import nn
from torch.nn import functional

from nibblefit.engine import Engine
from nibblefit.errors import UnsupportedError
from nibblefit.ir import reference
from nibblefit_maxim.fusing.fuser import fuse
from nibblefit_maxim.layers import Operator
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import MAX78000, MAX78002, Part
from nibblefit_maxim.reading.network import read_files
from nibblefit_maxim.writing.folder import write_folder

BOTH = (MAX78000, MAX78002)


@pytest.mark.parametrize("part", BOTH, ids=lambda part: part.name)
@pytest.mark.parametrize(
    ("layer", "copies"),
    [
        (nn.Conv2d(3, 4, 5, padding=2), 4),
        (nn.Conv2d(3, 4, 5), 4),
        (nn.Conv2d(3, 4, 5, padding=1, bias=False), 4),
        (nn.Conv2d(3, 4, 4, padding=1, stride=2), 4),
        (nn.Conv2d(3, 4, (5, 3), padding=(2, 1)), 2),
        (nn.Conv2d(3, 4, (1, 5), padding=(0, 2)), 2),
        (nn.Conv2d(3, 4, 3, padding=2, dilation=2), 4),
        (nn.Conv2d(3, 4, 2, dilation=4), 4),
    ],
)
def test_long_kernel_is_exact(layer: nn.Module, copies: int, part: Part) -> None:
    """Floats and integers equal those of the long kernel, whatever stands before and behind."""
    torch.manual_seed(3)
    nets = (
        nn.Sequential(layer),
        nn.Sequential(nn.MaxPool2d(2), layer, nn.ReLU(), nn.Conv2d(4, 2, 1)),
        nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), layer, nn.BatchNorm2d(4), nn.ReLU()),
        Around(lambda m, x: m["c"](x + m["a"](x)).flatten(1), a=nn.Conv2d(3, 3, 1), c=layer),
    )
    for net in nets:
        done = agree(net, (3, 14, 13), part=part)
        (made,) = [one for one in done.fused.layers if one.copies]
        assert len(made.copies) == copies
        assert made.out_channels == 3 * copies


@pytest.mark.parametrize("taps", [11, 12, 17])
def test_long_sequence_kernel_is_exact(taps: int) -> None:
    """Up to 17 taps along a sequence, in two layers."""
    torch.manual_seed(4)
    for pad in (0, 1, 2 * (taps % 2)):
        net = nn.Sequential(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.Conv1d(4, 5, taps, padding=pad))
        done = agree(net, (3, 40))
        assert [layer.operator for layer in done.fused.layers] == [Operator.CONV1D] * 3


def test_depthwise_kernel_is_exact() -> None:
    """Channels stay apart: the weights of all others are zero."""
    torch.manual_seed(5)
    net = nn.Sequential(nn.Conv2d(4, 4, 5, padding=2, groups=4), nn.ReLU())
    done = agree(net, (4, 8, 8), part=MAX78002)
    assert done.fused.layers[-1].groups == 1


@pytest.mark.parametrize("bits", [4, 2, 1])
def test_every_width(bits: int) -> None:
    """The copies are exact, however few bits the kernel has."""
    torch.manual_seed(6)
    agree(nn.Sequential(nn.Conv2d(2, 4, 5, padding=2)), (2, 8, 8),
          options=MaximOptions(weight_bits=bits, wide_output=False))  # fmt: skip


def test_too_many_copies_are_refused_by_name() -> None:
    """Four copies of 257 channels exceed the channels of a layer."""
    graph = captured(nn.Sequential(nn.Conv2d(257, 2, 5, padding=2)), (257, 6, 6))
    with pytest.raises(
        UnsupportedError, match=r"'0'.*4 shifted copies of 257 channels.*at most 256"
    ):
        fuse(graph, MAX78000).require("MAX78000")


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.Conv2d(1, 2, 7), "kernel 7×7 does not exist"),
        (nn.Conv2d(1, 2, 5, padding=3), "padding"),
    ],
)
def test_longer_kernels_are_refused(layer: nn.Module, words: str) -> None:
    """Beyond 5×5, and beyond a padding of 2, nothing exact exists."""
    graph = captured(nn.Sequential(layer), (1, 12, 12))
    with pytest.raises(UnsupportedError, match=words):
        fuse(graph, MAX78000).require("MAX78000")


def test_files_hold_the_same_integers(tmp_path: Path) -> None:
    """Planned, proven, written and read back by independent code."""
    torch.manual_seed(7)
    net = Around(
        lambda m, x: m["h"](functional.max_pool2d(torch.relu(m["c"](x)), 2).flatten(1)),
        c=nn.Conv2d(8, 12, 5, padding=2), h=nn.Linear(12 * 25, 4),
    )  # fmt: skip
    done = agree(net, (8, 10, 10))
    artifact = write_folder(done.graph, MAX78000, tmp_path, np.zeros((8, 10, 10), np.int64))
    back = read_files(
        tmp_path / "network.yaml", tmp_path / "checkpoint-q.pth.tar", (8, 10, 10), MAX78000,
        flags=artifact.notes["flags"], host=artifact.notes["host"],
    )  # fmt: skip
    x = np.random.default_rng(0).integers(-128, 128, (3, 8, 10, 10))
    (expected,) = reference.run(done.graph, {done.graph.inputs[0]: x}).outputs.values()
    (found,) = Engine(back).run({back.inputs[0]: x}).outputs.values()
    assert np.array_equal(expected, found)
