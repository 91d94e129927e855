"""Core's training of a model: float, recovering after pruning, or what the network simulates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nibblefit.errors import PluginError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.models import Mask, Model
from nibblefit.run import Run

if TYPE_CHECKING:
    from nibblefit.training.fit import FitResult

#: Key of `Model.extra` that says which epoch the last training ended with.
KEPT = "kept_epoch"
#: Adds to a trained model what its network learned beside the weights.
Keep = Callable[[Model, Any], Model]


def train(run: Run, model: Model, keep: Keep | None = None) -> Model:
    """Train a model with the recipe's settings for this step.

    The module comes from ``run.hooks.network``, contributions from ``run.hooks.regularize``; masks
    of the model hold throughout. With 0 epochs the model is returned as it is.

    Args:
        run: The run.
        model: The model.
        keep: Called with the trained model and the network it comes from, at the chosen epoch's
            state, for targets that keep more than the weights.

    Returns:
        The model with the chosen epoch's weights, its phase, the history grown by this training's
        epochs, and in `extra` which of them it is and why.
    """
    from nibblefit.training.fit import fit

    settings = run.recipe.train_for(run.step)
    if settings.epochs == 0:
        run.reporter.say(f"{run.step}: 0 epochs, the weights stay as they are")
        return model
    parts = run.hooks.regularize(run, model)
    network = run.hooks.network(run, model)
    result = fit(run, network, run.task, run.data, settings, parts, model.masks)
    run.reporter.say(f"{run.step}: {kept_in_words(result)}")
    graph = _graph_of(result.network, run)
    trained = replace(
        model,
        graph=graph,
        masks=_masks_of(graph, result.masks),
        phase=str(run.step_options.get("phase", "float")),
        history=(*model.history, *(frozen_mapping(record) for record in result.history)),
        extra=frozen_mapping({**model.extra, KEPT: kept_facts(run, result)}),
    )
    return trained if keep is None else keep(trained, result.network)


def kept_in_words(result: FitResult) -> str:
    """Return which epoch a training ended with, why, its figures, and how long an epoch took."""
    from nibblefit.training.history import figures_of

    record, choice = result.history[result.chosen_epoch - 1], result.choice
    figures = ", ".join(f"{name} {value:.4g}" for name, value in figures_of(record).items())
    pace = sum(result.seconds) / max(1, len(result.seconds))
    return (f"kept epoch {choice.epoch} of {choice.epochs} ({choice.why}): {figures}; "
            f"{pace:.3g} s per epoch")  # fmt: skip


def kept_facts(run: Run, result: FitResult) -> Mapping[str, object]:
    """Return the same for `Model.extra`, under `KEPT`; without durations, which never repeat."""
    choice, step = result.choice, run.step.partition("@")[0]
    return {"step": step, "epoch": choice.epoch, "epochs": choice.epochs, "why": choice.why}


def _masks_of(graph: Graph, masks: Mapping[str, Mask]) -> Mapping[str, Mask]:
    """Return the masks whose weights are still there, proven to be zero where a mask says so."""
    held = {name: mask for name, mask in masks.items() if name in graph.constants}
    for name, mask in held.items():
        alive = int(np.count_nonzero(graph.constants[name][~mask]))
        if alive:
            raise PluginError(
                f"{alive:,} weights of '{name}' that a mask removes are not zero after training",
                hint="the training part that made the mask must zero them in `after_step`, and "
                "must not be `settled` while its masks grow",
            )
    return frozen_mapping(held)


def _graph_of(network: Any, run: Run) -> Graph:
    to_graph = getattr(network, "to_graph", None)
    if not callable(to_graph):
        raise PluginError(
            f"the network trained in step '{run.step}' ({type(network).__name__}) has no to_graph",
            hint="the module of hook `network`, and what a rewrite returns, must offer to_graph()",
        )
    return cast("Callable[[], Graph]", to_graph)()
