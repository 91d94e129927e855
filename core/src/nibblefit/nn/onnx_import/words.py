"""Rounding, integers and bitwise functions of a file: words of one operator, or refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx

from nibblefit.ir.ops import Op
from nibblefit.nn.builder import GraphBuilder
from nibblefit.nn.integers import Word, followed, rounded
from nibblefit.nn.problems import Refused

_ROUNDINGS = {"Round": "round", "Floor": "floor"}
#: ONNX's operators of words, as torch calls them.
_FUNCTIONS = {
    "Clip": "clamp", "Mul": "mul", "Div": "div",
    "BitwiseOr": "bitwise_or", "BitwiseXor": "bitwise_xor",
}  # fmt: skip


def is_of_words(node: onnx.NodeProto, values: Mapping[str, Any]) -> bool:
    """Return whether a node begins a word or reads one."""
    operands = [values.get(name) for name in node.input if name]
    begins = node.op_type in _ROUNDINGS and any(isinstance(value, str) for value in operands)
    return begins or any(isinstance(value, Word) for value in operands)


def enter_words(
    builder: GraphBuilder, node: onnx.NodeProto, values: Mapping[str, Any], wanted: str
) -> Word | str:
    """Return what a node makes of words: another word, or the name of an activation.

    Args:
        builder: The graph so far.
        node: The node.
        values: What every ONNX name stands for.
        wanted: Name for a node of the graph.

    Raises:
        Refused: It is no function of words.
    """
    operands = [values[name] for name in node.input if name]
    if node.op_type in _ROUNDINGS and not isinstance(operands[0], Word):
        return rounded(builder, _ROUNDINGS[node.op_type], operands[0], {})
    words = [value for value in operands if isinstance(value, Word)]
    if any(isinstance(value, str) for value in operands):
        raise Refused("it combines words with real numbers")
    if node.op_type == "Cast":
        return words[0]
    numbers = [value for value in operands if not isinstance(value, Word)]
    return followed(_FUNCTIONS.get(node.op_type, ""), words, numbers, _adding(builder, wanted))


def _adding(
    builder: GraphBuilder, wanted: str
) -> Callable[[Op, Sequence[str], int, int], str]:  # fmt: skip
    def add(op: Op, names: Sequence[str], bits: int, frac: int) -> str:
        return builder.add(op, names, wanted, bits=bits, frac=frac)

    return add
