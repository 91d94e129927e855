"""The prepare stage: core's, and what pruning would refuse after hours of training."""

from __future__ import annotations

from nibblefit.defaults.prepare import prepare as core_prepare
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.models import Model
from nibblefit.run import Run
from nibblefit_tao.numerics import numerics_of
from nibblefit_tao.options import TaoOptions
from nibblefit_tao.pruning.look import look_at
from nibblefit_tao.pruning.settings import PruneSettings


def prepare(run: Run, graph: Graph) -> Model:
    """Return the checked network.

    Raises:
        UnsupportedError: A layer has no INT8 form.
        RecipeError: A layer that is excluded, or has a threshold of its own, does not exist.
        LimitError: Nothing in the network can be pruned.
    """
    options: TaoOptions = run.options
    model = core_prepare(run, graph, numerics_of(per_channel=options.per_channel))
    if options.prune:
        thresholds = frozen_mapping(options.layer_thresholds)
        look_at(model.graph, PruneSettings(excluded=options.excluded_layers, thresholds=thresholds))
    return model
