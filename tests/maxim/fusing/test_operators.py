"""Every operator of both parts, from plain modules to integers that all executions agree on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.maxim.agreement import Around, agree
from torch import Tensor, nn
from torch.nn import functional as f

from nibblefit_maxim.layers import Activation, Eltwise, Operator, PoolKind
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import MAX78000, MAX78002, Part

Function = Callable[[nn.ModuleDict, Tensor], Tensor]
BOTH = (MAX78000, MAX78002)
_C2 = (3, 9, 12)


def _net(function: Function, **layers: nn.Module) -> nn.Module:
    return Around(function, **layers)


@pytest.mark.parametrize("part", BOTH, ids=lambda part: part.name)
@pytest.mark.parametrize("bits", [8, 4, 2, 1])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(3, 6, 3, padding=1), _C2),
        (nn.Conv2d(3, 6, 3, padding=2, bias=False), _C2),
        (nn.Conv2d(3, 6, 1), _C2),
        (nn.Conv1d(3, 6, 9, padding=2), (3, 20)),
        (nn.Conv1d(3, 6, 4), (3, 20)),
        (nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1, output_padding=1), _C2),
        (nn.Sequential(nn.Flatten(), nn.Linear(36, 5)), (4, 3, 3)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_weighted_operator_with_every_width(
    layer: nn.Module, shape: tuple[int, ...], bits: int, part: Part
) -> None:
    """Each operator runs with 8-, 4-, 2- and 1-bit weights, as a wide and as a narrow layer."""
    torch.manual_seed(bits)
    for wide in (True, False):
        options = MaximOptions(weight_bits=bits, wide_output=wide)
        done = agree(nn.Sequential(layer), shape, part=part, options=options)
        assert len(done.fused.layers) == 1
        assert done.fused.layers[0].wide is wide
        assert done.fused.layers[0].embedding is None


@pytest.mark.parametrize(
    ("layer", "kernel", "pad"),
    [
        (nn.Conv2d(3, 4, 2, padding=1, stride=2), (3, 3), (2, 2)),
        (nn.Conv2d(3, 4, 2, stride=2), (3, 3), (1, 1)),
        (nn.Conv2d(3, 4, 2), (3, 3), (1, 1)),
        (nn.Conv2d(3, 4, (1, 3), padding=(0, 1)), (3, 3), (1, 1)),
        (nn.Conv2d(3, 4, (3, 1), padding=(1, 0)), (3, 3), (1, 1)),
        (nn.Conv2d(3, 4, 1, padding=1), (3, 3), (2, 2)),
        (nn.Conv2d(3, 4, 2, dilation=2), (3, 3), (0, 0)),
        (nn.ConvTranspose2d(3, 4, 2, stride=2), (3, 3), (1, 1)),
        (nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1), (3, 3), (1, 1)),
        (nn.ConvTranspose2d(3, 4, 1, stride=2, output_padding=1), (3, 3), (1, 1)),
    ],
)
def test_smaller_kernel_lies_among_zeros(
    layer: nn.Module, kernel: tuple[int, ...], pad: tuple[int, ...]
) -> None:
    """A kernel that the hardware lacks runs exactly as a larger one, whatever follows it."""
    torch.manual_seed(5)
    for tail in (nn.Identity(), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 1),
                 nn.Sequential(nn.ReLU(), nn.Conv2d(4, 2, 3)),
                 nn.Sequential(nn.Flatten(), nn.LazyLinear(3))):  # fmt: skip
        net = nn.Sequential(layer, tail)
        net(torch.zeros(1, 3, 8, 8))
        done = agree(net, (3, 8, 8))
        first = done.fused.layers[0]
        assert (first.kernel, first.pad) == (kernel, pad)
        if layer.kernel_size != (3, 3):
            assert first.notes


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_asymmetric_padding_of_two_taps(stride: int) -> None:
    """A 2×2 kernel padded at one side only, as other frameworks' "same", is a padded 3×3."""
    torch.manual_seed(6)
    for pads in ((0, 1, 0, 1), (1, 0, 1, 0)):
        net = _net(
            lambda m, x, pads=pads: m["h"](f.relu(m["c"](f.pad(x, pads)))),
            c=nn.Conv2d(3, 4, 2, stride=stride), h=nn.Conv2d(4, 2, 1),
        )  # fmt: skip
        done = agree(net, (3, 7, 8))
        assert done.fused.layers[0].kernel == (3, 3)


