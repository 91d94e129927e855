"""The table files themselves: complete, consistent, and refused where they are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from pydantic import ValidationError
from tests.tidl.tables.judged import one

from nibblefit.errors import NibblefitError
from nibblefit.ir.ops import Op
from nibblefit.nn.builder import GraphBuilder
from nibblefit.nn.onnx_import import import_onnx
from nibblefit_tidl.classic.numerics import HOST_OPERATORS
from nibblefit_tidl.classic.numerics import OPERATORS as CLASSIC
from nibblefit_tidl.current.numerics import OPERATORS, numerics_of
from nibblefit_tidl.devices import CLASSIC_DEVICES, DEVICES
from nibblefit_tidl.tables.checks import CHECKS
from nibblefit_tidl.tables.judging import Setting, judge
from nibblefit_tidl.tables.reading import Generation, operator_table, rewrites
from nibblefit_tidl.tables.schema import Limit, Row, Severity

#: Operators of the reference sheet's section 4.1, row by row.
SHEET = [
    "Conv",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "Relu",
    "PRelu",
    "LeakyRelu",
    "Clip",
    "Sigmoid",
    "Tanh",
    "HardSigmoid",
    "Elu",
    "HardSwish",
    "Mish",
    "Log",
    "Abs",
    "Floor",
    "Exp",
    "Sin",
    "Cos",
    "Tan",
    "Asin",
    "Acos",
    "Atan",
    "Sinh",
    "Cosh",
    "Asinh",
    "Neg",
    "Sqrt",
    "Pow",
    "Add",
    "Mul",
    "Div",
    "Sub",
    "Max",
    "Sum",
    "Gemm",
    "MatMul",
    "Softmax",
    "BatchNormalization",
    "ConvTranspose",
    "Concat",
    "Slice",
    "Split",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Transpose",
    "ArgMax",
    "Resize",
    "Upsample",
    "DepthToSpace",
    "SpaceToDepth",
    "Pad",
    "ReduceMin",
    "ReduceMax",
    "Gather",
    "ScatterND",
    "ScatterElements",
    "GridSample",
    "TopK",
    "DeformConv",
    "LayerNormalization",
    "InstanceNormalization",
    "Cast",
    "QuantizeLinear",
    "DequantizeLinear",
    "Dropout",
    "Identity",
    "Erf",
    "ReduceMean",
]
CLASSIC_SHEET = [
    "Convolution",
    "Deconvolution",
    "Pooling",
    "ReLU",
    "ReLU6",
    "PReLU",
    "Eltwise",
    "InnerProduct",
    "Softmax",
    "Bias",
    "Scale",
    "BatchNorm",
    "Concat",
    "Split",
    "Slice",
    "Crop",
    "Flatten",
    "Dropout",
    "ArgMax",
    "DetectionOutput",
    "ShuffleChannel",
    "Resize",
    "Pad",
    "Squeeze",
    "Shape",
    "Permute",
    "Reshape",
    "PriorBox",
]
#: Operators whose ONNX form needs settings before any importer can look at it, or that the importer
#: takes where it can turn them into others.
_TURNED = {"Cast", "Gather", "ReduceMean", "ReduceMax", "Sum", "Div", "SpaceToDepth", "Neg", "Pow",
           "Sqrt", "Max", "Min", "ReduceSum", "ReduceMin", "Floor"}  # fmt: skip


@pytest.mark.parametrize(("generation", "sheet"), [("current", SHEET), ("classic", CLASSIC_SHEET)])
def test_every_row_of_the_sheet_is_there(generation: Generation, sheet: list[str]) -> None:
    """Once each."""
    names = [name for row in operator_table(generation).row for name in row.names]
    assert set(sheet) <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("generation", ["current", "classic"])
def test_limits_name_what_exists(generation: Generation) -> None:
    """Checks, devices and rewrites of the files are known; graph operators are real."""
    devices = DEVICES if generation == "current" else CLASSIC_DEVICES
    for row in operator_table(generation).row:
        assert set(row.graph) <= {op.value for op in Op}
        for limit in row.limits:
            assert limit.check in CHECKS
            assert set(limit.devices) <= set(devices)
            assert not limit.rewrite or limit.rewrite in rewrites()


@pytest.mark.parametrize(
    ("generation", "operators"), [("current", OPERATORS), ("classic", CLASSIC | HOST_OPERATORS)]
)
def test_every_operator_of_the_arithmetic_has_a_row(
    generation: Generation, operators: frozenset[Op]
) -> None:
    """What a target declares, its table describes."""
    table = operator_table(generation)
    assert all(table.rows_of(op.value) for op in operators)


def test_ti_has_at_least_43_rewrites() -> None:
    """All are described, and those that the sheet names are among them."""
    assert len(rewrites()) >= 43
    assert all(rewrites().values())
    assert {"convert_maxpool_to_cascaded_maxpool", "convert_reducemean_to_matmul",
            "convert_conv_even_filter_to_odd", "convert_large_global_avg_pooling_to_matmul",
            "convert_resize_params_size_to_scale", "expand_layernorm_to_component_ops",
            "add_bias_qdq"} <= set(rewrites())  # fmt: skip


def _outside() -> list[str]:
    rows = [row for row in operator_table("current").row if not row.graph]
    return [name for row in rows for name in row.names if name not in _TURNED]


@pytest.mark.parametrize("name", _outside())
def test_operators_outside_the_graph_are_refused_by_name(tmp_path: Path, name: str) -> None:
    """Where a row says that the graph has no such operator, the importer refuses it by its name."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 8, 8])
    schema = onnx.defs.get_schema(name, 19)
    outputs = ["y", *(f"y{place}" for place in range(1, schema.min_output))]
    node = helper.make_node(name, ["x"] * schema.min_input, outputs, "layer")
    graph = helper.make_graph([node], "net", [x], [y])
    file = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)]), file)
    with pytest.raises(NibblefitError) as caught:
        import_onnx(file)
    assert name in str(caught.value)


