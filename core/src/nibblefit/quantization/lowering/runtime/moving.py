"""Operators that keep codes as they are, and those that end a network."""

from __future__ import annotations

from nibblefit.fixed.formats import Format
from nibblefit.quantization.lowering import tables
from nibblefit.quantization.lowering.runtime.context import RuntimeLowering
from nibblefit.quantization.units import Unit

#: Softmax reads codes of 16 bits that are 2^4 times finer than the calibrated ones.
_SOFTMAX_BITS = 16
_SOFTMAX_EXTRA = 4


def move(lowering: RuntimeLowering, unit: Unit) -> None:
    """Lower an operator that never changes a code: format and exponent go along."""
    source = unit.node.inputs[0]
    fmt = lowering.tensors[source].format
    for name in unit.node.outputs:
        lowering.assignment.tensors[name] = fmt
        if source in lowering.exponents:
            lowering.exponents[name] = lowering.exponents[source]
    lowering.add(unit)


def softmax(lowering: RuntimeLowering, unit: Unit) -> None:
    """Lower a softmax: codes are decoded to one scale first, then taken through a table."""
    source = unit.node.inputs[0]
    if source not in lowering.exponents:
        tables.softmax(lowering, unit)
        return
    decoded = lowering.decode(unit, source, f"{unit.node.name}:input",
                              extra_bits=_SOFTMAX_EXTRA, bits=_SOFTMAX_BITS,
                              shape=lowering.graph.shapes[source])  # fmt: skip
    known: Format = lowering.assignment.tensors[source]
    lowering.assignment.tensors[source] = lowering.tensors[decoded].format
    tables.softmax(lowering, unit)
    lowering.assignment.tensors[source] = known
    lowering.redirect(source, decoded)


def argmax(lowering: RuntimeLowering, unit: Unit) -> None:
    """Lower argmax: all codes of a frame have one scale, so their order is that of the values."""
    tables.argmax(lowering, unit)
