"""Integers inside a network: understood where they are words of a bitwise function, else refused.

``torch.bitwise_or(word(a), word(b)) / 128`` with ``word(x) = (x * 128).round().clamp(-128, 127)
.int()`` is one operator of the graph. Its parts are none: rounding stays a note beside the tensor
until a bitwise function takes it up, and the factors before and behind become the word's scale.
Ties are rounded up in the graph, whatever torch does with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from nibblefit.ir.ops import Op
from nibblefit.nn.builder import GraphBuilder
from nibblefit.nn.problems import Refused

#: Functions that begin a word.
ROUNDINGS = frozenset({"round", "floor"})
#: Conversions of whole numbers to an integer type.
INTEGER_TYPES = frozenset({"int", "long", "short", "char"})
_BITWISE = {"bitwise_or": Op.OR, "or": Op.OR, "bitwise_xor": Op.XOR, "xor": Op.XOR}
#: Width of words that nobody clipped.
_UNBOUNDED = 32
_REASON = "it rounds or turns values into integers inside the network"
_HINT = (
    "leave rounding to quantization; bitwise words: torch.bitwise_or(word(a), word(b)) / 128 with "
    "word(x) = (x * 128).round().clamp(-128, 127).int()"
)
#: Adds a node: operator, operands, bits, fractional bits → the tensor's name.
AddNode: TypeAlias = Callable[[Op, Sequence[str], int, int], str]


@dataclass(frozen=True, slots=True)
class Word:
    """A tensor of whole numbers.

    Attributes:
        name: The activation whose word it is.
        frac: The word is the activation times 2^frac.
        bits: Width it was clipped to.
        is_made: A bitwise function made it, so dividing it by 2^frac gives the activation itself.
    """

    name: str
    frac: int
    bits: int = _UNBOUNDED
    is_made: bool = False


def rounded(builder: GraphBuilder, function: str, name: str, arguments: Mapping[str, Any]) -> Word:
    """Return the word that rounding an activation makes.

    Raises:
        Refused: It is another rounding.
    """
    if function == "round" and arguments.get("decimals", 0) != 0:
        raise Refused("it rounds to decimals", _HINT)
    if function == "floor":
        inner, half = _constant_operand(builder, name, Op.ADD)
        if half != 0.5:
            raise Refused(_REASON, _HINT)
        name = inner
    inner, factor = _constant_operand(builder, name, Op.MUL)
    frac = _power(factor)
    return Word(name, 0) if frac is None else Word(inner, frac)


def followed(
    function: str, words: Sequence[Word], numbers: Sequence[Any], add: AddNode
) -> Word | str:
    """Return what a function makes of words: another word, or the name of an activation.

    Args:
        function: Its canonical name.
        words: Its operands that are words.
        numbers: Its other operands.
        add: Adds the node of a bitwise function.

    Raises:
        Refused: It is no function of words.
    """
    word = words[0]
    if function in _BITWISE and len(words) == 2:
        return _combined(_BITWISE[function], words, add)
    if function == "clamp" and len(numbers) == 2:
        return _clipped(word, *numbers)
    if function in ("div", "mul") and len(numbers) == 1 and word.is_made:
        factor = _number(numbers[0])
        factor = 1.0 / factor if function == "div" and factor else factor
        if factor == 2.0**-word.frac:
            return word.name
        raise Refused(
            f"a word of {word.frac} fractional bits is multiplied by {factor:g}",
            f"divide it by {2**word.frac} to have a real value again",
        )
    raise Refused(_REASON, _HINT)


def _combined(op: Op, words: Sequence[Word], add: AddNode) -> Word:
    first, second = words
    if (first.frac, first.bits) != (second.frac, second.bits):
        raise Refused(
            f"its words have {first.bits} and {second.bits} bits, {first.frac} and {second.frac} "
            "of them fractional",
            "make both words alike",
        )
    name = add(op, [first.name, second.name], first.bits, first.frac)
    return Word(name, first.frac, first.bits, is_made=True)


def _clipped(word: Word, low: Any, high: Any) -> Word:
    bits = _power(_number(high) + 1.0)
    if word.is_made or bits is None or bits < 0 or _number(low) != -(2.0**bits):
        raise Refused(f"a word is clipped to {low} … {high}", "clip to −2^(b−1) … 2^(b−1) − 1")
    return replace(word, bits=bits + 1)


def _constant_operand(builder: GraphBuilder, name: str, op: Op) -> tuple[str, float | None]:
    """Return the operand and the constant of the node that makes `name`; None if it has none."""
    node = builder.producer(name)
    if node is None or node.op is not op or len(node.inputs) != 2:
        return name, None
    for value, other in (node.inputs, node.inputs[::-1]):
        if value in builder.constants:
            constant = np.unique(builder.constants[value])
            return other, float(constant[0]) if constant.size == 1 else None
    return name, None


def _power(value: float | None) -> int | None:
    """Return k if the value is 2^k."""
    if value is None or not value > 0:
        return None
    mantissa, exponent = math.frexp(value)
    return exponent - 1 if mantissa == 0.5 else None


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise Refused(_REASON, _HINT)
    try:
        return float(value)  # a number, or an array or tensor of one
    except (TypeError, ValueError, RuntimeError):
        raise Refused(_REASON, _HINT) from None
