"""Trainings of this target: in two phases, or in one that switches on its way."""

from __future__ import annotations

from dataclasses import replace

from nibblefit.defaults.train import KEPT, kept_facts, kept_in_words, train
from nibblefit.errors import RecipeError
from nibblefit.ir.graph import frozen_mapping
from nibblefit.models import Model
from nibblefit.run import Run
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.qat.network import QatNetwork
from nibblefit_maxim.qat.phases import QAT_PHASE, SEARCH_PHASE, SWITCHING_PHASE
from nibblefit_maxim.qat.start import Decisions, Starter, start
from nibblefit_maxim.qat.switch import QAT_RATE_FACTOR, QatSwitch


def train_model(run: Run, model: Model) -> Model:
    """Carry out one training step of the plan."""
    match run.step_options.get("phase"):
        case phase if phase == QAT_PHASE:
            return train(with_small_rate(run), start(run, model)[0])
        case phase if phase == SWITCHING_PHASE:
            return train_switching(run, model)
        case phase if phase == SEARCH_PHASE:
            from nibblefit_maxim.precision.search import search

            return search(with_small_rate(run), model)
    return train(run, model)


def with_small_rate(run: Run) -> Run:
    """Return the run with a smaller learning rate, unless the recipe has one for this step."""
    recipe, step = run.recipe, run.step.split("@", maxsplit=1)[0]
    own = recipe.train_steps.get(step, {})
    if "learning_rate" in own:
        return run
    rate = recipe.train.learning_rate * QAT_RATE_FACTOR
    steps = {**recipe.train_steps, step: {**own, "learning_rate": rate}}
    return replace(run, recipe=recipe.model_copy(update={"train_steps": steps}))


def train_switching(run: Run, model: Model) -> Model:
    """Train in float, switch to quantized training at the recipe's epoch, and train on.

    Returns:
        The model of the chosen epoch, which is one behind the switch.

    Raises:
        RecipeError: The switch would come after the last epoch.
    """
    from nibblefit.training.fit import fit

    options: MaximOptions = run.options
    settings = run.recipe.train_for(run.step)
    epoch = options.start_epoch or 0
    if epoch >= settings.epochs:
        raise RecipeError(
            f"target.start_epoch is {epoch}, but train.epochs is {settings.epochs}",
            hint="start before the last epoch; epochs count from 0",
        )
    switch = QatSwitch(Starter.of(run), epoch)
    parts = (*run.hooks.regularize(run, model), switch)
    network = run.hooks.network(run, model)
    result = fit(run, network, run.task, run.data, settings, parts, model.masks)
    trained = result.network
    if not isinstance(trained, QatNetwork):
        raise RecipeError(
            "the training ended before quantization started",
            hint="lower target.start_epoch, or set train.early_stop = 0",
        )
    run.reporter.say(f"{run.step}: {kept_in_words(result)}; quantized from epoch {epoch + 1} on")
    graph = trained.to_graph()
    done = replace(
        model,
        graph=graph,
        masks=frozen_mapping({n: m for n, m in model.masks.items() if n in graph.constants}),
        history=(*model.history, *(frozen_mapping(record) for record in result.history)),
        extra=frozen_mapping({**model.extra, KEPT: kept_facts(run, result)}),
    )
    return Decisions(trained.settings, trained.thresholds).kept_in(done)
