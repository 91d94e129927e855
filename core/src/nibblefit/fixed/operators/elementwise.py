"""Elementwise operators of two or more tensors, combined left to right with broadcasting."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np

from nibblefit.fixed import arith
from nibblefit.fixed.operators import product
from nibblefit.fixed.operators.convolution import raise_rank
from nibblefit.fixed.operators.product import Array

Binary = Callable[[Array, Array], Array]


def combine(operation: str, operands: Sequence[Array]) -> Array:
    """Return ``((a ∘ b) ∘ c) …`` for ∘ one of add, sub, mul, or, xor.

    Sizes broadcast by numpy's rules with the batch axis set aside: operands of fewer axes get
    ones after the batch axis. ``or`` and ``xor`` act on two's complement.
    """
    rank = max(operand.ndim for operand in operands)
    integer = product.is_integer(operands[0])
    function = (_EXACT if integer else _REAL)[operation]
    return reduce(function, (raise_rank(operand, rank) for operand in operands))


_EXACT: dict[str, Binary] = {
    "add": arith.add,
    "sub": arith.subtract,
    "mul": arith.multiply,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}
_REAL: dict[str, Binary] = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}


def scale_offset(x: Array, scale: Array, offset: Array) -> Array:
    """Return ``x · scale + offset`` with one scale and offset per channel."""
    shape = (-1, *(1,) * (x.ndim - 2))
    if product.is_integer(x):
        return arith.add(arith.multiply(x, scale.reshape(shape)), offset.reshape(shape))
    return np.asarray(x * scale.reshape(shape) + offset.reshape(shape))
