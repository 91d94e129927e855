"""What TAO adds to the loss: L1 or L2 of every kernel, off in the retraining.

Keras adds ``weight · Σ|w|``, or ``weight · Σw²`` without a half, of the kernels of all convolutions
and dense layers, heads included, biases not.
"""

from __future__ import annotations

from collections.abc import Sequence
from glob import escape

from torch import nn

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import WEIGHTED
from nibblefit.models import Model
from nibblefit.run import Run
from nibblefit.training.naming import parameters_by_name
from nibblefit.training.parts import ParameterGroup, TrainingPart
from nibblefit.training.parts_library import L1Penalty
from nibblefit_tao.options import Regularizer, TaoOptions


class SquaredKernels(TrainingPart):
    """``strength · Σw²`` as weight decay, which has the same gradient, ``2 · strength · w``."""

    name = "l2"

    def __init__(self, strength: float, names: Sequence[str]) -> None:
        self._strength = strength
        self._names = tuple(names)

    def parameter_groups(self, network: nn.Module) -> Sequence[ParameterGroup]:
        """Return the kernels with their decay."""
        there = parameters_by_name(network)
        patterns = tuple(escape(name) for name in self._names if name in there)
        return (ParameterGroup(patterns, weight_decay=2 * self._strength),) if patterns else ()


def parts_for(run: Run, model: Model) -> tuple[TrainingPart, ...]:
    """Return the regularizer of the training in hand."""
    options: TaoOptions = run.options
    kind, strength = options.regularizer, options.regularizer_weight
    if run.step_options.get("phase") != "float":
        kind, strength = options.retrain_regularizer, options.retrain_regularizer_weight
    kernels = kernel_names(model.graph)
    if kind is Regularizer.L1 and strength:
        return (L1Penalty(strength, tuple(map(escape, kernels))),)
    if kind is Regularizer.L2 and strength:
        return (SquaredKernels(strength, kernels),)
    return ()


def kernel_names(graph: Graph) -> tuple[str, ...]:
    """Return the weights of convolutions and dense layers, each once."""
    names = (node.inputs[1] for node in graph.nodes if node.op in WEIGHTED)
    return tuple(dict.fromkeys(name for name in names if name in graph.constants))
