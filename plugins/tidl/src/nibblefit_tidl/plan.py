"""The order of a run, the same for both generations but for quantized training."""

from __future__ import annotations

from nibblefit.ir.graph import frozen_mapping
from nibblefit.plan import Gate, Plan, Stage, Step
from nibblefit.recipe import Recipe
from nibblefit_tidl.sparsity.options import StageOptions
from nibblefit_tidl.stages import REFERENCE, drop_budget, training_stages

QAT_PHASE = "qat"
_QAT = "evaluate_qat"


def plan_for(
    recipe: Recipe, stages: StageOptions, *, qat: bool = False, integers: bool = True
) -> Plan:
    """Return the steps of a run with the recipe's limits as gates.

    Args:
        recipe: The recipe.
        stages: The training stages before quantization.
        qat: Train with quantization in the loop after the float training.
        integers: Quantize at all; float emulation ends with the float network.
    """
    items = training_stages(recipe, stages)
    if qat:
        items += [_train("qat", QAT_PHASE), Step(Stage.EVALUATE, _QAT, subject="qat")]
    if not integers:
        return tuple(items)
    items += [
        Step(Stage.QUANTIZE, "quantize"),
        Step(Stage.EVALUATE, "evaluate", subject="quantize"),
    ]
    items.append(_max_drop(drop_budget(recipe)))
    items.append(Step(Stage.COMPILE, "compile", subject="quantize", needs_reference=True))
    return tuple(items)


def _train(name: str, phase: str) -> Step:
    return Step(Stage.TRAIN, name, options=frozen_mapping({"phase": phase}))


def _max_drop(drop: float) -> Gate:
    return Gate(
        "max_drop", "evaluate", "", drop_from=REFERENCE, drop=drop,
        advice="give the first and last convolution 16 bits, calibrate on more samples, train "
        "with quantization in the loop (qat), or raise evaluate.max_drop",
    )  # fmt: skip