@pytest.mark.parametrize(
    ("taps", "dilation", "left", "kernel"), [(3, 1, 2, 5), (3, 2, 2, 7), (2, 1, 1, 3), (5, 1, 2, 7)]
)
def test_causal_convolution(taps: int, dilation: int, left: int, kernel: int) -> None:
    """Zeros before the sequence only: later taps of a longer padded kernel are zero."""
    torch.manual_seed(7)
    net = _net(lambda m, x: m["c"](f.pad(x, (left, 0))), c=nn.Conv1d(3, 4, taps, dilation=dilation))
    done = agree(net, (3, 24))
    assert done.fused.layers[0].kernel[0] <= kernel
    assert done.fused.layers[0].embedding is not None


@pytest.mark.parametrize(
    ("layer", "part"),
    [
        (nn.Conv1d(4, 4, 5, dilation=2, padding=2), MAX78000),
        (nn.Conv1d(4, 4, 2, dilation=4, padding=2), MAX78000),
        (nn.Conv1d(4, 4, 3, dilation=20), MAX78000),
        (nn.Conv1d(4, 4, 2, dilation=13), MAX78002),
    ],
)
def test_dilated_1d_convolution(layer: nn.Module, part: Part) -> None:
    """Short dilated kernels pad; long ones run unpadded, with pooling carried out before."""
    torch.manual_seed(8)
    agree(nn.Sequential(layer), (4, 60), part=part)
    done = agree(nn.Sequential(nn.Conv1d(4, 4, 1), nn.MaxPool1d(1, 1), nn.AvgPool1d(2, 1), layer),
                 (4, 60), part=part)  # fmt: skip
    reach = (layer.kernel_size[0] - 1) * layer.dilation[0]
    assert (done.fused.layers[-1].pool is None) is (reach >= 9)


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (nn.MaxPool2d(2), [((2, 2), (2, 2))]),
        (nn.MaxPool2d((2, 3), stride=1), [((2, 3), (1, 1))]),
        (nn.AvgPool2d((3, 1), stride=2), [((3, 1), (2, 2))]),
        (nn.MaxPool2d(3, stride=5), [((3, 3), (5, 5))]),
        (nn.AvgPool2d((4, 14), stride=(4, 14)), [((4, 14), (4, 4))]),
        (nn.MaxPool2d(16, stride=1), [((16, 16), (1, 1))]),
        (nn.MaxPool2d(20, stride=20), [((10, 10), (10, 10)), ((2, 2), (2, 2))]),
        (nn.AdaptiveAvgPool2d(1), [((10, 10), (10, 10)), ((4, 2), (4, 4))]),
        (nn.AdaptiveMaxPool2d(1), [((10, 10), (10, 10)), ((4, 2), (4, 4))]),
    ],
)
def test_pooling_window(pool: nn.Module, expected: list[tuple[tuple[int, ...], ...]]) -> None:
    """Windows and strides of every kind; larger ones than 16 as steps of smaller ones."""
    torch.manual_seed(9)
    net = nn.Sequential(nn.Conv2d(2, 4, 1), pool, nn.Conv2d(4, 2, 1))
    shape = (2, 40, 20) if len(expected) > 1 else (2, 17, 16)
    done = agree(net, shape)
    found = [(layer.pool.window, layer.pool.stride) for layer in done.fused.layers if layer.pool]
    assert [window for window, _ in found] == [window for window, _ in expected]


@pytest.mark.parametrize("dilation", [2, (1, 3)])
def test_dilated_pool_runs_on_the_max78002(dilation: int | tuple[int, int]) -> None:
    """Windows of two with gaps exist on one part only."""
    net = nn.Sequential(nn.Conv2d(2, 4, 1), nn.MaxPool2d(2, 1, dilation=dilation))
    done = agree(net, (2, 9, 9), part=MAX78002)
    assert max(done.fused.layers[1].pool.dilation) > 1


