"""The order of a run: float training, quantization-aware training, integers, proof, files."""

from __future__ import annotations

from nibblefit.defaults.plan import pruning
from nibblefit.ir.graph import frozen_mapping
from nibblefit.plan import Gate, Plan, PlanItem, Stage, Step
from nibblefit.recipe import Recipe
from nibblefit.results import Finding, Status
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.qat.phases import QAT_PHASE, SEARCH_PHASE, SWITCHING_PHASE

_FLOAT = "evaluate_float"
_QAT = "evaluate_qat"


def plan_for(recipe: Recipe, options: MaximOptions) -> Plan:
    """Return the plan; what the options leave out (QAT, search, a float phase) has no step."""
    switches = options.start_epoch is not None
    reference = _QAT if switches else _FLOAT
    items: list[PlanItem] = [Step(Stage.PREPARE, "prepare")]
    if switches:
        items += _training(SWITCHING_PHASE)
    else:
        items += [_train("float", "float"), Step(Stage.EVALUATE, _FLOAT)]
    if recipe.evaluate.floor > 0.0:
        items.append(_floor(reference, recipe.evaluate.floor))
    if not switches:
        items += pruning(recipe)
    if options.search is not None:
        items.append(_train("search", SEARCH_PHASE))
    if options.qat and not switches:
        items += _training(QAT_PHASE)
    items += [
        Step(Stage.QUANTIZE, "quantize"),
        # Before the files, so that a network that cannot be placed is still measured.
        Step(Stage.EVALUATE, "evaluate", subject="quantize"),
    ]
    if recipe.evaluate.max_drop < 1.0:
        items.append(_max_drop(reference, recipe.evaluate.max_drop))
    items.append(Step(Stage.COMPILE, "compile", subject="quantize"))
    return tuple(items)


def plan_problems(recipe: Recipe, options: MaximOptions) -> tuple[Finding, ...]:
    """Return what the plan cannot do: pruning needs a float training that is over."""
    if options.start_epoch is None or not recipe.prune.active:
        return ()
    return (
        Finding(
            "maxim.prune", Status.FAILED,
            "pruning comes between float and quantized training, which target.start_epoch joins",
            "prune.sparsity", "leave target.start_epoch unset, or prune.sparsity at 0",
        ),
    )  # fmt: skip


def _train(name: str, phase: str) -> Step:
    return Step(Stage.TRAIN, name, options=frozen_mapping({"phase": phase}))


def _training(phase: str) -> list[PlanItem]:
    """Return the training that ends quantized; one name, so ``[train.qat]`` sets both kinds."""
    return [_train("qat", phase), Step(Stage.EVALUATE, _QAT, subject="qat")]


def _floor(step: str, at_least: float) -> Gate:
    return Gate(
        "floor", step, "", at_least=at_least,
        advice="train longer ([train.float] epochs), change the network, or lower evaluate.floor",
    )  # fmt: skip


def _max_drop(reference: str, drop: float) -> Gate:
    return Gate(
        "max_drop", "evaluate", "", drop_from=reference, drop=drop,
        advice="train longer with quantization ([train.qat] epochs), lower its learning_rate, "
        "give single layers more bits, or raise evaluate.max_drop",
    )  # fmt: skip
