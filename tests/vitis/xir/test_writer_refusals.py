"""What XIR or the DPU has no form for is refused with the layer's name; rarer forms are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.vitis.xir.networks import Net, convolutions, formats_of, samples

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit_vitis.formats import FixPosition, FloatScale, NetworkFormats
from nibblefit_vitis.settings import DPU_DEFAULT, Device, NetworkSetting, RoundMode
from nibblefit_vitis.writing.onnx_form.agreement import Walk
from nibblefit_vitis.xir.encoding import encode
from nibblefit_vitis.xir.importing.network import network_of
from nibblefit_vitis.xir.network import to_xir
from nibblefit_vitis.xir.reading import decode

SETTING = NetworkSetting()


def one(shape: tuple[int, ...], op: Op, **attributes: object) -> Graph:
    """Return a network of one operator."""
    net = Net(*shape)
    return net.done(net.add(op, [net.x], "layer", **attributes))


def _line() -> Graph:
    net = Net(3, 8)
    weight = net.constant("layer.weight", 2, 3, 3)
    return net.done(net.add(Op.CONV, [net.x, weight], "layer"))


def _grouped_up() -> Graph:
    net = Net(4, 4, 4)
    return net.done(net.deconv(net.x, 4, "layer", groups=2))


def _padded_up() -> Graph:
    net = Net(4, 4, 4)
    return net.done(net.deconv(net.x, 4, "layer", output_padding=(1, 0)))


def _cropped_up() -> Graph:
    net = Net(4, 6, 6)
    return net.done(net.deconv(net.x, 4, "layer", pads=(3, 0, 0, 1)))


IMAGE = (4, 6, 6)
WINDOW = {"kernel": (2, 2), "strides": (1, 1), "pads": (0, 0, 0, 0), "ceil_mode": False}


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (_line, "1 spatial axes"),
        (_grouped_up, "2 groups"),
        (_padded_up, "output padding"),
        (_cropped_up, "exceeds the kernel"),
        (lambda: one(IMAGE, Op.ABS), "no such operator"),
        (lambda: one(IMAGE, Op.CLIP, lo=-1.0, hi=1.0), r"clips to -1\.0 and 1\.0"),
        (lambda: one(IMAGE, Op.HARD_SIGMOID, alpha=0.2, beta=0.5), "slope 0.2"),
        (lambda: one(IMAGE, Op.MAX_POOL, dilations=(2, 1), **WINDOW), "no dilation"),
        (lambda: one((3, 8), Op.GLOBAL_AVG_POOL), "1 spatial axes"),
        (lambda: one(IMAGE, Op.SLICE, axes=(2,), starts=(5,), ends=(0,), strides=(-1,)), "stride"),
        (lambda: one(IMAGE, Op.PAD, pads=(0, -1, 0, 0, 0, 0), value=0.0), "negative padding"),
        (lambda: one(IMAGE, Op.RESIZE_NEAREST, sizes=(12, 6), coordinates="asymmetric",
                     nearest_mode="floor"), "not scaled by the same factor"),
        (lambda: one(IMAGE, Op.RESIZE_NEAREST, sizes=(9, 9), coordinates="asymmetric",
                     nearest_mode="floor"), "whole factor"),
        (lambda: one(IMAGE, Op.RESIZE_NEAREST, sizes=(12, 12), coordinates="asymmetric",
                     nearest_mode="ceil"), "neighbours"),
        (lambda: one(IMAGE, Op.PIXEL_SHUFFLE, factor=2, order="dcr"), "dcr"),
    ],
)  # fmt: skip
def test_layers_without_a_form_are_named(build: Callable[[], Graph], words: str) -> None:
    """The text has the layer, the reason and a way out."""
    graph = build()
    with pytest.raises(UnsupportedError, match=words) as found:
        to_xir(graph, formats_of(graph), SETTING)
    assert "'layer'" in found.value.what
    assert found.value.hint


@pytest.mark.parametrize(
    "form",
    [
        FloatScale(8, (0.1,), (0,), (1.0,)),
        FixPosition(8, 3, unsigned=True),
        FixPosition(8, 3, (3,) * 6, 0),
    ],
)
def test_formats_without_a_form_are_named(form: FloatScale | FixPosition) -> None:
    """Float scales, unsigned codes and positions per channel do not fit a fix operator."""
    graph, formats = convolutions(), formats_of(convolutions())
    changed = replace(formats, params=frozen_mapping({**formats.params, "plain.weight": form}))
    with pytest.raises(UnsupportedError, match=r"parameter 'plain\.weight'"):
        to_xir(graph, changed, SETTING)


def test_other_arithmetic_is_refused() -> None:
    """Other devices and other roundings would compute other integers than the file states."""
    graph, formats = convolutions(), formats_of(convolutions())
    with pytest.raises(UnsupportedError, match="target_device is CPU"):
        to_xir(graph, formats, replace(SETTING, device=Device.CPU))
    even = frozen_mapping(
        {kind: replace(own, round_mode=RoundMode.HALF_EVEN) for kind, own in DPU_DEFAULT.items()}
    )
    with pytest.raises(UnsupportedError, match="layer 'relu' round by half_even"):
        to_xir(graph, formats, replace(SETTING, layers=frozen_mapping({"relu": even})))
    # The original ignores the mode for the DPU, so in parity it changes nothing.
    assert to_xir(graph, formats, replace(SETTING, base=even, parity=True))


def back(graph: Graph, formats: NetworkFormats) -> tuple[Walk, Walk]:
    """Return the executions of a network and of what is read of its file."""
    exported = to_xir(graph, formats, SETTING)
    read = network_of(decode(encode(exported.graph)), exported.names)
    walks = (Walk(graph, formats, SETTING), Walk(read.graph, read.formats, SETTING))
    for walk in walks:
        walk.through(samples(graph))
    return walks


def test_a_layers_own_input_format_is_written_and_read() -> None:
    """The fix stands before that layer only, and comes back as the layer's own format."""
    graph = convolutions()
    formats = replace(formats_of(graph), inputs=frozen_mapping({"grouped": FixPosition(8, 2)}))
    exported = to_xir(graph, formats, SETTING)
    read = network_of(decode(encode(exported.graph)), exported.names)
    assert dict(read.formats.inputs) == dict(formats.inputs)
    ours, theirs = back(graph, formats)
    np.testing.assert_array_equal(ours.codes["dilated"], theirs.codes["dilated"])


