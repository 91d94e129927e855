"""Automatic fusing: which float layers become which hardware layer, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.maxim.flow import quantized
from tests.maxim.networks import Chain, Residual, captured, lively, random_inputs, seeded
from torch import Tensor, nn
from torch.nn import functional

from nibblefit.errors import UnsupportedError
from nibblefit_maxim.fusing.fuser import fuse
from nibblefit_maxim.fusing.network import FusedNetwork
from nibblefit_maxim.layers import Activation, Operator
from nibblefit_maxim.parts import MAX78000, MAX78002
from nibblefit_maxim.qat.network import QatNetwork


class Lambda(nn.Module):
    """A module around a function of some layers."""

    def __init__(self, function: Callable[[nn.ModuleDict, Tensor], Tensor], **layers: nn.Module):
        super().__init__()
        self.layers = nn.ModuleDict(layers)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function."""
        return self.function(self.layers, x)


def _fused(module: nn.Module, shape: tuple[int, ...], **keys: object) -> FusedNetwork:
    return fuse(captured(module, shape), keys.pop("part", MAX78000), **keys)  # type: ignore[arg-type]


def _conv(inputs: int = 3, outputs: int = 4, taps: int = 3, **keys: object) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, taps, **{"padding": taps // 2, **keys})  # type: ignore[arg-type]


def test_pool_goes_in_front_of_the_next_convolution() -> None:
    """conv, norm, relu, pool, conv becomes two layers, the second one pooling first."""
    network = _fused(seeded(Chain), (1, 8, 8))
    assert [layer.describe() for layer in network.layers] == [
        "conv2d 3×3 + relu",
        "max pool 2×2 + conv2d 3×3 + relu",
        "avg pool 2×2 + conv2d 1×1 + abs",
        "flatten + linear + 32-bit output",
    ]
    assert [layer.name for layer in network.layers] == ["conv1", "conv2", "conv3", "head"]
    assert "norm1" in network.layers[0].sources


def test_trailing_pool_becomes_a_layer_without_convolution() -> None:
    """What still waits at the output is carried out by a passthrough layer."""
    net = Lambda(lambda m, x: functional.max_pool2d(m["c"](x), 2), c=_conv())
    network = _fused(net, (3, 8, 8))
    assert [layer.operator for layer in network.layers] == [Operator.CONV2D, Operator.PASSTHROUGH]
    assert network.layers[1].output_shape == (4, 4, 4)
    assert not network.layers[0].wide


def test_relu_behind_a_maximum_pool_joins_the_convolution() -> None:
    """Rectifying commutes with the maximum, so no layer is spent on it; not with the average."""
    head = nn.Conv2d(4, 2, 1)
    net = Lambda(
        lambda m, x: m["h"](torch.relu(functional.max_pool2d(m["c"](x), 2))), c=_conv(), h=head
    )
    network = _fused(net, (3, 8, 8))
    assert [layer.activation for layer in network.layers] == [Activation.RELU, Activation.NONE]
    average = Lambda(
        lambda m, x: m["h"](torch.relu(functional.avg_pool2d(m["c"](x), 2))), c=_conv(), h=head
    )
    described = [layer.describe() for layer in _fused(average, (3, 8, 8)).layers]
    assert described[1] == "avg pool 2×2 + identity 1×1 + relu"


def test_strided_convolution_is_subsampled_by_its_reader() -> None:
    """Stride 2 becomes stride 1 with plain subsampling in front of the next operator."""
    net = Lambda(
        lambda m, x: m["h"](torch.relu(m["c"](x))), c=_conv(stride=2), h=nn.Conv2d(4, 2, 1)
    )
    network = _fused(net, (3, 9, 9))
    assert network.layers[0].output_shape == (4, 9, 9)
    assert network.layers[1].describe() == "max pool 1×1 + conv2d 1×1 + 32-bit output"
    assert network.layers[1].output_shape == (2, 5, 5)


def test_residual_network_is_fused_with_identity_convolutions() -> None:
    """Relu behind an addition costs one 1×1 layer; operands that pool alike are pooled there."""
    network = _fused(seeded(Residual), (3, 8, 8)).require("x")
    described = [layer.describe() for layer in network.layers]
    assert described[3] == "add + identity 1×1 + relu"
    assert "max pool 1×1 + add + identity 1×1 + relu" in described
    assert described[-2:] == ["avg pool 4×4 + passthrough", "linear + 32-bit output"]


def test_value_read_twice_keeps_its_own_layer_open_to_nobody() -> None:
    """A tensor with two readers is not rectified behind the other reader's back."""

    def forward(m: nn.ModuleDict, x: Tensor) -> Tensor:
        y = m["c"](x)
        return m["h"](torch.relu(y)) + m["g"](y)

    net = Lambda(forward, c=_conv(), h=nn.Conv2d(4, 2, 1), g=nn.Conv2d(4, 2, 1))
    network = _fused(net, (3, 8, 8)).require("x")
    assert network.layer("layers.c").activation is Activation.NONE
    assert any(layer.identity for layer in network.layers)


def test_shared_pool_is_carried_out_once() -> None:
    """Two additions that read one pooled tensor share its passthrough layer."""

    def forward(m: nn.ModuleDict, x: Tensor) -> Tensor:
        y = functional.max_pool2d(m["c"](x), 2)
        a, b = m["a"](y), m["b"](y)
        return m["h"]((a + y) - (b + y))

    net = Lambda(forward, c=_conv(), a=_conv(4, 4), b=_conv(4, 4), h=nn.Conv2d(4, 2, 1))
    network = _fused(net, (3, 8, 8)).require("x")
    pooling = [layer for layer in network.layers if layer.pool and not layer.has_weights]
    assert len(pooling) == 1


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: m["h"](torch.cat([m["c"](x), m["d"](x)], 1)),
        lambda m, x: m["h"](functional.max_pool2d(torch.cat([m["c"](x), m["d"](x)], 1), 2)),
        lambda m, x: m["h"](torch.cat([functional.max_pool2d(m["c"](x), 2), m["s"](x)], 1)),
        lambda m, x: m["g"](functional.max_pool2d(m["c"](x) - m["d"](x), 2)),
        lambda m, x: m["g"](functional.avg_pool2d(functional.max_pool2d(m["c"](x), 2), 2)),
        lambda m, x: m["g"](functional.max_pool2d(m["c"](x) + m["d"](x) + m["c"](x), 2)),
        lambda m, x: torch.relu(m["c"](x)).abs(),
        lambda _, x: torch.relu(x),
        lambda m, x: functional.adaptive_max_pool2d(m["c"](x), 1).flatten(1),
        lambda m, x: m["f"](functional.max_pool2d(m["c"](x) + m["d"](x), 4).flatten(1)),
        lambda m, x: m["f"](torch.relu(functional.max_pool2d(m["c"](x), 4).flatten(1))),
    ],
)
def test_fused_layers_compute_the_same_function(
    forward: Callable[[nn.ModuleDict, Tensor], Tensor],
) -> None:
    """Executed in float, the hardware layers equal the module; in integers, training's twin."""
    torch.manual_seed(3)
    net = Lambda(
        forward, c=_conv(), d=_conv(), s=_conv(stride=2), h=nn.Conv2d(8, 2, 1),
        g=nn.Conv2d(4, 2, 1), f=nn.Linear(16, 3),
    )  # fmt: skip
    x = random_inputs((3, 8, 8), 4)
    graph = captured(net, (3, 8, 8))
    done = quantized(graph, x)
    plain = QatNetwork(done.float_graph, done.fused, {}, {}, quantized=False).eval()
    with torch.no_grad():
        expected = lively(net)(torch.from_numpy(x))
        assert torch.allclose(plain(torch.from_numpy(x))[0], expected, atol=1e-5)
    from nibblefit.ir import reference

    codes = done.codes(x)
    judged = reference.run(done.graph, {done.graph.inputs[0]: codes})
    for name, value in done.simulation(torch.from_numpy(codes)).items():
        assert np.array_equal(value.numpy(), judged.tensors[name]), name


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "7×7": (_conv(taps=7), "5×5"),
    "dilated": (_conv(dilation=3), "dilat"),
    "groups": (nn.Conv2d(3, 3, 3, padding=1, groups=3), "max78002"),
    "odd groups": (nn.Conv2d(4, 8, 3, padding=1, groups=2), "one group"),
    "padding": (_conv(padding=3), "pad by at most"),
    "dilated pool": (nn.MaxPool2d(2, 1, dilation=2), "max78002"),
    "transposed stride": (nn.ConvTranspose2d(3, 4, 3), "stride 2"),
    "transposed size": (nn.ConvTranspose2d(3, 4, 4, stride=2, padding=1), "kernel 3"),
    "upsampling": (nn.Upsample(scale_factor=3), "twice"),
    "smooth upsampling": (nn.Upsample(scale_factor=2, mode="bilinear"), "nearest"),
    "uneven padding": (nn.Conv2d(3, 4, 3, padding=(3, 0)), "all sides alike"),
    "uneven stride": (nn.Conv2d(3, 4, 3, padding=1, stride=(1, 2)), "one stride"),
    "padded pool": (nn.MaxPool2d(3, 2, padding=1), "without padding"),
    "ceil": (nn.MaxPool2d(3, 2, ceil_mode=True), "ceil_mode"),
    "uneven pool": (nn.MaxPool2d(2, (1, 2)), "equal strides"),
    "large pool": (nn.MaxPool2d(17, 1), "two steps"),
    "leaky": (nn.LeakyReLU(), "relu or abs"),
    "relu6": (nn.ReLU6(), "use relu"),
    "softmax": (nn.Sequential(nn.Softmax(1), nn.Conv2d(3, 2, 1)), "end the network there"),
    "multiplication": (Lambda(lambda _, x: x * x), "add"),
    "reshape": (Lambda(lambda _, x: x.reshape(x.shape[0], 9, -1)), "keep the channels"),
    "linear axis": (nn.Linear(18, 4), "1×1 convolution"),
    "rows": (Lambda(lambda _, x: torch.cat([x, x], 2)), "channels"),
    "constant": (Lambda(lambda _, x: x + torch.ones(3, 18, 18)), "bias"),
    "broadcast": (Lambda(lambda _, x: x + x[:, :1]), "shape"),
    "flat concat": (
        Lambda(lambda _, x: torch.cat([x.flatten(1), x.flatten(1)], 1)),
        "before flattening",
    ),
    "flat norm": (Lambda(lambda m, x: m["n"](x.flatten(1)), n=nn.BatchNorm1d(972)), "right behind"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_hardware_lacks_is_refused_with_a_remedy(what: str) -> None:
    """Every refusal names the layer, the reason, and the nearest thing that works."""
    module, remedy = REFUSED[what]
    channels = 4 if what == "odd groups" else 3
    network = _fused(nn.Sequential(module), (channels, 18, 18))
    assert network.refusals
    with pytest.raises(UnsupportedError) as error:
        network.require("MAX78000")
    assert network.refusals[0].layer in str(error.value)
    assert any(remedy in refusal.hint or remedy in refusal.reason for refusal in network.refusals)


def test_all_refusals_come_together() -> None:
    """One error lists every offending layer, not only the first."""
    net = nn.Sequential(_conv(taps=7), nn.LeakyReLU(), _conv(4, 4, dilation=3), nn.Hardswish())
    network = _fused(net, (3, 16, 16))
    assert len(network.refusals) == 4
    with pytest.raises(UnsupportedError, match="4 layers"):
        network.require("MAX78000")


def test_depthwise_convolution_runs_on_the_max78002_only() -> None:
    """The same network is refused for one part and fused for the other."""
    net = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, groups=3))
    assert _fused(net, (3, 8, 8)).refusals
    assert not _fused(net, (3, 8, 8), part=MAX78002).refusals


