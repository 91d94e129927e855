"""Core's training of a model: float, recovering after pruning, or what the network simulates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from nibblefit.errors import PluginError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.models import Model
from nibblefit.run import Run


def train(run: Run, model: Model) -> Model:
    """Train a model with the recipe's settings for this step.

    The module comes from ``run.hooks.network``, contributions from ``run.hooks.regularize``; masks
    of the model hold throughout. With 0 epochs the model is returned as it is.

    Returns:
        The model with the chosen epoch's weights, its phase, and the history grown by this
        training's epochs.
    """
    from nibblefit.training.fit import fit

    settings = run.recipe.train_for(run.step)
    if settings.epochs == 0:
        run.reporter.say(f"{run.step}: 0 epochs, the weights stay as they are")
        return model
    parts = run.hooks.regularize(run, model)
    network = run.hooks.network(run, model)
    result = fit(run, network, run.task, run.data, settings, parts, model.masks)
    record = result.history[result.chosen_epoch - 1]
    figures = ", ".join(f"{k} {v:.4g}" for k, v in record.items() if k not in ("epoch", "step"))
    run.reporter.say(f"{run.step}: kept epoch {result.chosen_epoch}, {figures}")
    graph = _graph_of(result.network, run)
    return replace(
        model,
        graph=graph,
        masks=frozen_mapping({n: m for n, m in model.masks.items() if n in graph.constants}),
        phase=str(run.step_options.get("phase", "float")),
        history=(*model.history, *(frozen_mapping(record) for record in result.history)),
    )


def _graph_of(network: Any, run: Run) -> Graph:
    to_graph = getattr(network, "to_graph", None)
    if not callable(to_graph):
        raise PluginError(
            f"the network trained in step '{run.step}' ({type(network).__name__}) has no to_graph",
            hint="the module of hook `network`, and what a rewrite returns, must offer to_graph()",
        )
    return cast("Callable[[], Graph]", to_graph)()
