"""Rules about single operators."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from nibblefit_tidl.qdq.linting.activation_rules import is_symmetric
from nibblefit_tidl.qdq.linting.problem import Problem, Subject, error, warning
from nibblefit_tidl.qdq.structure import DEQUANTIZE, QUANTIZE, Structure, attribute, place_of


def gemm(subject: Subject) -> Iterator[Problem]:
    """Gemm is a plain linear layer."""
    for node in subject.structure.nodes:
        if node.op_type != "Gemm":
            continue
        place, remedy = place_of(node), "export it with transB = 1 and nothing else"
        if (
            attribute(node, "transA", 0)
            or attribute(node, "alpha", 1.0) != 1.0
            or (attribute(node, "beta", 1.0) != 1.0)
        ):
            yield error("gemm.form", place, "it has transA, alpha or beta", remedy)
        elif not attribute(node, "transB", 0):
            yield warning("gemm.form", place, "its weights are not transposed; the vendor's "
                          "exporter writes transB = 1", remedy)  # fmt: skip


def batch_norm(subject: Subject) -> Iterator[Problem]:
    """Batch norm is folded into the layer before it."""
    for node in subject.structure.nodes:
        if node.op_type == "BatchNormalization":
            yield warning("batch_norm.folded", place_of(node), "batch norm is a float layer of its "
                          "own", "fold it into the convolution before quantizing")  # fmt: skip


def matmul(subject: Subject) -> Iterator[Problem]:
    """Products of two tensors are symmetric, and of one sign on TDA4VM."""
    structure, chip = subject.structure, subject.device
    for node in structure.nodes:
        if node.op_type != "MatMul":
            continue
        pairs = [pair for name in node.input if (pair := _activation(structure, name)) is not None]
        for pair in pairs:
            if not is_symmetric(structure.parameters(pair).zero) and not _behind_softmax(
                structure, pair
            ):
                yield warning(
                    "matmul.symmetric",
                    place_of(node),
                    f"its input '{pair.output[0]}' has a zero point off the middle",
                    "use symmetric scales for inputs "
                    "of products, but behind a softmax (the MSA configurations)",
                )
        signs = {_signed(structure, pair) for pair in pairs}
        if len(signs) > 1 and chip is not None and chip.mma == 1:
            yield error(
                "matmul.signs",
                place_of(node),
                "one input is signed, the other is not; "
                f"{chip.name} multiplies tensors of one kind",
                "give both the same sign",
            )
        yield from _output_sign(structure, node, signs)


def _output_sign(structure: Structure, node: onnx.NodeProto, signs: set[bool]) -> Iterator[Problem]:
    for reader in structure.readers.get(node.output[0], []):
        if reader.op_type == QUANTIZE and True in signs and not _signed(structure, reader):
            yield error("matmul.signs", place_of(node), "signed inputs make an unsigned output",
                        "quantize its output with sign")  # fmt: skip


def _activation(structure: Structure, name: str) -> onnx.NodeProto | None:
    node = structure.producers.get(name)
    if node is None or node.op_type != DEQUANTIZE or node.input[0] in structure.constants:
        return None
    return node


def _signed(structure: Structure, pair: onnx.NodeProto) -> bool:
    """Return whether a tensor takes negative values: a signed type, or a zero point above 0."""
    zero = structure.parameters(pair).zero
    return zero is not None and (zero.dtype == np.int8 or bool(np.any(zero)))


def _behind_softmax(structure: Structure, pair: onnx.NodeProto) -> bool:
    quantizer = structure.producers.get(pair.input[0])
    maker = structure.producers.get(quantizer.input[0]) if quantizer is not None else None
    return maker is not None and maker.op_type == "Softmax"


RULES = (gemm, batch_norm, matmul)
