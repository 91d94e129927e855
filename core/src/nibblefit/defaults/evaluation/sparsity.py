"""How many weights of a pruned network are zero, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.defaults.prune import weight_users
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.ops import WEIGHTED
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.results import Report, Table

#: Metric: share of zeros among the weights of convolutions, linear layers and their like.
SPARSITY = "sparsity"


def with_sparsity(report: Report, network: Graph | QuantizedGraph) -> Report:
    """Return the report of a network that was pruned, with its zeros in all and per layer."""
    if isinstance(network, QuantizedGraph):
        weights = _codes_by_layer(network)
    else:
        users = weight_users(network)
        weights = {layer: network.constants[name] for name, layer in users.items()}
    counts = {x: (int(v.size), int(v.size - np.count_nonzero(v))) for x, v in weights.items()}
    size, zeros = (sum(column) for column in zip(*counts.values(), strict=True))
    rows = tuple((x, n, z, round(100 * z / max(1, n), 2)) for x, (n, z) in counts.items())
    total = ("total", size, zeros, round(100 * zeros / max(1, size), 2))
    table = Table("Pruned weights", ("layer", "weights", "zeros", "zeros [%]"), (*rows, total))
    return replace(
        report,
        metrics=frozen_mapping({**report.metrics, SPARSITY: zeros / max(1, size)}),
        tables=(*report.tables, table),
    )


def _codes_by_layer(graph: QuantizedGraph) -> Mapping[str, npt.NDArray[Any]]:
    """Return layer → codes of its weights less their zero point; a shared constant counts once."""
    found: dict[str, npt.NDArray[Any]] = {}
    seen: set[str] = set()
    for node in graph.nodes:
        if node.op not in WEIGHTED or node.inputs[1] not in graph.constants:
            continue
        name = node.inputs[1]
        if name not in seen:
            fmt = graph.tensors[name].format
            zero = np.array(fmt.zero_point)
            if fmt.axis is not None:
                shape = [1] * graph.constants[name].ndim
                shape[fmt.axis] = -1
                zero = zero.reshape(shape)
            found[node.layer or node.name] = graph.constants[name] - zero
        seen.add(name)
    return found
