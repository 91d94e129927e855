"""The order of a run: float training, quantization-aware training, integers, proof, files."""

from __future__ import annotations

from nibblefit.ir.graph import frozen_mapping
from nibblefit.plan import Gate, Plan, PlanItem, Stage, Step
from nibblefit.recipe import Recipe
from nibblefit_maxim.qat.phases import QAT_PHASE


def plan_for(recipe: Recipe, *, qat: bool) -> Plan:
    """Return the plan; without quantization-aware training its two steps are left out."""
    items: list[PlanItem] = [
        Step(Stage.PREPARE, "prepare"),
        Step(Stage.TRAIN, "float", options=frozen_mapping({"phase": "float"})),
        Step(Stage.EVALUATE, "evaluate_float"),
    ]
    if recipe.evaluate.floor > 0.0:
        items.append(
            Gate(
                "floor",
                "evaluate_float",
                "",
                at_least=recipe.evaluate.floor,
                advice="train longer ([train.float] epochs), change the network, or lower "
                "evaluate.floor",
            )
        )
    if qat:
        items += [
            Step(Stage.TRAIN, QAT_PHASE, options=frozen_mapping({"phase": QAT_PHASE})),
            Step(Stage.EVALUATE, "evaluate_qat", subject=QAT_PHASE),
        ]
    items += [
        Step(Stage.QUANTIZE, "quantize"),
        # Before the files, so that a network that cannot be placed is still measured.
        Step(Stage.EVALUATE, "evaluate", subject="quantize"),
    ]
    if recipe.evaluate.max_drop < 1.0:
        items.append(
            Gate(
                "max_drop",
                "evaluate",
                "",
                drop_from="evaluate_float",
                drop=recipe.evaluate.max_drop,
                advice="train longer with quantization ([train.qat] epochs), lower its "
                "learning_rate, give single layers more bits, or raise evaluate.max_drop",
            )
        )
    items.append(Step(Stage.COMPILE, "compile", subject="quantize"))
    return tuple(items)