def test_padded_pool_gets_a_frame_of_zeros() -> None:
    """A padded pool behind relu reads a frame that one identity convolution adds."""
    torch.manual_seed(10)
    for pool in (nn.MaxPool2d(3, 2, padding=1), nn.AvgPool2d(3, 2, padding=1)):
        net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), pool, nn.Conv2d(4, 2, 1))
        done = agree(net, (2, 9, 9))
        frame = done.fused.layers[1]
        assert frame.identity
        assert frame.output_shape == (4, 11, 11)


@pytest.mark.parametrize("rounds", [False, True])
def test_average_rounding(rounds: bool) -> None:
    """2-D averages truncate or round as the recipe says; 1-D ones always truncate."""
    torch.manual_seed(11)
    options = MaximOptions(rounds_averages=rounds)
    net = nn.Sequential(nn.Conv2d(2, 4, 1), nn.AvgPool2d(3, 2), nn.Conv2d(4, 2, 1))
    done = agree(net, (2, 9, 9), options=options)
    assert done.fused.layers[1].pool.is_rounded is rounds
    flat = nn.Sequential(nn.Conv1d(2, 4, 1), nn.AvgPool1d(3, 2), nn.Conv1d(4, 2, 1))
    assert not agree(flat, (2, 19), options=options).fused.layers[1].pool.is_rounded


@pytest.mark.parametrize("part", BOTH, ids=lambda part: part.name)
@pytest.mark.parametrize("count", [2, 3, 5, 16])
@pytest.mark.parametrize("minus", [False, True])
def test_chain_of_operands_is_one_combination(count: int, minus: bool, part: Part) -> None:
    """Two to sixteen operands are added or subtracted by one layer, in front of its operator."""
    torch.manual_seed(count)

    def forward(m: nn.ModuleDict, x: Tensor) -> Tensor:
        total = m["0"](x)
        for index in range(1, count):
            other = m[str(index)](x)
            total = total - other if minus else total + other
        return m["h"](total)

    layers = {str(i): nn.Conv2d(2, 4, 1, bias=i == 0) for i in range(count)}
    done = agree(Around(forward, **layers, h=nn.Conv2d(4, 2, 3, bias=False)), (2, 5, 5), part=part)
    joined = [layer for layer in done.fused.layers if layer.eltwise]
    assert [layer.operands for layer in joined] == [count]
    assert joined[0].operator is Operator.CONV2D
    assert joined[0].eltwise is (Eltwise.SUB if minus else Eltwise.ADD)


def test_seventeen_operands_are_two_combinations() -> None:
    """More operands than the hardware takes are combined in two layers."""
    layers = {str(i): nn.Conv2d(2, 4, 1) for i in range(17)}
    net = Around(lambda m, x: sum((m[str(i)](x) for i in range(1, 17)), m["0"](x)), **layers)
    done = agree(net, (2, 4, 4))
    assert sorted(layer.operands for layer in done.fused.layers if layer.eltwise) == [2, 16]


def test_difference_continues_only_on_the_left() -> None:
    """A − (b − c) is not a − b − c: the inner difference gets a layer of its own."""
    layers = {name: nn.Conv2d(2, 4, 1) for name in "abc"}
    done = agree(Around(lambda m, x: m["a"](x) - (m["b"](x) - m["c"](x)), **layers), (2, 4, 4))
    assert [layer.operands for layer in done.fused.layers if layer.eltwise] == [2, 2]


@pytest.mark.parametrize("pool_first", [True, False])
@pytest.mark.parametrize("kind", [f.max_pool2d, f.avg_pool2d])
def test_pool_and_addition_in_both_orders(pool_first: bool, kind: Callable[..., Tensor]) -> None:
    """Operands pooled alike are pooled by the adding layer, a sum is pooled behind it."""

    def forward(m: nn.ModuleDict, x: Tensor) -> Tensor:
        a, b = m["a"](x), m["b"](x)
        total = kind(a, 2) + kind(b, 2) if pool_first else kind(a + b, 2)
        return m["h"](total)

    layers = {"a": nn.Conv2d(2, 4, 1), "b": nn.Conv2d(2, 4, 1), "h": nn.Conv2d(4, 2, 1)}
    done = agree(Around(forward, **layers), (2, 6, 6))
    assert len(done.fused.layers) == 3
    assert done.fused.layers[2].pool_first is pool_first
    assert done.fused.layers[2].pool.kind in (PoolKind.MAX, PoolKind.AVG)


