"""What a part lacks is rewritten where an equivalent exists, else refused by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.maxim.agreement import Around, agree
from tests.maxim.networks import captured
from torch import Tensor, nn
from torch.nn import functional as f

from nibblefit.conformance.cases import Sketch
from nibblefit.errors import UnsupportedError
from nibblefit.ir.ops import Op
from nibblefit_maxim.fusing.fuser import fuse
from nibblefit_maxim.inspection import inspect_graph
from nibblefit_maxim.layers import Operator
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import MAX78000, MAX78002

Function = Callable[[nn.ModuleDict, Tensor], Tensor]


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Conv2d(4, 4, 3, groups=4), "no depthwise"),
        (nn.ConvTranspose2d(4, 4, 3, 2, 1, 1, groups=4), "no depthwise"),
        (nn.MaxPool2d(2, 1, dilation=2), "cannot be dilated on the MAX78000"),
    ],
)
def test_what_only_the_newer_part_has_is_refused_by_name(layer: nn.Module, reason: str) -> None:
    """The refusal names layer and part, inspection says the same, and the other part runs it."""
    graph = captured(nn.Sequential(nn.Conv2d(4, 4, 1), layer), (4, 6, 6))
    network = fuse(graph, MAX78000)
    with pytest.raises(UnsupportedError, match=f"'1'.*{reason}.*max78002"):
        network.require("MAX78000")
    report = inspect_graph(graph, MAX78000, MaximOptions(), {})
    assert any(reason in finding.message for finding in report.findings)
    assert not fuse(graph, MAX78002).refusals


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: f.max_pool2d(m["a"](x), 2) + f.max_pool2d(m["b"](x), 2)
        + f.max_pool2d(m["c"](x), 2),
        lambda m, x: m["h"](m["a"](x) + m["b"](x) - m["c"](x)),
        lambda m, x: torch.relu(m["a"](x) + m["b"](x) + m["c"](x)),
        lambda m, x: f.interpolate(m["a"](x) + m["b"](x) + m["c"](x), scale_factor=2),
        lambda m, x: f.avg_pool2d(m["a"](x), 2),
        lambda m, x: f.max_pool2d(m["a"](x) - m["b"](x), 2),
    ],
)  # fmt: skip
@pytest.mark.parametrize("channels", [68, 132])
def test_wide_combinations_on_the_older_part(function: Function, channels: int) -> None:
    """Beyond 64 channels combinations stand alone and pooling stands before an operator."""
    torch.manual_seed(1)
    layers = {name: nn.Conv2d(2, channels, 1) for name in "abc"}
    done = agree(Around(function, **layers, h=nn.Conv2d(channels, 2, 1)), (2, 4, 4))
    for layer in done.fused.layers:
        passes = -(-layer.in_channels // 64)
        few = layer.operands * passes == layer.operands + passes
        if layer.eltwise and passes > 1 and not few:
            assert layer.operator is Operator.PASSTHROUGH
            assert layer.pool is None
        if layer.operator is Operator.PASSTHROUGH and layer.pool and layer.output_pixels > 1:
            assert passes == 1


@pytest.mark.parametrize(
    ("module", "shape", "words"),
    [
        (nn.MaxPool3d(2), (2, 4, 4, 4), "spatial axes"),
        (nn.Sequential(nn.BatchNorm3d(2), nn.ReLU()), (2, 4, 4, 4), "spatial axes"),
        (nn.MaxPool2d(1, 17), (2, 40, 40), "stride 17"),
        (nn.AdaptiveMaxPool2d(1), (2, 17, 17), "not made of smaller"),
        (nn.MaxPool2d(3, 1, dilation=2), (2, 9, 9), "does not exist"),
        (nn.MaxPool2d(3, 1, padding=1), (2, 9, 9), "zeros would win"),
        (nn.AvgPool2d(3, 1, 1, count_include_pad=False), (2, 9, 9), "cannot pad"),
        (nn.ConvTranspose1d(2, 2, 3, 2), (2, 9), "1-D transposed"),
        (nn.ConvTranspose2d(2, 2, 3, 2, 2, 1), (2, 9, 9), ""),
        (nn.Sequential(nn.Flatten(), nn.Unflatten(1, (2, 81)), nn.Conv1d(2, 2, 1)), (2, 9, 9),
         ""),
        (nn.Sequential(nn.Conv2d(2, 2, 2), nn.Conv2d(2, 2, 3, padding=1)), (2, 9, 9),
         "it pads data"),
        (nn.Sequential(nn.Conv2d(2, 2, 2), nn.ConvTranspose2d(2, 2, 2, 2)), (2, 9, 9),
         "longer on the hardware"),
        (Around(lambda m, x: m["a"](x) + x[:, :, 1:, 1:], a=nn.Conv2d(2, 2, 2)), (2, 9, 9),
         "no slice"),
        (Around(lambda m, x: m["a"](x) + m["b"](x), a=nn.Conv2d(2, 2, 2),
                b=nn.Sequential(nn.MaxPool2d(2, 1), nn.Conv2d(2, 2, 1))),
         (2, 9, 9), "held as"),
        (Around(lambda m, x: torch.cat([m["a"](x), m["b"](x)], 1), a=nn.Conv2d(2, 2, 2),
                b=nn.MaxPool2d(2, 1)), (2, 9, 9), "join their pixels"),
        (Around(lambda m, x: x.flatten(1) + m["a"](x).flatten(1), a=nn.Conv2d(2, 8, 1, stride=2)),
         (2, 4, 4), "different shapes"),
    ],
)  # fmt: skip
def test_refusal_says_what_and_why(module: nn.Module, shape: tuple[int, ...], words: str) -> None:
    """Every refusal names its layer and a remedy; what has no reason listed here must run."""
    network = fuse(captured(nn.Sequential(module), shape), MAX78002)
    if not words:
        agree(nn.Sequential(module), shape)
        return
    assert any(words in refusal.reason for refusal in network.refusals), network.refusals
    assert all(refusal.hint and refusal.layer for refusal in network.refusals)


def test_everything_refused_comes_at_once_behind_a_host_operator() -> None:
    """Layers behind a softmax, and products of two tensors, are each refused by their name."""

    def forward(m: nn.ModuleDict, x: Tensor) -> Tensor:
        y = torch.softmax(m["a"](x), 1)
        return m["b"](y) * m["c"](x)

    net = Around(forward, **{name: nn.Conv2d(2, 2, 1) for name in "abc"})
    refusals = fuse(captured(net, (2, 4, 4)), MAX78000).refusals
    assert ["host software" in r.reason for r in refusals] == [True, False]
    assert "no mul" in refusals[1].reason


def test_computed_weights_and_second_inputs_are_refused() -> None:
    """Weights that the network computes, and a second input, have no place on the chip."""
    sketch = Sketch("odd", (4,))
    first = sketch.linear("input", 4)
    sketch.shapes["other"] = (4,)
    graph = sketch.graph(sketch.add(Op.ADD, first, "other"))
    refused = fuse(
        type(graph)(graph.name, ("input", "other"), graph.outputs, graph.nodes, graph.shapes,
                    graph.constants), MAX78000,
    ).refusals  # fmt: skip
    assert [r.hint for r in refused] == ["use one input"]


def test_inspection_says_what_was_rewritten_and_what_the_host_does() -> None:
    """Each layer's line carries its notes; host operators have lines of their own."""
    net = nn.Sequential(nn.Conv2d(2, 4, 2, stride=2), nn.Flatten(), nn.Linear(16, 3), nn.Softmax(1))
    report = inspect_graph(captured(net, (2, 4, 4)), MAX78000, MaximOptions(), {})
    messages = [finding.message for finding in report.findings]
    assert any("kernel 2×2 runs as 3×3" in message for message in messages)
    assert any("(softmax) runs on the host" in message for message in messages)
