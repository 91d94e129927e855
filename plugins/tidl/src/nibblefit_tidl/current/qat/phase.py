"""The hooks of quantized training: network, training, schedule."""

from __future__ import annotations

from typing import cast

from torch import nn

from nibblefit.defaults import network as float_network
from nibblefit.defaults import train as core_train
from nibblefit.models import Model
from nibblefit.run import Run
from nibblefit_tidl.current.modes import training_mode
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.current.qat.network import QatNetwork
from nibblefit_tidl.current.qat.ranges import ranges_of, with_ranges
from nibblefit_tidl.current.qat.schedule import QatSchedule
from nibblefit_tidl.devices import device_named
from nibblefit_tidl.plan import QAT_PHASE


def network_of(run: Run, model: Model) -> nn.Module:
    """Return the network of a model in the step's phase."""
    phase = run.step_options.get("phase", model.phase)
    if phase != QAT_PHASE:
        return float_network.network(run, model)
    options: TidlOptions = run.options
    mode = training_mode(device_named(run.part), options)
    if run.step_options.get("phase") != QAT_PHASE:
        return QatNetwork(model.graph, mode, ranges=ranges_of(model))
    return QatNetwork(model.graph, mode, options.qat_averaging, ranges_of(model))


def train_model(run: Run, model: Model) -> Model:
    """Train; quantized training leaves its ranges with the model."""
    if run.step_options.get("phase") != QAT_PHASE:
        return core_train.train(run, model)
    return core_train.train(
        run, model, lambda trained, network: with_ranges(
            trained, cast("QatNetwork", network).ranges()
        ),
    )  # fmt: skip


def part_of(run: Run, model: Model) -> QatSchedule | None:  # noqa: ARG001 - the hook's signature
    """Return the schedule of quantized training, nothing for other phases."""
    return QatSchedule() if run.step_options.get("phase") == QAT_PHASE else None
