"""Bitwise OR and XOR of real tensors, which stand for two's-complement words of fixed point.

A real value x is the word clip(⌊x · 2^frac + ½⌋) of `bits` bits, and a word w the value
w · 2^−frac. With 8 bits and frac = 7, words are the codes of data between −1 and 127/128. Capture
understands both functions, so a network may use them like any function of torch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

_Binary: TypeAlias = Callable[[Tensor, Tensor], Tensor]
#: Width and fractional bits of words unless stated otherwise.
WORD_BITS, WORD_FRAC = 8, 7


def words_or(*operands: Tensor, bits: int = WORD_BITS, frac: int = WORD_FRAC) -> Tensor:
    """Return the bitwise OR of two or more tensors; the gradient is that of a clipped sum."""
    if has_torch_function(operands):
        made: Tensor = handle_torch_function(words_or, operands, *operands, bits=bits, frac=frac)
        return made
    return _combined(torch.bitwise_or, operands, bits, frac)


def words_xor(*operands: Tensor, bits: int = WORD_BITS, frac: int = WORD_FRAC) -> Tensor:
    """Return the bitwise XOR of two or more tensors; the gradient is that of a clipped sum."""
    if has_torch_function(operands):
        made: Tensor = handle_torch_function(words_xor, operands, *operands, bits=bits, frac=frac)
        return made
    return _combined(torch.bitwise_xor, operands, bits, frac)


def _combined(function: _Binary, operands: tuple[Tensor, ...], bits: int, frac: int) -> Tensor:
    result: Tensor = _Words.apply(function, bits, frac, *operands)  # type: ignore[no-untyped-call]
    return result


class _Words(torch.autograd.Function):
    """Words combined from left to right; straight-through to every operand, where not clipped."""

    @staticmethod
    def forward(ctx: Any, function: _Binary, bits: int, frac: int, *operands: Tensor) -> Tensor:
        ctx.save_for_backward(*operands)
        bound = 2.0 ** (bits - 1)
        ctx.bound = bound / 2.0**frac
        words = [
            (x * 2.0**frac + 0.5).floor_().clamp_(-bound, bound - 1).to(torch.int64)
            for x in operands
        ]
        return reduce(function, words).to(operands[0].dtype) / 2.0**frac

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        (gradient,) = gradients
        operands = ctx.saved_tensors
        return None, None, None, *(
            (gradient * (x.abs() <= ctx.bound)).sum_to_size(x.shape) for x in operands
        )  # fmt: skip
