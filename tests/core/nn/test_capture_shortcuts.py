"""Shortcuts of a capture: shapes instead of values, weights that stay, smaller inputs."""

# Cases share one signature.
# ruff: noqa: N812

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.core.nn.lookalikes import INPUT_SHAPE, LOOKALIKES, build
from torch import Tensor, nn

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Graph, Shape
from nibblefit.ir.ops import Op
from nibblefit.nn.capture import capture, entry
from nibblefit.nn.capture.running import in_float64
from nibblefit.nn.capture.smaller import smaller
from nibblefit.nn.network import Network

LARGE = (3, 128, 128)
Proofs = list[tuple[Shape, ...]]


@pytest.fixture
def proofs(monkeypatch: pytest.MonkeyPatch) -> Proofs:
    """Return the shapes of all inputs that a capture proves with, as it does."""
    found: Proofs = []
    original = entry.random_inputs

    def noted(shapes: tuple[Shape, ...], batch: int, seed: int) -> list[Tensor]:
        found.append(tuple(shapes))
        return original(shapes, batch, seed)

    monkeypatch.setattr(entry, "random_inputs", noted)
    return found


def completely(module: nn.Module, shape: Shape) -> Graph:
    """Capture without any shortcut."""
    with in_float64():
        way = entry._Way(stand_ins=False)
        return entry._captured(module, (shape,), "network", way)


def assert_identical(one: Graph, other: Graph) -> None:
    """Compare everything."""
    assert one.nodes == other.nodes
    assert (one.inputs, one.outputs) == (other.inputs, other.outputs)
    assert dict(one.shapes) == dict(other.shapes)
    assert list(one.constants) == list(other.constants)
    for name, value in one.constants.items():
        assert value.dtype == other.constants[name].dtype, name
        assert np.array_equal(value, other.constants[name]), name


def assert_same_function(graph: Graph, module: nn.Module, shape: Shape) -> None:
    """Compare float32 outputs on one batch."""
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        ours, theirs = Network(graph).eval()(x)[0], module.eval()(x)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