@pytest.mark.parametrize(
    ("layer", "ok"),
    [
        (nn.Conv1d(4, 4, 9, padding=2), True),
        (nn.Conv1d(4, 4, 5, dilation=2, padding=2), True),
        (nn.Conv1d(4, 4, 3, dilation=20), True),
        (nn.Conv1d(4, 4, 3, dilation=20, padding=1), False),
        (nn.Conv1d(4, 4, 3, dilation=1500), False),
        (nn.Conv1d(4, 4, 17), True),
        (nn.Conv1d(4, 4, 18), False),
    ],
)
def test_one_dimensional_kernels(layer: nn.Module, ok: bool) -> None:
    """Up to nine taps, in two layers 17; dilated ones if their span fits, or three unpadded."""
    assert bool(_fused(nn.Sequential(layer), (4, 4000)).refusals) is not ok


def test_three_dimensional_convolution_is_refused() -> None:
    """Volumes have no counterpart."""
    assert _fused(nn.Sequential(nn.Conv3d(1, 2, 1)), (1, 4, 4, 4)).refusals


def test_features_of_a_linear_layer_are_no_image() -> None:
    """Features lie at one position; reading them as a map would move them between channels."""
    net = Lambda(
        lambda m, x: m["c"](m["l"](x.flatten(1)).reshape(-1, 3, 8, 8)),
        c=_conv(), l=nn.Linear(192, 192),
    )  # fmt: skip
    (refusal,) = _fused(net, (3, 8, 8)).refusals
    assert "between channels" in refusal.reason


def test_one_dimensional_addition_is_carried_out_before_the_convolution() -> None:
    """Element-wise operations cannot stand in front of a 1-D convolution, so they get a layer."""
    net = Lambda(
        lambda m, x: torch.relu(m["c"](m["a"](x) + m["b"](x))) + x,
        a=nn.Conv1d(4, 4, 1), b=nn.Conv1d(4, 4, 1), c=nn.Conv1d(4, 4, 3, padding=1),
    )  # fmt: skip
    network = _fused(net, (4, 16)).require("x")
    adding = [layer for layer in network.layers if layer.eltwise]
    assert [layer.operator for layer in adding] == [Operator.PASSTHROUGH] * 2


def test_narrow_output_can_be_asked_for() -> None:
    """Without wide_output the last layer writes 8-bit codes."""
    network = _fused(seeded(Chain), (1, 8, 8), wide_output=False)
    assert not any(layer.wide for layer in network.layers)