def test_unfinished_limits_and_rows_are_refused() -> None:
    """A limit says what to do, a row outside the graph says why, unknown keys are errors."""
    with pytest.raises(ValidationError, match="neither rewrite nor remedy"):
        Limit(check="always", verdict=Severity.REFUSED, reason="no")
    with pytest.raises(ValidationError, match="no operator of the graph, and no reason"):
        Row(names=("X",), layer="x", graph=(), constraints="")
    with pytest.raises(ValidationError, match="extra"):
        Row.model_validate({"names": ["X"], "layer": "x", "graph": ["conv"], "constraints": "",
                            "limit": []})  # fmt: skip


def test_operators_without_a_row_are_refused() -> None:
    """What the arithmetic can do and TI's table does not name does not run."""
    numerics = numerics_of(DEVICES["tda4vm"], 1)
    wider = replace(numerics, operators=numerics.operators | {Op.OR})
    graph = one(Op.OR, (2, 4, 4), twice=True)
    (found,) = judge(graph, Setting("current", "tda4vm", wider))
    assert found.is_refused
    assert "no or" in found.refusal[0]


def test_what_reads_no_tensor_breaks_no_limit() -> None:
    """A layer computed from constants is nothing for the device to run."""
    builder = GraphBuilder("constant")
    builder.add_input("x", (2, 4, 4))
    constants = [builder.add_constant(f"c{i}", np.ones((2, 4, 4), np.float32)) for i in range(2)]
    total = builder.add(Op.ADD, constants, "total")
    graph = builder.finish([builder.add(Op.ADD, ["x", total], "sum")])
    setting = Setting("current", "tda4vm", numerics_of(DEVICES["tda4vm"], 1))
    assert not any(found.broken for found in judge(graph, setting))
