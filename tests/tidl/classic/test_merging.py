"""How the classic importer groups nodes into layers."""

from __future__ import annotations

from tests.tidl.networks import Net, classifier

from nibblefit.ir.ops import Op
from nibblefit.quantization.fold import fold
from nibblefit_tidl.classic.merging import merged_layers


def test_relu_and_halving_pool_join_the_convolution() -> None:
    """Conv, relu and a 2 × 2 pool with stride 2 are one layer; the sum and relu another."""
    layers = merged_layers(fold(classifier()))
    ops = [[node.op for node in layer.nodes] for layer in layers]
    assert ops[0] == [Op.CONV, Op.RELU, Op.MAX_POOL]
    assert layers[0].pool is not None
    assert layers[0].output == "pool"
    assert [Op.ADD, Op.RELU] in ops
    assert layers[-1].fully_connected
    assert layers[0].name == "stem"


def test_other_pools_stay_alone() -> None:
    """A 3 × 3 pool, and one whose input has another reader, are layers of their own."""
    net = Net((1, 8, 8))
    conv = net.conv(net.x, 2, "c")
    large = net.add(Op.MAX_POOL, [conv], "large", kernel=(3, 3), strides=(2, 2), pads=(0,) * 4)
    other = net.conv(net.x, 2, "d")
    shared = net.add(Op.MAX_POOL, [other], "shared", kernel=(2, 2), strides=(2, 2), pads=(0,) * 4)
    layers = merged_layers(net.finish(large, shared, net.relu(other)))
    assert [layer.name for layer in layers if layer.nodes[0].op is Op.MAX_POOL] == [
        "large", "shared",
    ]  # fmt: skip
    assert all(layer.pool is None for layer in layers)
    assert layers[0].input_channels == 2  # one channel is padded to two


def test_a_pointwise_convolution_on_one_pixel_is_fully_connected() -> None:
    """The importer turns it into an inner product."""
    net = Net((6, 1, 1))
    (layer,) = merged_layers(net.finish(net.conv(net.x, 4, "c", kernel=1)))
    assert layer.fully_connected
    assert layer.input_channels == 6
