"""Integers of one layer out of stored numbers: width, codes, bias and shift, as the compiler does.

Source: ai8x-synthesis commit ab4f4c0, `izer/checkpoint.py` and `izer/izer.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nibblefit.fixed.formats import FloatArray, IntArray
from nibblefit_maxim.parts import SHIFT_RANGE, Part
from nibblefit_maxim.reading.checkpoint import LayerParameters
from nibblefit_maxim.reading.entries import LayerEntry
from nibblefit_maxim.reading.problems import Problems
from nibblefit_maxim.reading.schema import BINARY


@dataclass(frozen=True, slots=True)
class Codes:
    """Integers of a layer; see `nibblefit_maxim.layers.IntegerLayer` for their meaning."""

    weights: IntArray
    bias: IntArray | None
    weight_bits: int
    total_shift: int
    threshold: int
    is_binary: bool


def codes_of(
    entry: LayerEntry, parameters: LayerParameters, part: Part, problems: Problems
) -> Codes:
    """Return the integers of one layer; problems are recorded, not raised."""
    title = f"{entry.title}, checkpoint '{parameters.name}'"

    def wrong(rule: str, message: str, key: str = "") -> None:
        problems.add(entry.line_of(key), rule, f"{title}: {message}")

    stored = parameters.weights
    is_float = not np.array_equal(stored, np.rint(stored))
    if is_float:
        wrong("weights-float", "weights are not integers; quantize the checkpoint first")
    weights = _integers(stored)
    bits, is_binary = _width(entry, parameters, weights, part)
    low, high = (-1, 1) if is_binary else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    if is_float:
        pass  # widths of rounded fractions say nothing
    elif weights.size and (weights.min() < low or weights.max() > high):
        wrong(
            "weights-width",
            f"weights {weights.min()} to {weights.max()} do not fit {bits} bits",
            "quantization",
        )
    elif not np.any(weights):
        wrong("weights-zero", "all weights are zero; was the checkpoint quantized?")
    bias = None
    if parameters.bias is not None:
        bias = _integers(np.floor(parameters.bias / 2.0 ** (bits - 1)))
        if bias.min() < -128 or bias.max() > 127:
            wrong("bias-width", f"bias codes {bias.min()} to {bias.max()} do not fit 8 bits")
    shift = int(entry.get("output_shift", parameters.output_shift or 0)) + 8 - bits
    if shift not in SHIFT_RANGE:
        wrong(
            "shift-range",
            f"total shift is {shift} (output_shift + 8 − {bits}); the hardware has −15 to 15",
            "output_shift",
        )
    return Codes(weights, bias, bits, shift, parameters.threshold, is_binary)


def bypass_codes(entry: LayerEntry, shape: tuple[int, ...]) -> Codes:
    """Return the weights that the compiler's simulator gives a bypassed layer: ones of one bit.

    Source: measured with ai8x-synthesis ab4f4c0 (MAX78002, vector `bypass`).
    """
    shift = int(entry.get("output_shift", 0)) + 7
    return Codes(np.ones(shape, np.int64), None, 1, shift, 0, is_binary=True)


def _width(
    entry: LayerEntry, parameters: LayerParameters, weights: IntArray, part: Part
) -> tuple[int, bool]:
    given = entry.get("quantization")
    only_signs = bool(np.all(np.abs(weights) == 1))
    if given == BINARY:
        return 1, True
    if given is not None:
        return int(given), False
    if not np.any(weights):
        return 1, False
    if part.has_binary and only_signs:
        return 1, True
    return parameters.weight_bits or 8, False


def _integers(values: FloatArray) -> IntArray:
    """Return int64 codes; values far outside every width stay recognisably outside."""
    limited: FloatArray = np.clip(np.nan_to_num(np.rint(values)), -(2.0**40), 2.0**40)
    return limited.astype(np.int64)
