"""Elementwise operators and concatenation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from nibblefit.nn.words import WORD_BITS, WORD_FRAC, words_or, words_xor


def _fold(combine: Callable[[Tensor, Tensor], Tensor], inputs: Sequence[Tensor]) -> Tensor:
    return reduce(combine, inputs)


def add(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:  # noqa: ARG001
    """Add the inputs from left to right."""
    return _fold(torch.add, inputs)


def sub(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:  # noqa: ARG001
    """Subtract every further input from the first."""
    return _fold(torch.sub, inputs)


def mul(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:  # noqa: ARG001
    """Multiply the inputs from left to right."""
    return _fold(torch.mul, inputs)


def bitwise_or(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Combine the inputs as words of fixed point; see `nibblefit.nn.words`."""
    return words_or(*inputs, **_word(attributes))


def bitwise_xor(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Combine the inputs as words of fixed point; see `nibblefit.nn.words`."""
    return words_xor(*inputs, **_word(attributes))


def _word(attributes: Mapping[str, Any]) -> dict[str, int]:
    return {
        "bits": attributes.get("bits", WORD_BITS), "frac": attributes.get("frac", WORD_FRAC),
    }  # fmt: skip


def concat(attributes: Mapping[str, Any], inputs: Sequence[Tensor]) -> Tensor:
    """Join along one axis."""
    return torch.cat(list(inputs), int(attributes["axis"]))
