"""The float network on its way through the stages, as plain data (no torch)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.ir.graph import Graph, frozen_mapping

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Model:
    """A float network between stages: topology and weights, masks, and what the target added.

    Attributes:
        graph: Topology; `graph.constants` hold the current weights.
        masks: Constant name → True where a weight is kept. Whoever changes weights keeps the
            zeros of a mask.
        phase: Name of the training phase the weights come from: ``source``, ``float``, ``qat`` …
        extra: JSON-like facts the target keeps with the model (quantization settings). A list
            under ``tables`` holds mappings of title, columns and rows (see
            `nibblefit.results.Table`): what the step that made the model wants the report to show,
            such as the candidates of a search. A list under ``charts`` holds what
            `nibblefit.charts.as_entry` returns, for the report too.
        arrays: Named arrays the target keeps with the model (thresholds, statistics).
        history: One mapping per finished training epoch: metric name → value.
    """

    graph: Graph
    masks: Mapping[str, Mask] = field(default_factory=frozen_mapping)
    phase: str = "source"
    extra: Mapping[str, Any] = field(default_factory=frozen_mapping)
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=frozen_mapping)
    history: tuple[Mapping[str, float], ...] = ()

    def with_graph(self, graph: Graph) -> Model:
        """Return the model around another graph."""
        return replace(self, graph=graph)
