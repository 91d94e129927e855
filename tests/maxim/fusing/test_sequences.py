"""Padded 1-D convolutions of many channels, which the MAX78002 has as 2-D ones only."""

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
from nibblefit_maxim.parts import MAX78000, MAX78002
from nibblefit_maxim.reading.network import read_files
from nibblefit_maxim.writing.folder import write_folder

_NETS = {
    "chain": (lambda m, x: m["c"](torch.relu(m["a"](x))), {}),
    "strided": (
        lambda m, x: m["d"](torch.relu(m["c"](m["a"](x)))),
        {"c": nn.Conv1d(100, 70, 3, stride=2, padding=1)},
    ),
    "five taps": (lambda m, x: m["d"](m["c"](m["a"](x))), {"c": nn.Conv1d(100, 70, 5, padding=2)}),
    "pooled": (
        lambda m, x: m["d"](torch.relu(m["c"](functional.avg_pool1d(m["a"](x), 2)))),
        {},
    ),
    "residual": (lambda m, x: m["b"](m["e"](m["a"](x)) + m["a"](x)),
                 {"e": nn.Conv1d(100, 100, 3, padding=1)}),
    "joined": (lambda m, x: m["f"](torch.cat([m["i"](x), m["j"](x)], 1)),
               {"f": nn.Conv1d(128, 5, 3, padding=1), "i": nn.Conv1d(3, 64, 1),
                "j": nn.Conv1d(3, 64, 1)}),
    "depthwise": (lambda m, x: m["g"](m["a"](x)),
                  {"g": nn.Conv1d(100, 100, 3, padding=1, groups=100)}),
    "flat": (lambda m, x: m["h"](torch.relu(m["c"](m["a"](x))).flatten(1)),
             {"h": nn.Linear(70 * 12, 4)}),
}  # fmt: skip


def _net(name: str) -> nn.Module:
    torch.manual_seed(8)
    function, more = _NETS[name]
    layers = {
        "a": nn.Conv1d(3, 100, 1), "b": nn.Conv1d(100, 3, 1), "c": nn.Conv1d(100, 70, 3, padding=1),
        "d": nn.Conv1d(70, 4, 3), **more,
    }  # fmt: skip
    return Around(function, **layers)


@pytest.mark.parametrize("name", _NETS)
def test_padded_sequence_runs_as_a_map_of_one_column(name: str, tmp_path: Path) -> None:
    """Floats and integers agree, and the files hold the same integers."""
    done = agree(_net(name), (3, 12), part=MAX78002)
    assert any(layer.operator is Operator.CONV2D for layer in done.fused.layers)
    artifact = write_folder(done.graph, MAX78002, tmp_path, np.zeros((3, 12), np.int64))
    back = read_files(
        tmp_path / "network.yaml", tmp_path / "checkpoint-q.pth.tar", (3, 12), MAX78002,
        flags=artifact.notes["flags"], host=artifact.notes["host"],
    )  # fmt: skip
    x = np.random.default_rng(0).integers(-128, 128, (3, 3, 12))
    (expected,) = reference.run(done.graph, {done.graph.inputs[0]: x}).outputs.values()
    (found,) = Engine(back).run({back.inputs[0]: x}).outputs.values()
    assert np.array_equal(expected.reshape(found.shape), found)


def test_input_of_many_channels() -> None:
    """The network's own input keeps its one axis."""
    torch.manual_seed(9)
    done = agree(nn.Sequential(nn.Conv1d(80, 4, 3, padding=1)), (80, 12), part=MAX78002)
    assert done.fused.layers[0].operator is Operator.PASSTHROUGH
    agree(nn.Sequential(nn.Conv1d(80, 4, 3, padding=1)), (80, 12), part=MAX78000)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(80, 4, 9, padding=2),
        nn.Conv1d(80, 4, 3, padding=2),
        nn.Conv1d(80, 4, 12, padding=1),
    ],
)
def test_kernel_that_would_widen_the_map_is_refused(layer: nn.Module) -> None:
    """Such taps and pads exist up to 64 channels only; the refusal says what does."""
    graph = captured(nn.Sequential(layer), (80, 20))
    assert not fuse(graph, MAX78000).refusals
    with pytest.raises(UnsupportedError, match=r"cannot pad 80 channels.*3 taps padded by 1"):
        fuse(graph, MAX78002).require("MAX78002")
