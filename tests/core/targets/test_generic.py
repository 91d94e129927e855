"""The target `generic`: its ONNX file says exactly what the integer graph computes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from tests.core.quantization.networks import Net, everything, inputs, sequences

from nibblefit.errors import InputError
from nibblefit.fixed.formats import IntArray, Rounding
from nibblefit.fixed.quantize import quantize
from nibblefit.ir import reference
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.ir.store import digest
from nibblefit.quantization.build import quantize_network
from nibblefit.quantization.fold import fold
from nibblefit.quantization.qdq.reading import read_qdq
from nibblefit.quantization.qdq.topology import KEY, topology_of
from nibblefit.quantization.qdq.writing import qdq_model
from nibblefit.quantization.settings import settings
from nibblefit.targets.generic import OPTIONS_KEY, TARGET, meaning_of
from nibblefit.targets.generic_options import GenericOptions, numerics_of

DATA = inputs(8, (3, 8, 8))
OPTIONS: dict[str, dict[str, Any]] = {
    "power of two": {},
    "power of two, per layer": {"per_channel": False},
    "float": {"scales": "float"},
    "float, per layer": {"scales": "float", "per_channel": False},
    "narrow": {"weight_bits": 4, "activation_bits": 6},
    "16 bits": {"activation_bits": 16},
    "16 bits, float": {"activation_bits": 16, "scales": "float"},
    "half up": {"rounding": "half_up"},
}


def _quantized(model: Graph, options: GenericOptions) -> QuantizedGraph:
    graph = quantize_network(model, numerics_of(options), [DATA], settings(), target="generic")
    facts = {**graph.metadata, KEY: topology_of(fold(model))}
    return replace(graph, metadata=frozen_mapping(facts))


def _model(graph: QuantizedGraph, options: GenericOptions) -> onnx.ModelProto:
    return qdq_model(graph, numerics_of(options), {OPTIONS_KEY: options.model_dump_json()})


def _written(graph: QuantizedGraph, options: GenericOptions, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(_model(graph, options).SerializeToString(deterministic=True))
    return path


def _bare(graph: QuantizedGraph) -> QuantizedGraph:
    return replace(graph, metadata=frozen_mapping())


def _without_up() -> Graph:
    """Return a network of operators whose integers standard ONNX can state exactly."""
    net = Net((3, 8, 8))
    y = net.add(Op.RELU, [net.norm(net.conv(net.x, 8, "c1"), "bn1")], "r1")
    z = net.norm(net.conv(y, 8, "c2"), "bn2")
    y = net.add(Op.RELU, [net.add(Op.ADD, [y, z], "add")], "r2")
    y = net.norm(net.add(Op.MAX_POOL, [y], "mp", kernel=(2, 2), strides=(2, 2), pads=(0, 0, 0, 0),
                         dilations=(1, 1), ceil_mode=False), "bn3")  # fmt: skip
    y = net.add(Op.CONCAT, [net.add(Op.LEAKY_RELU, [y], "lr", slope=0.125), y], "cat", axis=1)
    y = net.add(Op.CLIP, [net.conv(y, 8, "dw", groups=8, stride=2)], "r6", lo=0.0, hi=6.0)
    y = net.add(Op.FLATTEN, [net.add(Op.GLOBAL_AVG_POOL, [y], "gap")], "fl", start_axis=1)
    weights, bias = net.constant("fc.weight", 5, 8), net.constant("fc.bias", 5)
    return net.builder.finish([net.add(Op.LINEAR, [y, weights, bias], "fc")])


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("network", [everything, sequences, _without_up])
def test_the_file_read_back_gives_the_same_integers(
    network: Any, name: str, tmp_path: Path
) -> None:
    """Parsed by other code, the ONNX file alone gives every integer of every tensor again."""
    options = GenericOptions(**OPTIONS[name])
    graph = _quantized(network(), options)
    back = read_qdq(_written(graph, options, tmp_path), "generic", meaning_of)
    codes = {"x": quantize(DATA, graph.tensors["x"].format, Rounding.HALF_EVEN)}
    expected, found = reference.run(graph, codes).tensors, reference.run(back, codes).tensors
    assert set(expected) == set(found)
    for tensor, wanted in expected.items():
        np.testing.assert_array_equal(found[tensor], wanted, err_msg=tensor)
        assert back.tensors[tensor].format == graph.tensors[tensor].format
    if network is _without_up:
        assert digest(_bare(back)) == digest(_bare(graph))


def _runtime_codes(path: Path, tensors: list[str]) -> dict[str, IntArray]:
    """Return codes of tensors as ONNX Runtime computes them, nothing optimised."""
    runtime = pytest.importorskip("onnxruntime")
    model = onnx.load(path)
    made = {output for node in model.graph.node for output in node.output}
    shown = [name for name in tensors if f"{name}:codes" in made]
    model.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(f"{name}:codes") for name in shown
    )
    chosen = runtime.SessionOptions()
    chosen.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    chosen.intra_op_num_threads = 1
    session = runtime.InferenceSession(
        model.SerializeToString(), chosen, providers=["CPUExecutionProvider"]
    )
    found = session.run([f"{name}:codes" for name in shown], {"x": DATA})
    return {name: codes.astype(np.int64) for name, codes in zip(shown, found)}


@pytest.mark.parametrize("name", ["power of two", "power of two, per layer", "narrow"])
def test_onnx_runtime_computes_the_same_integers(name: str, tmp_path: Path) -> None:
    """With shifts and half-even rounding a float runtime gives every integer of the judge."""
    options = GenericOptions(**OPTIONS[name])
    graph = _quantized(_without_up(), options)
    codes = {"x": quantize(DATA, graph.tensors["x"].format, Rounding.HALF_EVEN)}
    judged = reference.run(graph, codes).tensors
    found = _runtime_codes(_written(graph, options, tmp_path), list(judged))
    assert len(found) == 10
    for tensor, wanted in found.items():
        np.testing.assert_array_equal(wanted, judged[tensor], err_msg=tensor)


def test_onnx_runtime_stays_within_one_step_with_float_scales(tmp_path: Path) -> None:
    """Float scales round in float32 there and once in integers here: few codes, by one, per layer.

    The differences are real and documented; a wrong scale or zero point would be far larger.
    """
    options = GenericOptions(scales="float")
    graph = _quantized(_without_up(), options)
    codes = {"x": quantize(DATA, graph.tensors["x"].format, Rounding.HALF_EVEN)}
    judged = reference.run(graph, codes).tensors
    found = _runtime_codes(_written(graph, options, tmp_path), list(judged))
    for tensor, wanted in found.items():
        difference = np.abs(wanted - judged[tensor])
        assert difference.max() <= 1, tensor
        assert np.mean(difference > 0) < 0.01, tensor


def test_a_file_of_another_origin_is_refused(tmp_path: Path) -> None:
    """Neither a float ONNX file nor rubbish is taken for a compiled one."""
    (tmp_path / "rubbish.onnx").write_bytes(b"\x00\x01rubbish")
    for name in ("rubbish.onnx", "missing.onnx"):
        with pytest.raises(InputError, match="no file of the target generic"):
            read_qdq(tmp_path / name, "generic", meaning_of)


def test_a_graph_without_its_topology_is_refused() -> None:
    """Compiling a graph of another origin says which step is missing."""
    options = GenericOptions()
    graph = _bare(_quantized(_without_up(), options))
    with pytest.raises(InputError, match="which float operators"):
        _model(graph, options)


def test_inspection_follows_the_options_of_the_recipe() -> None:
    """Every operator but bitwise words runs; widths come from the recipe."""
    report = TARGET.inspect(everything(), "", None)
    assert not report.failed
    (table,) = report.tables
    assert {row[3] for row in table.rows} == {None, 8}  # layers without weights have no width


def test_listing_the_target_imports_no_torch() -> None:
    """`nibblefit targets` stays fast: torch and onnx come with the first stage."""
    code = "import sys, nibblefit.targets.generic; print({'torch', 'onnx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