class Forward(nn.Module):
    """A forward function beside a convolution, a buffer, and a count of calls."""

    def __init__(self, function: Callable[[Forward, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.register_buffer("offset", torch.rand(1, 3, 1, 1))
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return what the function does."""
        self.calls += 1
        return self.function(self, x)


@pytest.mark.parametrize("name", LOOKALIKES)
@pytest.mark.parametrize("shape", [INPUT_SHAPE, (3, 96, 112)])
def test_the_graph_is_that_of_a_complete_capture(name: str, shape: Shape, proofs: Proofs) -> None:
    """Nodes, shapes and constants are the same, bit for bit, after one quick proof."""
    module = build(name)
    try:
        expected = completely(module, shape)
    except Exception as problem:
        with pytest.raises(type(problem)):
            capture(module, shape)
        return
    del proofs[:]
    assert_identical(capture(module, shape), expected)
    assert len(proofs) <= 2
    assert all(len(found) == 1 for found in proofs)


def test_a_large_network_is_proved_on_a_smaller_input(proofs: Proofs) -> None:
    """Sizes shrink by multiples of 32, and the recorded shapes are the full ones."""
    module = build("mobilenet_v2")
    graph = capture(module, (3, 224, 140))
    assert proofs == [((3, 64, 76),)]
    assert graph.shapes[graph.inputs[0]] == (3, 224, 140)
    assert_same_function(graph, module, (3, 224, 140))


def branching(m: Forward, x: Tensor) -> Tensor:
    y = m.conv(x)
    return torch.relu(y) if x.shape[2] > 100 else torch.sigmoid(y)


def scaled(m: Forward, x: Tensor) -> Tensor:
    return torch.relu(m.conv(x)) * (x.shape[2] / 7)


def halved(m: Forward, x: Tensor) -> Tensor:
    return F.avg_pool2d(m.conv(x), x.shape[2] // 2)


def ceiled(m: Forward, x: Tensor) -> Tensor:
    return F.max_pool2d(m.conv(x), 3, 2, ceil_mode=True)


def masked(m: Forward, x: Tensor) -> Tensor:
    rows = torch.arange(x.shape[2], device=x.device, dtype=x.dtype)
    return m.conv(x * rows.reshape(1, 1, -1, 1))


def hidden(m: Forward, x: Tensor) -> Tensor:
    return m.conv(x) if x.shape[2] > 100 else m.conv(x).flip(2)


@pytest.mark.parametrize("function", [branching, scaled, halved, ceiled, masked, hidden])
def test_what_depends_on_the_size_is_proved_at_the_full_size(
    function: Callable[[Forward, Tensor], Tensor], proofs: Proofs
) -> None:
    """Branches, numbers, windows and constants made from sizes are those of the full input."""
    torch.manual_seed(0)
    module = Forward(function)
    graph = capture(module, LARGE)
    assert proofs[-1] == (LARGE,)
    assert_same_function(graph, module, LARGE)


def counted(m: Forward, x: Tensor) -> Tensor:
    return m.conv(x) * m.calls


def written(m: Forward, x: Tensor) -> Tensor:
    m.conv.weight[0, 0, 0, 0] += 1
    return m.conv(x)


def written_behind(m: Forward, x: Tensor) -> Tensor:
    y = m.conv(x)
    m.conv.weight.data.mul_(1.5)
    return y


def written_by_numpy(m: Forward, x: Tensor) -> Tensor:
    y = m.conv(x)
    m.conv.weight.detach().numpy()[...] *= 1.5
    return y


def caught(m: Forward, x: Tensor) -> Tensor:
    try:
        return m.conv(x) * float(x.abs().mean())
    except Exception:
        return m.conv(x)


@pytest.mark.parametrize("shape", [(3, 8, 8), LARGE])
@pytest.mark.parametrize("function", [counted, written, written_behind, written_by_numpy, caught])
def test_what_no_graph_can_be_is_refused(
    function: Callable[[Forward, Tensor], Tensor], shape: Shape
) -> None:
    """State, changed weights and values read in Python, also inside try, do not pass."""
    module = Forward(function)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(UnsupportedError):
        capture(module, shape)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def standardized(m: Forward, x: Tensor) -> Tensor:
    weight = m.conv.weight
    return F.conv2d(x, weight - weight.mean((1, 2, 3), keepdim=True), m.conv.bias)


def tied(m: Forward, x: Tensor) -> Tensor:
    return F.conv_transpose2d(m.conv(x), m.conv.weight, padding=1)


def moved(m: Forward, x: Tensor) -> Tensor:
    return m.conv(x.to(m.offset.device) + m.offset.to(x))


def sized(m: Forward, x: Tensor) -> Tensor:
    return m.conv(x * torch.ones_like(x)) + x.new_full((1, 4, 1, 1), 0.25)


def rectified_in_place(m: Forward, x: Tensor) -> Tensor:
    y = F.relu(m.conv(x), inplace=True)
    z = F.relu(m.conv(x) + 1, inplace=True)
    y += z
    return y


def keyed(m: Forward, x: Tensor) -> Tensor:
    return F.conv2d(input=x, weight=m.conv.weight, bias=m.conv.bias, padding="valid")


def asked(m: Forward, x: Tensor) -> Tensor:
    return m.conv(x[:, : m.conv.weight.shape[1]].to(m.conv.weight.dtype))


@pytest.mark.parametrize("shape", [(3, 8, 8), LARGE])
@pytest.mark.parametrize(
    "function", [standardized, tied, moved, sized, rectified_in_place, keyed, asked]
)
def test_the_graph_computes_what_the_network_does(
    function: Callable[[Forward, Tensor], Tensor], shape: Shape
) -> None:
    """Weights used in other ways, constants made on the way, and functions in place."""
    torch.manual_seed(0)
    module = Forward(function)
    assert_same_function(capture(module, shape), module, shape)


def test_constants_belong_to_the_graph() -> None:
    """They are read-only, and training the module later does not reach them."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2))
    graph = capture(module, (3, 8, 8))
    for name, parameter in module.named_parameters():
        value = graph.constants[name]
        assert not value.flags.writeable
        assert value.dtype == np.float32
        assert np.array_equal(value, parameter.detach().numpy())
        assert not np.shares_memory(value, parameter.detach().numpy())


def test_weights_changed_behind_everybody_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a convolution holds when it is recorded counts, even if memory is written to later."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False))
    calls: list[Graph] = []
    original = entry.smaller

    def overwritten(graph: Graph) -> tuple[Shape, ...] | None:
        if not calls:
            weights = graph.constants["0.weight"]
            ctypes.memset(weights.ctypes.data, 0, weights.nbytes // 2)
        calls.append(graph)
        return original(graph)

    monkeypatch.setattr(entry, "smaller", overwritten)
    graph = capture(module, (3, 8, 8))
    assert graph is not calls[0]
    assert np.array_equal(graph.constants["0.weight"], module[0].weight.detach().numpy())


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(3, 4, 3), ((3, 64, 76),)),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Upsample(scale_factor=2)), None),
        (nn.Sequential(nn.MaxPool2d(2), nn.PixelShuffle(1)), ((3, 64, 76),)),
        (nn.MaxPool2d(3, 2, ceil_mode=True), None),
        (nn.Softmax(1), ((3, 64, 76),)),
        (nn.Softmax(2), None),
    ],
)
def test_smaller_inputs_keep_the_remainder_by_32(
    layer: nn.Module, expected: tuple[Shape, ...] | None
) -> None:
    """Only where every operator treats all places alike."""
    assert smaller(capture(layer, (3, 224, 140))) == expected


class Centred(nn.Sequential):
    """Layers, and then the difference from the mean."""

    def forward(self, x: Tensor) -> Tensor:
        """Return what deviates from the mean of all places."""
        y: Tensor = super().forward(x)
        return y - y.mean((2, 3), keepdim=True)


def test_no_pool_falls_idle_on_a_smaller_input() -> None:
    """A difference from the mean of a single place would be zero, and hide all that is before."""
    graph = capture(Centred(*(nn.Conv2d(3, 3, 3, 2, 1) for _ in range(6))), (3, 256, 256))
    assert graph.shapes[graph.nodes[5].output] == (3, 4, 4)
    assert smaller(graph) is None


def test_layers_that_need_the_full_size_are_known_before_they_run(proofs: Proofs) -> None:
    """A linear layer behind a flattened image: one proof, at the full size."""
    module = nn.Sequential(nn.Conv2d(3, 4, 3, 4), nn.Flatten(), nn.Linear(4 * 32 * 32, 2))
    capture(module, LARGE)
    assert proofs == [(LARGE,)]


def test_small_inputs_are_not_made_smaller() -> None:
    """They would save less than half."""
    assert smaller(capture(nn.Conv2d(3, 4, 3), (3, 64, 96))) is None


def test_unknown_operators_are_proved_at_the_full_size() -> None:
    """Slices of places and reshapes are made from sizes; channels are not."""
    whole = capture(Forward(lambda m, x: m.conv(x)[:, :, 1:]), LARGE)
    assert Op.SLICE in {node.op for node in whole.nodes}
    assert smaller(whole) is None
    parts = capture(Forward(lambda m, x: m.conv(x).split(2, dim=1)[0]), LARGE)
    assert smaller(parts) == ((3, 64, 64),)
