"""How the integers of a QDQ file in onnxruntime agree with judge and engine: counts and verdict.

Which differences have a reason is the target's knowledge: it extends `TensorAgreement` with a count
for each reason. What is the same for all is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from nibblefit.engine import Engine
from nibblefit.errors import MismatchError
from nibblefit.fixed.formats import IntArray, Rounding
from nibblefit.fixed.quantize import quantize
from nibblefit.ir import reference
from nibblefit.ir.quantized import QuantizedGraph


@dataclass(frozen=True, slots=True)
class TensorAgreement:
    """How the integers of one tensor agree.

    Attributes:
        tensor: Its name.
        count: Number of integers.
        differing: Those that differ when both start from the same input.
        inherited: Those among them that the layer itself did not cause.
        unexplained: Differences on the same integers in, without any reason. An error.
        farthest: Largest distance of a tied result from its half, in steps.
    """

    tensor: str
    count: int
    differing: int = 0
    inherited: int = 0
    unexplained: int = 0
    farthest: float = 0.0


AnyAgreement = TypeVar("AnyAgreement", bound=TensorAgreement)


@dataclass(frozen=True, slots=True)
class Agreement(Generic[AnyAgreement]):
    """Judge, engine and onnxruntime on some inputs.

    Attributes:
        tensors: By name, in execution order; at least the network's inputs.
        outputs: Codes of the outputs by onnxruntime.
    """

    tensors: Mapping[str, AnyAgreement]
    outputs: Mapping[str, IntArray]

    @property
    def total(self) -> AnyAgreement:
        """Sums over all tensors, and the largest distance."""
        entries = tuple(self.tensors.values())
        sums = {
            item.name: sum(getattr(entry, item.name) for entry in entries)
            for item in fields(entries[0])
            if item.name not in {"tensor", "farthest"}
        }
        farthest = max(entry.farthest for entry in entries)
        return type(entries[0])("total", **sums, farthest=farthest)

    def require_explained(self) -> None:
        """Raise unless every difference has its reason.

        Raises:
            MismatchError: Names the tensors that do not.
        """
        bad = [entry for entry in self.tensors.values() if entry.unexplained]
        if bad:
            listed = ", ".join(f"'{entry.tensor}' ({entry.unexplained})" for entry in bad)
            raise MismatchError(
                f"onnxruntime and the judge differ beyond rounding ties in {listed}",
                hint="the file does not say what the graph computes: write it again",
            )


def judged_codes(
    graph: QuantizedGraph, inputs: Mapping[str, npt.NDArray[np.float32]]
) -> Mapping[str, IntArray]:
    """Return the codes of all tensors, the inputs' included, that judge and engine agree on.

    Raises:
        MismatchError: They differ, which must not happen.
    """
    rounding = Rounding(graph.metadata["input_rounding"])
    codes = {n: quantize(inputs[n], graph.tensors[n].format, rounding) for n in graph.inputs}
    judged = reference.run(graph, codes).tensors
    run = Engine(graph).run(codes, keep="all").tensors
    for name, values in judged.items():
        if not np.array_equal(values, run[name]):
            raise MismatchError(f"engine and judge differ in tensor '{name}'",
                                hint="please report this network")  # fmt: skip
    return judged