@pytest.mark.parametrize(
    ("operator", "shape"),
    [
        (nn.Conv2d(4, 3, 3, padding=1), (2, 6, 6)),
        (nn.ConvTranspose2d(4, 3, 3, 2, 1, 1), (2, 6, 6)),
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), (2, 1, 1)),
    ],
)
@pytest.mark.parametrize("part", BOTH, ids=lambda part: part.name)
def test_addition_in_front_of_an_operator(
    operator: nn.Module, shape: tuple[int, ...], part: Part
) -> None:
    """An addition shares its operator's layer, except before biased operators on the MAX78002."""
    net = Around(lambda m, x: m["o"](m["a"](x) + m["b"](x)),
                 a=nn.Conv2d(2, 4, 1), b=nn.Conv2d(2, 4, 1), o=operator)  # fmt: skip
    done = agree(net, shape, part=part)
    adding = next(layer for layer in done.fused.layers if layer.eltwise)
    assert adding.has_weights is (part is MAX78000)


def test_depthwise_convolutions_run_on_the_max78002() -> None:
    """One kernel per channel, 2-D and transposed, smaller kernels included."""
    net = nn.Sequential(
        nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 6, 2, dilation=2, groups=6), nn.ConvTranspose2d(6, 6, 3, 2, 1, 1, groups=6),
        nn.Conv2d(6, 6, 1, groups=6),
    )  # fmt: skip
    done = agree(net, (6, 9, 9), part=MAX78002)
    assert all(layer.groups == 6 for layer in done.fused.layers if layer.has_weights)


@pytest.mark.parametrize("channels", [72, 130])
@pytest.mark.parametrize("part", BOTH, ids=lambda part: part.name)
def test_more_than_64_channels(channels: int, part: Part) -> None:
    """Several passes: pooling, addition and identities keep to what each part can do."""

    def forward(m: nn.ModuleDict, x: Tensor) -> Tensor:
        a, b, c = m["a"](x), m["b"](x), m["c"](x)
        y = torch.relu(f.max_pool2d(a + b + c, 2))
        return f.max_pool2d(m["d"](y), 2), (a - b)

    layers = {name: nn.Conv2d(2, channels, 1) for name in "abc"}
    done = agree(Around(forward, **layers, d=nn.Conv2d(channels, channels, 1)), (2, 4, 4),
                 part=part)  # fmt: skip
    for layer in done.fused.layers:
        if layer.eltwise and layer.operands > 2 and part is MAX78000:
            assert not layer.has_weights
            assert layer.pool is None
        if layer.pool and not layer.has_weights and layer.output_pixels > 1:
            assert part is MAX78002


def test_activations_stand_behind_operators() -> None:
    """Relu and abs join the operator; behind anything else an identity is inserted."""

    def forward(m: nn.ModuleDict, x: Tensor) -> tuple[Tensor, ...]:
        a, b = torch.abs(m["a"](x)), torch.relu(m["b"](x))
        return torch.abs(a - b), torch.relu(f.avg_pool2d(m["c"](x), 2))

    done = agree(Around(forward, **{name: nn.Conv2d(2, 4, 1) for name in "abc"}), (2, 4, 4))
    assert [layer.activation for layer in done.fused.layers[:2]] == [
        Activation.ABS, Activation.RELU,
    ]  # fmt: skip
    assert sum(layer.identity for layer in done.fused.layers) == 2


@pytest.mark.parametrize("part", BOTH, ids=lambda part: part.name)
def test_batch_norm_anywhere(part: Part) -> None:
    """Batch norm folds forward or backward; where it stands alone it becomes a 1×1 layer."""
    net = nn.Sequential(
        nn.BatchNorm2d(2), nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.ReLU(),
        nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.MaxPool2d(2),
        nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.BatchNorm1d(6),
    )  # fmt: skip
    done = agree(net, (2, 4, 4), part=part)
    alone = [layer for layer in done.fused.layers if layer.embedding is not None]
    assert len(alone) == 3
    assert alone[0].groups == (2 if part is MAX78002 else 1)


