"""Formats that calibration found: fix positions, or float scales with zero points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nibblefit.ir.graph import frozen_mapping


@dataclass(frozen=True, slots=True)
class FixPosition:
    """A power-of-two format: real value = code · 2**-position.

    Attributes:
        bits: Width of the code.
        position: Any sign; per-channel formats hold one per channel along `axis`.
        positions: One per channel; empty for a whole tensor.
        axis: Channel axis of `positions`.
        unsigned: Codes are 0 and above.
    """

    bits: int
    position: int
    positions: tuple[int, ...] = ()
    axis: int | None = None
    unsigned: bool = False


@dataclass(frozen=True, slots=True)
class FloatScale:
    """A float format: real value = (code - zero point) · scale.

    Attributes:
        bits: Width of the code.
        scale: One for the tensor, or one per channel along `axis`.
        zero_point: As many as scales.
        float_max: Largest magnitude each scale was made for.
        axis: Channel axis; None for a whole tensor.
        unsigned: Codes are 0 and above.
    """

    bits: int
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    float_max: tuple[float, ...]
    axis: int | None = None
    unsigned: bool = False


TensorFormat = FixPosition | FloatScale


@dataclass(frozen=True, slots=True)
class NetworkFormats:
    """Formats of a network by names of its prepared float graph.

    Attributes:
        params: By name of the parameter tensor.
        outputs: By name of the tensor at the end of each group (and of graph inputs). None: the
            tensor is not quantized by itself.
        inputs: Extra input formats, by layer, where a layer reads its input in a width of its own.
        history: Formats found per batch, by tensor; for comparison with the original.
    """

    params: Mapping[str, TensorFormat | None] = field(default_factory=frozen_mapping)
    outputs: Mapping[str, TensorFormat | None] = field(default_factory=frozen_mapping)
    inputs: Mapping[str, TensorFormat | None] = field(default_factory=frozen_mapping)
    history: Mapping[str, tuple[int, ...]] = field(default_factory=frozen_mapping)

    def __reduce__(self) -> tuple[object, ...]:
        # mappingproxy does not pickle; training processes receive formats by value.
        values = (self.params, self.outputs, self.inputs, self.history)
        return (_formats, tuple(dict(value) for value in values))


def _formats(*values: dict[str, Any]) -> NetworkFormats:
    return NetworkFormats(*(frozen_mapping(value) for value in values))
