"""Bitwise OR and XOR of words of fixed point, `nibblefit.nn.words`."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from nibblefit.ir.ops import Op
from nibblefit.nn.capture.call import Call, Handler
from nibblefit.nn.words import WORD_BITS, WORD_FRAC


def _words(op: Op) -> Handler:
    def handle(
        call: Call, *operands: Tensor, bits: int = WORD_BITS, frac: int = WORD_FRAC
    ) -> str:  # fmt: skip
        rank = max(operand.dim() for operand in operands)
        names = [call.operand(operand, rank) for operand in operands]
        return call.add(op, names, bits=bits, frac=frac)

    return handle


HANDLERS: Mapping[str, Handler] = {"words_or": _words(Op.OR), "words_xor": _words(Op.XOR)}