def test_a_pool_with_its_own_input_format_is_found_behind_its_factor() -> None:
    """The layer that reads it is the one that ends with the product."""
    net = Net(3, 4, 4)
    graph = net.done(net.add(Op.GLOBAL_AVG_POOL, [net.x], "mean"))
    formats = replace(formats_of(graph), inputs=frozen_mapping({"mean": FixPosition(8, 1)}))
    exported = to_xir(graph, formats, SETTING)
    read = network_of(decode(encode(exported.graph)), exported.names)
    assert dict(read.formats.inputs) == {"mean": FixPosition(8, 1)}


def test_identities_vanish_or_become_a_second_rounding() -> None:
    """An identity with a format of its own is a fix; without one it is nothing."""
    net = Net(3, 4, 4)
    x = net.add(Op.IDENTITY, [net.x], "nothing")
    x = net.add(Op.IDENTITY, [x], "rounded")
    graph = net.done(net.add(Op.RELU, [x], "relu"))
    formats = NetworkFormats(
        outputs=frozen_mapping({"x": FixPosition(8, 5), "rounded": FixPosition(8, 2)})
    )
    kinds = [op.kind for op in to_xir(graph, formats, SETTING).graph.operators]
    assert kinds == ["data", "fix", "fix", "relu"]
    ours, theirs = back(graph, formats)
    np.testing.assert_array_equal(ours.codes["rounded"], theirs.codes["rounded"])


def test_splits_and_smooth_resizing_are_written() -> None:
    """Every part of a split is a slice; bilinear scaling keeps how positions are counted."""
    for way in ("half_pixel", "align_corners", "asymmetric"):
        net = Net(4, 3, 3)
        first, second = net.builder.add_split(net.x, 1, (1, 3), "parts")
        x = net.add(Op.RESIZE_BILINEAR, [second], "larger", sizes=(6, 6), coordinates=way)
        graph = net.done(x, first)
        exported = to_xir(graph, formats_of(graph), SETTING)
        read = network_of(decode(encode(exported.graph)), exported.names)
        assert read.graph.node("larger").attributes["coordinates"] == way
        assert set(read.graph.outputs) == {"larger", "parts:0"}
        ours, theirs = back(graph, formats_of(graph))
        np.testing.assert_array_equal(ours.codes["larger"], theirs.codes["larger"])


def test_a_shared_parameter_is_written_once() -> None:
    """Two layers with one weight read one constant."""
    net = Net(3, 4, 4)
    weight = net.constant("shared.weight", 3, 3, 1, 1)
    x = net.add(Op.CONV, [net.x, weight], "first")
    graph = net.done(net.add(Op.CONV, [x, weight], "second"))
    operators = to_xir(graph, formats_of(graph), SETTING).graph.operators
    assert [op.kind for op in operators].count("const") == 1


def test_a_tensor_needed_in_another_order_is_transposed_once() -> None:
    """Two readers that flatten the same image share the transposition."""
    net = Net(2, 3, 3)
    a = net.add(Op.FLATTEN, [net.x], "a", start_axis=1)
    b = net.add(Op.FLATTEN, [net.x], "b", start_axis=1)
    graph = net.done(net.add(Op.ADD, [a, b], "sum"))
    operators = to_xir(graph, formats_of(graph), SETTING).graph.operators
    (moved,) = [op for op in operators if op.kind == "transpose"]
    assert moved.name.endswith("_t")
    ours, theirs = back(graph, formats_of(graph))
    np.testing.assert_array_equal(ours.codes["sum"], theirs.codes["sum"])
