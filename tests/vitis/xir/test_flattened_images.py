"""Dense layers behind flattened images: their weights are reordered, nothing is transposed."""

from __future__ import annotations

import numpy as np
import pytest
from tests.vitis.xir.networks import Net, formats_of, samples

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.writing.onnx_form.agreement import Walk
from nibblefit_vitis.xir.encoding import encode
from nibblefit_vitis.xir.importing.network import network_of
from nibblefit_vitis.xir.network import to_xir
from nibblefit_vitis.xir.parameters import plain_position
from nibblefit_vitis.xir.reading import decode


def flattened(*, reader: str = "") -> Graph:
    """Return convolution, flatten and two dense layers with shared weights, one behind the other.

    With `reader` something else reads the vector too.
    """
    net = Net(2, 3, 2)
    image = net.conv(net.x, 2, "conv")
    vector = net.add(Op.FLATTEN, [image], "flat", start_axis=1)
    shared = net.constant("shared", 12, 12)
    first = net.add(Op.LINEAR, [vector, shared], "first")
    second = net.add(Op.LINEAR, [first, shared], "second")
    if reader == "sum":
        second = net.add(Op.ADD, [second, vector], "sum")
    return net.done(*([second, vector] if reader == "output" else [second]))


def transposed(graph: Graph) -> int:
    """Return how many transpositions the file of a network has."""
    operators = to_xir(graph, formats_of(graph), NetworkSetting()).graph.operators
    return sum(operator.kind == "transpose" for operator in operators)


def test_weights_take_the_order_of_the_image_and_nothing_is_transposed() -> None:
    """Column (y, x, channel) of the file is column (channel, y, x) of the layer; shared weights of
    a layer that reads no image stay as they are.
    """
    graph = flattened()
    assert transposed(graph) == 0
    exported = to_xir(graph, formats_of(graph), NetworkSetting())
    matrices = [
        np.frombuffer(operator.value("data"), "<f4").reshape(12, 12)
        for operator in exported.graph.operators
        if operator.kind == "const" and operator.tensor.shape == (12, 12)
    ]
    changed, plain = matrices
    columns = [channel * 6 + y * 2 + x for y in range(3) for x in range(2) for channel in range(2)]
    np.testing.assert_array_equal(changed, plain[:, columns])


@pytest.mark.parametrize("reader", ["sum", "output"])
def test_vectors_that_others_read_are_transposed(reader: str) -> None:
    """They need the values in our order."""
    assert transposed(flattened(reader=reader)) == 1


@pytest.mark.parametrize("reader", ["", "sum"])
def test_a_file_alone_computes_the_same(reader: str) -> None:
    """Read without our names, every rounded output is that of the network that was written."""
    graph = flattened(reader=reader)
    formats = formats_of(graph)
    back = network_of(decode(encode(to_xir(graph, formats, NetworkSetting()).graph)))
    inputs = samples(graph)
    ours = Walk(graph, formats, NetworkSetting())
    theirs = Walk(back.graph, back.formats, NetworkSetting())
    ours.through(inputs)
    theirs.through({back.graph.inputs[0]: inputs["x"]})
    (output,), (same,) = graph.outputs, back.graph.outputs
    np.testing.assert_array_equal(theirs.codes[same], ours.codes[output])


@pytest.mark.parametrize("reader", ["", "sum", "output"])
def test_names_bring_weights_back_in_our_order(reader: str) -> None:
    """The shared matrix is one constant again, with the codes it had."""
    graph = flattened(reader=reader)
    exported = to_xir(graph, formats_of(graph), NetworkSetting())
    back = network_of(decode(encode(exported.graph)), exported.names)
    assert set(back.graph.constants) == set(graph.constants)
    step = 2.0 ** -plain_position(formats_of(graph).params["shared"], "shared").position
    expected = np.clip(np.asarray(graph.constants["shared"]), -128 * step, 127 * step)
    assert np.abs(np.asarray(back.graph.constants["shared"]) - expected).max() <= step / 2
