"""The proof at the end of a capture: graph and module compute the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from nibblefit.errors import UnsupportedError
from nibblefit.ir.graph import Graph
from nibblefit.nn.network import evaluate

#: Largest difference between graph and module, relative to the largest output value.
TOLERANCE = 1e-9

_HINT = (
    "look for a fixed batch size, random numbers, state kept between calls, or a custom function "
    "that torch does not announce"
)


def prove_equal(
    graph: Graph, inputs: Sequence[Tensor], expected: Sequence[Tensor],
    taken_over: Mapping[str, Tensor] | None = None,
) -> None:  # fmt: skip
    """Compare the graph with what the module gave for the same float64 inputs.

    Args:
        graph: The graph.
        inputs: Of another batch size than the recorded ones.
        expected: The module's outputs.
        taken_over: Constants that are used as they are, by name; all others in float64.

    Raises:
        UnsupportedError: They differ; names the output and the difference.
    """
    given = taken_over or {}
    constants = {
        name: given[name] if name in given else torch.tensor(np.asarray(value)).double()
        for name, value in graph.constants.items()
    }
    found = evaluate(graph, constants, inputs)
    for name, one, other in zip(graph.outputs, found, expected):
        if one.shape != other.shape:
            raise UnsupportedError(
                f"output '{name}' of network '{graph.name}' has shape {tuple(other.shape)} for a "
                f"batch of {len(inputs[0])}; expected {tuple(one.shape)} from the captured graph",
                hint=_HINT,
            )
        difference = _relative_difference(one.double(), other.double())
        if not difference <= TOLERANCE:
            raise UnsupportedError(
                f"output '{name}' of network '{graph.name}' differs from the captured graph by "
                f"{difference:.2g} of its range on other inputs; expected at most {TOLERANCE:g}",
                hint=_HINT,
            )


def _relative_difference(one: Tensor, other: Tensor) -> float:
    if one.numel() == 0 or torch.equal(one, other):
        return 0.0
    if not torch.equal(one.isfinite(), other.isfinite()):
        return float("inf")
    finite = one.isfinite()
    worst = (one[finite] - other[finite]).abs().max() if finite.any() else one.new_zeros(())
    return float(worst / other[finite].abs().max().clamp_min(1e-300)) if finite.any() else 0.0
