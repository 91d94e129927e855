"""The hooks of training: network, training, schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import nn

from nibblefit.defaults import network as float_network
from nibblefit.defaults import simulate as core_simulate
from nibblefit.defaults import train as core_train
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.models import Model
from nibblefit.run import Run
from nibblefit.training.parts import TrainingPart
from nibblefit_vitis.options import VitisOptions
from nibblefit_vitis.plan import QAT_PHASE
from nibblefit_vitis.qat.keeping import thresholds_of, with_thresholds
from nibblefit_vitis.qat.network import QatNetwork
from nibblefit_vitis.qat.schedule import QatSchedule
from nibblefit_vitis.qat.simulation import simulation_of
from nibblefit_vitis.quantize.configured import setting_of


def network_of(run: Run, model: Model) -> nn.Module:
    """Return the network of a model in the step's phase."""
    if run.step_options.get("phase", model.phase) != QAT_PHASE:
        return float_network.network(run, model)
    options: VitisOptions = run.options
    setting, _ = setting_of(run.recipe, options, model.graph)
    return QatNetwork(model.graph, setting, thresholds_of(model), direction=options.alignment)


def train_model(run: Run, model: Model) -> Model:
    """Train; quantized training leaves its thresholds with the model."""
    if run.step_options.get("phase") != QAT_PHASE:
        return core_train.train(run, model)
    return core_train.train(
        run, model, lambda trained, network: with_thresholds(
            trained, cast("QatNetwork", network).thresholds()
        ),
    )  # fmt: skip


def parts_for(run: Run, model: Model) -> Sequence[TrainingPart]:  # noqa: ARG001 - the hook's signature
    """Return the schedule of quantized training, nothing for other phases."""
    return (QatSchedule(),) if run.step_options.get("phase") == QAT_PHASE else ()


def simulation_for(run: Run, model: Model, graph: QuantizedGraph) -> nn.Module:
    """Return training's own simulation of a network that trained quantized, else core's twin."""
    options: VitisOptions = run.options
    setting, _ = setting_of(run.recipe, options, model.graph)
    trained = simulation_of(model, graph, setting, direction=options.alignment)
    return core_simulate.simulate(run, model, graph) if trained is None else trained