def test_concatenation_of_concatenations_is_one() -> None:
    """Members keep their order; the next operator reads them side by side."""
    layers = {name: nn.Conv2d(2, 4, 1) for name in "abc"}
    net = Around(
        lambda m, x: m["h"](torch.cat([torch.cat([m["a"](x), m["b"](x)], 1), m["c"](x)], 1)),
        **layers, h=nn.Conv2d(12, 2, 3),
    )  # fmt: skip
    done = agree(net, (2, 5, 5))
    assert len(done.fused.layers) == 4
    assert len(done.fused.layers[-1].inputs) == 3


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: m["l"](x.flatten(1) + torch.relu(m["a"](x)).flatten(1)),
        lambda m, x: torch.relu(m["l"](x.flatten(1)) + m["k"](x.flatten(1))),
        lambda m, x: torch.cat([m["l"](x.flatten(1)), m["k"](x.flatten(1))], 1),
        lambda m, x: m["q"](m["s"](x.reshape(-1, 2, 16)).reshape(-1, 2, 2, 8)),
        lambda m, x: m["s"](m["a"](x).flatten(2)),
        lambda m, x: torch.relu(m["a"](x).flatten(1)),
        lambda m, x: m["l"](torch.relu(m["a"](x).flatten(1)).reshape(-1, 2, 4, 4).flatten(1)),
        lambda m, x: f.interpolate(m["a"](x), scale_factor=2, mode="nearest"),
        lambda m, x: m["q"](f.interpolate(m["a"](x) + x, scale_factor=2, mode="nearest")),
    ],
)
def test_features_and_other_views(function: Function) -> None:
    """Features add and rectify; the same memory is read as rows or as a sequence."""
    torch.manual_seed(12)
    agree(
        Around(function, a=nn.Conv2d(2, 2, 1), s=nn.Conv1d(2, 2, 3, padding=1),
               q=nn.Conv2d(2, 2, 1), l=nn.Linear(32, 3), k=nn.Linear(32, 3)),
        (2, 4, 4),
    )  # fmt: skip


def test_several_outputs_in_the_network_s_order() -> None:
    """An inner tensor, a wide and a pooled output come out in the order of the network."""

    def forward(m: nn.ModuleDict, x: Tensor) -> tuple[Tensor, ...]:
        a = torch.relu(m["a"](x))
        b = m["b"](a)
        return f.max_pool2d(b, 2), a, b, m["c"](b)

    layers = {"a": nn.Conv2d(2, 4, 1), "b": nn.Conv2d(4, 4, 1), "c": nn.Conv2d(4, 2, 1)}
    done = agree(Around(forward, **layers), (2, 4, 4))
    assert [layer.wide for layer in done.fused.layers] == [False, False, True, False]
    assert [done.graph.tensors[name].shape for name in done.graph.outputs] == [
        (4, 2, 2), (4, 4, 4), (4, 4, 4), (2, 4, 4),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x: torch.softmax(m["l"](x.flatten(1)), 1),
        lambda m, x: torch.sigmoid(torch.relu(m["a"](x))),
        lambda m, x: (torch.tanh(m["l"](x.flatten(1))), m["a"](x)),
        lambda m, x: torch.softmax(m["a"](x), 1).flatten(1),
        lambda m, x: (torch.softmax(m["l"](x.flatten(1)), 1), m["l"](x.flatten(1))),
    ],
)
@pytest.mark.parametrize("wide", [True, False])
def test_host_computes_what_stands_last(function: Function, wide: bool) -> None:
    """Softmax, sigmoid and tanh behind the network run on the host, in judge and engine too."""
    torch.manual_seed(13)
    net = Around(function, a=nn.Conv2d(2, 3, 1), l=nn.Linear(32, 3))
    done = agree(net, (2, 4, 4), options=MaximOptions(wide_output=wide))
    assert done.fused.host
    hosted = {node.name for node in done.fused.host}
    assert not hosted & {layer.name for layer in done.fused.layers}
