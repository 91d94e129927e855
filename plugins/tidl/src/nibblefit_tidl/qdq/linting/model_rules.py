"""Rules about the model as a whole: operator set, shapes, the edges of the network."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto

from nibblefit_tidl.qdq.linting.problem import Problem, Subject, error, note, warning
from nibblefit_tidl.qdq.structure import DEQUANTIZE, PAIR, QUANTIZE, place_of
from nibblefit_tidl.qdq.writing import MODEL_SOURCE, OPSET

#: Operator sets with scales per channel, and the newest that tools 11.0 know. Source: supported
#: operators of edgeai-tidl-tools 11_00_06_00 (ONNX 1.14, ONNX Runtime 1.15).
OLDEST, NEWEST = 13, 19
#: The file format that goes with the newest one.
NEWEST_IR = 9
_SHAPES = "run onnx.shape_inference.infer_shapes on a model with fixed input sizes, and save it"


def is_quantized(subject: Subject) -> Iterator[Problem]:
    """A QDQ model has QuantizeLinear and DequantizeLinear."""
    kinds = {node.op_type for node in subject.structure.nodes}
    if not kinds >= set(PAIR):
        yield error(
            "model.quantized",
            "",
            "the model has no pairs of QuantizeLinear and DequantizeLinear",
            "import it as a float model, without prequantized_model",
        )


def opset(subject: Subject) -> Iterator[Problem]:
    """The operator set has scales per channel and is known to the tools."""
    found, remedy = subject.structure.opset, f"export with opset {OPSET}"
    if found < OLDEST:
        yield error("model.opset", "", f"opset is {found}; DequantizeLinear has scales per channel "
                    f"from {OLDEST} on", remedy)  # fmt: skip
    elif found > NEWEST:
        yield warning("model.opset", "", f"opset is {found}; the tools know {NEWEST}", remedy)
    if subject.structure.model.ir_version > NEWEST_IR:
        yield warning("model.opset", "", f"the file's IR version is "
                      f"{subject.structure.model.ir_version}; the tools' runtime reads {NEWEST_IR}",
                      "set ir_version to 8 when saving")  # fmt: skip


def static_shapes(subject: Subject) -> Iterator[Problem]:
    """Every size is known: the importer ends in 'DIM Error … Dim is -1' otherwise."""
    graph, producers = subject.structure.model.graph, subject.structure.producers
    for value in (*subject.structure.inputs, *graph.output):
        if not _is_static(value):
            yield error("model.shapes", value.name, "a size is open; expected fixed sizes, batch "
                        "included", _SHAPES)  # fmt: skip
    known = {value.name: value for value in graph.value_info}
    known.update({value.name: value for value in graph.output})
    missing = [name for name in producers if name not in known or not _is_static(known[name])]
    if missing:
        names = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
        yield error("model.shapes", missing[0], f"{len(missing)} tensors have no shape ({names}): "
                    "the importer reads Dim -1", _SHAPES)  # fmt: skip


def edges(subject: Subject) -> Iterator[Problem]:
    """Network inputs and outputs are quantized like every other activation."""
    structure = subject.structure
    for value in structure.inputs:
        for node in structure.readers.get(value.name, []):
            if node.op_type != QUANTIZE:
                yield error("network.input", value.name, f"'{place_of(node)}' ({node.op_type}) "
                            "reads the input as it is", "put QuantizeLinear and DequantizeLinear "
                            "behind the input")  # fmt: skip
        if value.type.tensor_type.elem_type != TensorProto.FLOAT:
            yield error(
                "network.input",
                value.name,
                "its type is not float32",
                "let the input be float32; add_data_convert_ops makes integers of it",
            )
    for value in structure.model.graph.output:
        maker = structure.producers.get(value.name)
        if maker is not None and maker.op_type not in {DEQUANTIZE, "ArgMax", "Cast"}:
            yield warning("network.output", value.name, f"'{place_of(maker)}' ({maker.op_type}) "
                          "makes the output without a pair behind it", "end the network in "
                          "QuantizeLinear and DequantizeLinear")  # fmt: skip


def source(subject: Subject) -> Iterator[Problem]:
    """The exporter names itself."""
    if not any(entry.key == MODEL_SOURCE for entry in subject.structure.model.metadata_props):
        yield note("model.source", "", f"metadata has no entry '{MODEL_SOURCE}'",
                   "name the exporter and its version there")  # fmt: skip


def _is_static(value: onnx.ValueInfoProto) -> bool:
    kind = value.type.tensor_type
    return kind.HasField("shape") and all(dim.dim_value > 0 for dim in kind.shape.dim)


RULES = (is_quantized, opset, static_shapes, edges, source)
