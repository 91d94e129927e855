"""The hooks of quantized training: which network trains, and what stays of it."""

from __future__ import annotations

from typing import cast

from torch import nn

from nibblefit.defaults import network as float_network
from nibblefit.defaults import train as core_train
from nibblefit.models import Model
from nibblefit.run import Run
from nibblefit_tao.numerics import numerics_of
from nibblefit_tao.options import TaoOptions
from nibblefit_tao.plan import QAT_PHASE
from nibblefit_tao.qat.network import QatNetwork
from nibblefit_tao.qat.ranges import ranges_of, with_ranges
from nibblefit_tao.qat.rectifiers import with_relu6


def network_of(run: Run, model: Model) -> nn.Module:
    """Return the network of a model in the step's phase."""
    asked = run.step_options.get("phase")
    if (asked or model.phase) != QAT_PHASE:
        return float_network.network(run, model)
    options: TaoOptions = run.options
    numerics = numerics_of(per_channel=options.per_channel)
    graph = with_relu6(model.graph) if asked and options.qat_relu6 else model.graph
    return QatNetwork(graph, numerics, ranges_of(model))


def train_model(run: Run, model: Model) -> Model:
    """Train; quantized training leaves its ranges with the model."""
    if run.step_options.get("phase") != QAT_PHASE:
        return core_train.train(run, model)
    return core_train.train(
        run, model, lambda trained, network: with_ranges(
            trained, cast("QatNetwork", network).ranges()
        ),
    )  # fmt: skip
