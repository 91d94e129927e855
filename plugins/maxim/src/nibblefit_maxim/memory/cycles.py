"""Estimated clock cycles per layer.

For the MAX78000 this is the model that the vendor's compiler prints (ai8x-synthesis commit
ab4f4c0, `izer/latency.py`); it gives 70,157 for the vendor's MNIST network. For the MAX78002 the
compiler prints none: there the same model, at that device's clock, is an estimate of our own.
"""

from __future__ import annotations

from math import prod

from nibblefit_maxim.layers import HardwareLayer, Operator
from nibblefit_maxim.memory.buffers import pooled_shape
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.processors import span

#: Cycles before the first layer.
START_CYCLES = 1
#: Streaming layers wait for data: half as many cycles more.
_STREAMING = (3, 2)


def layer_cycles(need: LayerNeeds, output_map: int, *, streaming: bool = False) -> int:
    """Return the cycles of one layer.

    Args:
        need: The layer.
        output_map: Processors that it writes; gaps in it cost cycles.
        streaming: Its input arrives while it runs.
    """
    layer = need.layer
    window = prod(layer.pool.window) if layer.pool else 1
    inputs = need.in_passes * (layer.input_pixels if layer.flatten else 1)
    plain = 2 * inputs * layer.operands
    pooled = inputs * layer.operands * (window + 1)
    slots = span(output_map, need.out_passes) * need.out_passes
    rows, columns = _pooled_sides(layer)
    if not layer.has_weights:
        cycles = rows * columns * (pooled + inputs * slots)
    else:
        if layer.groups > 1:
            slots = need.out_passes
        cycles = _convolution(layer, rows, columns, (inputs, plain, pooled, slots))
    return cycles * _STREAMING[0] // _STREAMING[1] if streaming else cycles


def _convolution(
    layer: HardwareLayer, rows: int, columns: int, costs: tuple[int, int, int, int]
) -> int:
    """Return cycles: rows of padding, the first rows, rows with output, the last rows."""
    inputs, plain, pooled, slots = costs
    tall, wide = _two(layer.kernel, 1)
    pad_rows, pad_columns = _two(layer.pad, 0)
    out_columns = columns + 2 * pad_columns - wide + 1
    padding = pad_columns * (plain + 1)
    empty_row = (2 * pad_columns + columns) * (plain + 1)
    lead_row = 2 * padding + columns * (pooled + 1)

    def full_row(read: int) -> int:
        lead = (wide - 1 - pad_columns) * (read + 1)
        return padding + lead + (out_columns - pad_columns) * read + plain * pad_columns

    output = inputs * out_columns * slots
    if slots == 1 and inputs == 1:
        output += 1
    lead_rows = tall - 1 - pad_rows
    return (
        pad_rows * empty_row
        + lead_rows * lead_row
        + (full_row(pooled) + output) * (rows - lead_rows)
        + pad_rows * (full_row(plain) + output)
    )


def _pooled_sides(layer: HardwareLayer) -> tuple[int, int]:
    """Return rows and columns that enter the operator; zero-stuffed ones count when transposed."""
    if layer.flatten:
        return 1, 1
    if layer.operator is Operator.CONV_TRANSPOSE2D:
        return _two(layer.output_shape[1:], 1)
    return _two(pooled_shape(layer), 1)


def _two(sizes: tuple[int, ...], missing: int) -> tuple[int, int]:
    """Return rows and columns; data without columns has `missing` of them."""
    return (*sizes, *(missing,) * (2 - len(sizes)))[0], (*sizes, missing, missing)[1]
