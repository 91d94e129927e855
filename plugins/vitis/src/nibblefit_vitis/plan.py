"""The order of a run."""

from __future__ import annotations

from nibblefit.defaults.plan import pruning
from nibblefit.ir.graph import frozen_mapping
from nibblefit.plan import Gate, Plan, PlanItem, Stage, Step
from nibblefit.recipe import Recipe
from nibblefit_vitis.options import VitisOptions

FLOAT_PHASE, QAT_PHASE = "float", "qat"
#: The step whose accuracy the others are compared with.
REFERENCE = "evaluate_float"


def plan_for(recipe: Recipe, options: VitisOptions) -> Plan:
    """Return prepare, float training, QAT if asked for, quantize, evaluate, compile; with gates.

    The recipe's ``evaluate.floor`` gates the float network, ``evaluate.max_drop`` the integers.
    """
    items: list[PlanItem] = [
        Step(Stage.PREPARE, "prepare"),
        _train("float", FLOAT_PHASE),
        Step(Stage.EVALUATE, REFERENCE, subject="float"),
    ]
    if recipe.evaluate.floor > 0.0:
        items.append(_floor(recipe.evaluate.floor))
    items += pruning(recipe)
    if options.qat:
        items += [_train("qat", QAT_PHASE), Step(Stage.EVALUATE, "evaluate_qat", subject="qat")]
    items += [
        Step(Stage.QUANTIZE, "quantize"),
        Step(Stage.EVALUATE, "evaluate", subject="quantize"),
    ]
    if recipe.evaluate.max_drop < 1.0:
        items.append(_max_drop(recipe.evaluate.max_drop))
    items.append(Step(Stage.COMPILE, "compile", subject="quantize", needs_reference=True))
    return tuple(items)


def _train(name: str, phase: str) -> Step:
    return Step(Stage.TRAIN, name, options=frozen_mapping({"phase": phase}))


def _floor(at_least: float) -> Gate:
    return Gate(
        "floor", REFERENCE, "", at_least=at_least,
        advice="train longer (train.epochs), change train.learning_rate or the network, or lower "
        "evaluate.floor",
    )  # fmt: skip


def _max_drop(drop: float) -> Gate:
    return Gate(
        "max_drop", "evaluate", "", drop_from=REFERENCE, drop=drop,
        advice="calibrate on more samples (quantize.calibration_samples), set "
        "target.fast_finetune or target.qat, or raise evaluate.max_drop",
    )  # fmt: skip
