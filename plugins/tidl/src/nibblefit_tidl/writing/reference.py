"""The float network behind the integers, which the vendor's tools quantize again."""

from __future__ import annotations

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph
from nibblefit.quantization.fold import fold
from nibblefit.run import Run
from nibblefit_tidl.front.stage import integer_run


def float_network(run: Run) -> Graph:
    """Return the folded float graph of the run's reference, its front inside if it has one there.

    Raises:
        InputError: The run has none.
    """
    reference = integer_run(run).reference
    if reference is None:
        raise InputError(
            "the float network behind the integers is not at hand; TI's tools quantize it "
            "themselves, so it must be written", hint="compile in a run that quantized it",
        )  # fmt: skip
    return fold(reference.graph)
