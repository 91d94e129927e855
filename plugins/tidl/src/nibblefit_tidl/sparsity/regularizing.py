"""What the three stages add to a training: L2 or L1, and thresholds in the last one.

TI's stages (caffe-jacinto-models): ``initial`` trains with L2, ``l1`` with L1 so that many weights
shrink, ``sparse`` keeps L1 on while thresholds rise. L1's gradient is ``decay * sign(w)`` and acts
on weights, not on biases or batch norm (decay multipliers 1 and 0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from glob import escape

from torch import nn

from nibblefit.data.source import Split
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import WEIGHTED
from nibblefit.models import Model
from nibblefit.run import Run
from nibblefit.training.batches import BatchPlan
from nibblefit.training.naming import parameters_by_name
from nibblefit.training.parts import ParameterGroup, TrainingPart
from nibblefit.training.parts_library import L1Penalty
from nibblefit_tidl.sparsity.options import L1, L2, SPARSE, STAGE, StageOptions, has_decay
from nibblefit_tidl.sparsity.part import SparsifyPart


def parts_for(run: Run, model: Model, options: StageOptions) -> tuple[TrainingPart, ...]:
    """Return the parts of the step in hand; none outside the three stages.

    Args:
        run: Its step's options hold the stage under `STAGE`.
        model: The model about to be trained.
        options: The stages' settings.
    """
    stage = run.step_options.get(STAGE)
    if stage is None:
        return ()
    weights = weight_names(model.graph)
    decay = options.l2 if stage == L2 and not has_decay(run.recipe, run.step) else None
    parts: list[TrainingPart] = [WeightGroups(model.graph, weights, decay, options.bias_rate)]
    if stage in (L1, SPARSE) and options.l1 > 0.0:
        parts.append(L1Penalty(options.l1, tuple(map(escape, weights))))
    if stage == SPARSE:
        sparsity = options.sparsity
        schedule = sparsity.schedule(planned_steps(run))
        parts.append(SparsifyPart(model.graph, schedule, sparsity.caps, sparsity.thresholds))
    return tuple(parts)


class WeightGroups(TrainingPart):
    """Decay on weights alone, and a rate of their own for biases.

    Args:
        graph: The network.
        weights: Names of the weights of convolutions and linear layers.
        decay: L2 on the weights; None leaves the recipe's.
        bias_rate: Factor on the learning rate of biases.
    """

    name = "weight_groups"

    def __init__(
        self, graph: Graph, weights: Sequence[str], decay: float | None, bias_rate: float
    ) -> None:
        biases = (n.inputs[2] for n in graph.nodes if n.op in WEIGHTED and len(n.inputs) > 2)
        self._biases = tuple(name for name in dict.fromkeys(biases) if name in graph.constants)
        self._weights = tuple(weights)
        self._decay = decay
        self._bias_rate = bias_rate

    def parameter_groups(self, network: nn.Module) -> Sequence[ParameterGroup]:
        """Return the groups whose parameters the network has."""
        there = parameters_by_name(network)
        groups = (
            ParameterGroup(_globs(self._weights, there), weight_decay=self._decay),
            ParameterGroup(_globs(self._biases, there), self._bias_rate, weight_decay=0.0),
        )
        return tuple(group for group in groups if group.patterns)


def _globs(names: Sequence[str], there: Mapping[str, nn.Parameter]) -> tuple[str, ...]:
    return tuple(escape(name) for name in names if name in there)


def weight_names(graph: Graph) -> tuple[str, ...]:
    """Return the weights that L1 and L2 act on: those of convolutions and linear layers."""
    names = (node.inputs[1] for node in graph.nodes if node.op in WEIGHTED)
    return tuple(dict.fromkeys(name for name in names if name in graph.constants))


def planned_steps(run: Run, step: str = "") -> int:
    """Return the optimizer steps of a training step of the plan, by default of the one in hand."""
    settings = run.recipe.train_for(step or run.step)
    count = len(run.data.split(Split.TRAIN))
    plan = BatchPlan(count, settings.batch_size, run.seed, settings.processes)
    return plan.steps * settings.epochs
