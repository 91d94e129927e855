"""Resizing through ONNX files, which know sizes only by a float32 scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_export import export_onnx
from nibblefit.nn.onnx_export.emitters.resizing import _scale
from nibblefit.nn.onnx_import import import_onnx

#: Sizes whose ratios float32 cannot say; 14 to 4 rounds up, 3 to 5 down.
PAIRS = [(14, 4), (3, 5), (3, 7), (7, 3), (49, 10), (10, 49), (6, 9), (13, 13 * 17)]


def resized(size: int, after: int, op: Op) -> Graph:
    """Return a network of one resizing of a square."""
    shapes = frozen_mapping({"x": (1, size, size), "y": (1, after, after)})
    attributes = {"sizes": (after, after), "coordinates": "asymmetric"}
    if op is Op.RESIZE_NEAREST:
        attributes["nearest_mode"] = "floor"
    node = Node("r", op, ("x",), ("y",), frozen_mapping(attributes))
    return Graph("g", ("x",), ("y",), (node,), shapes, frozen_mapping({}))


@pytest.mark.parametrize("op", [Op.RESIZE_NEAREST, Op.RESIZE_BILINEAR])
@pytest.mark.parametrize(("size", "after"), PAIRS)
def test_every_size_comes_back_from_a_file(size: int, after: int, op: Op, tmp_path: Path) -> None:
    """Import of an export is the same network, and ONNX Runtime reaches the same size."""
    graph = resized(size, after, op)
    export_onnx(graph, tmp_path / "r.onnx")
    (node,) = import_onnx(tmp_path / "r.onnx").nodes
    assert (node.op, dict(node.attributes)) == (op, dict(graph.nodes[0].attributes))
    session = onnxruntime.InferenceSession(tmp_path / "r.onnx")
    (found,) = session.run(None, {"x": np.zeros((1, 1, size, size), np.float32)})
    assert found.shape == (1, 1, after, after)


def test_a_scale_is_enough_for_readers_of_either_precision() -> None:
    """Rounded down, size times scale is the wanted size in float32 and in float64."""
    for size in range(1, 80):
        for after in range(1, 80):
            scale = _scale(size, after)
            assert int(np.floor(np.float32(size) * scale)) == after
            assert int(size * float(scale)) == after


def test_scales_of_no_whole_size_are_refused(tmp_path: Path) -> None:
    """5 times 0.7 is 3.5: the file samples at other positions than any ratio of sizes."""
    import onnx

    export_onnx(resized(5, 3, Op.RESIZE_NEAREST), tmp_path / "r.onnx")
    model = onnx.load(tmp_path / "r.onnx")
    (scales,) = (item for item in model.graph.initializer if item.name.endswith("scales"))
    values = np.array([1, 1, 0.7, 0.7], np.float32)
    scales.CopyFrom(onnx.numpy_helper.from_array(values, scales.name))
    del model.graph.value_info[:]
    model.graph.output[0].type.tensor_type.shape.Clear()
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(UnsupportedError, match="whole sizes"):
        import_onnx(tmp_path / "other.onnx")
