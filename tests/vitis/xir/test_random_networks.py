"""Random networks through the file: the judge computes the same integers before and after."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.vitis.xir.networks import Net, formats_of, samples

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.runner.artifact import check_read_back
from nibblefit_vitis.quantize.integers import lower_network
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.writing.onnx_form.agreement import compare_qdq
from nibblefit_vitis.writing.onnx_form.writing import to_qdq
from nibblefit_vitis.xir.encoding import encode
from nibblefit_vitis.xir.importing.network import network_of
from nibblefit_vitis.xir.network import to_xir
from nibblefit_vitis.xir.reading import decode

SETTING = NetworkSetting()
LAYERS = ("conv", "depthwise", "up", "relu", "relu6", "leaky", "swish", "max", "mean", "whole",
          "flat", "turn", "cut", "pad", "join", "sum", "dense", "image", "split")  # fmt: skip


@st.composite
def networks(draw: st.DrawFn) -> Graph:
    """Return a network of up to seven layers with branches, images and vectors."""
    sizes = (draw(st.integers(1, 4)), draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    net = Net(*sizes)
    net.random = np.random.default_rng(draw(st.integers(0, 99)))
    tensors = [net.x]
    for index in range(draw(st.integers(3, 9))):
        x = draw(st.sampled_from((tensors[-1], tensors[-1], *tensors)))
        made = added(draw, net, x, tensors, f"n{index}")
        if made is not None:
            tensors.append(made)
    if len(tensors) == 1:
        return net.done(net.add(Op.RELU, [net.x], "only"))
    return net.done(tensors[-1], *draw(st.sets(st.sampled_from(tensors[1:-1]), max_size=1))
                    if len(tensors) > 2 else ())  # fmt: skip


def added(draw: st.DrawFn, net: Net, x: str, tensors: list[str], name: str) -> str | None:
    """Add a layer that fits a tensor; None where the drawn one does not."""
    shape, kind = net.builder.shape_of(x), draw(st.sampled_from(LAYERS))
    same = [t for t in tensors if net.builder.shape_of(t) == shape]
    simple = {
        "relu": (Op.RELU, {}),
        "relu6": (Op.CLIP, {"lo": 0.0, "hi": 6.0}),
        "leaky": (Op.LEAKY_RELU, {"slope": 0.1015625}),
        "swish": (Op.HARD_SWISH, {}),
    }
    if kind in simple:
        op, attributes = simple[kind]
        return net.add(op, [x], name, **attributes)
    if kind == "sum":
        return net.add(Op.ADD, [x, draw(st.sampled_from(same))], name)
    if kind == "join":
        return net.add(Op.CONCAT, [x, draw(st.sampled_from(same))], name, axis=1)
    if kind == "flat":
        return net.add(Op.FLATTEN, [x], name, start_axis=1)
    if kind == "dense" and len(shape) == 1:
        return net.linear(x, draw(st.integers(1, 8)), name)
    if kind == "image" and len(shape) == 1 and shape[0] % 4 == 0:
        return net.add(Op.RESHAPE, [x], name, shape=(shape[0] // 4, 2, 2))
    if len(shape) != 3:
        return None
    return image_layer(draw, net, x, kind, name)


def image_layer(draw: st.DrawFn, net: Net, x: str, kind: str, name: str) -> str | None:
    """Add a layer that reads images."""
    channels, height, width = net.builder.shape_of(x)
    if kind == "conv":
        return net.conv(x, draw(st.integers(1, 5)), name)
    if kind == "depthwise" and channels > 1:
        return net.conv(x, channels, name, groups=channels)
    if kind == "up" and height * width < 40:
        return net.deconv(x, draw(st.integers(1, 4)), name)
    if kind == "whole":
        return net.add(Op.GLOBAL_AVG_POOL, [x], name)
    if kind == "turn":
        perm = draw(st.permutations((1, 2, 3)))
        return net.add(Op.TRANSPOSE, [x], name, perm=(0, *perm))
    if kind == "pad":
        pads = tuple(draw(st.lists(st.integers(0, 2), min_size=4, max_size=4)))
        return net.add(Op.PAD, [x], name, pads=(0, *pads[:2], 0, *pads[2:]), value=0.0)
    if kind == "cut" and height > 1:
        return net.add(Op.SLICE, [x], name, axes=(2,), starts=(1,), ends=(height,), strides=(2,))
    if kind == "split" and channels > 1:
        parts = net.builder.add_split(x, 1, (1, channels - 1), name)
        return net.add(Op.CONCAT, [parts[1], parts[0]], f"{name}_back", axis=1)
    if kind in ("max", "mean"):
        kernel = (min(height, draw(st.integers(1, 3))), min(width, draw(st.integers(1, 3))))
        window = {"kernel": kernel, "strides": (1, 1), "pads": (0, 0, 0, 0), "ceil_mode": False}
        if kind == "max":
            return net.add(Op.MAX_POOL, [x], name, dilations=(1, 1), **window)
        return net.add(Op.AVG_POOL, [x], name, count_include_pad=True, **window)
    return None


@given(networks())
def test_integers_are_the_same_before_and_after(graph: Graph) -> None:
    """The network read from the bytes gives every output code of the written one."""
    formats = formats_of(graph)
    exported = to_xir(graph, formats, SETTING)
    back = network_of(decode(encode(exported.graph)), exported.names)
    ours = lower_network(graph, formats, SETTING)
    check_read_back(ours, lower_network(back.graph, back.formats, SETTING), "vitis", 3)


@given(networks())
def test_onnx_differs_by_ties_only(graph: Graph) -> None:
    """Onnxruntime's codes are the DPU's, layer by layer, but for explained differences."""
    formats = formats_of(graph)
    model = to_qdq(graph, formats, SETTING)
    compare_qdq(graph, formats, SETTING, model, samples(graph)).require_explained()
