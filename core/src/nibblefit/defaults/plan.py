"""The plan of a target that declares none."""

from __future__ import annotations

from nibblefit.ir.graph import frozen_mapping
from nibblefit.plan import Gate, Plan, PlanItem, Stage, Step
from nibblefit.recipe import Recipe


def plan(recipe: Recipe) -> Plan:
    """Return prepare, train, quantize, compile, evaluate, with the recipe's two limits as gates.

    Where ``[prune]`` asks for sparsity, `pruning` stands before quantization.

    ``evaluate.floor`` is checked before quantizing, ``evaluate.max_drop`` at the end. A limit the
    recipe leaves at its harmless default is no gate.
    """
    items: list[PlanItem] = [
        Step(Stage.PREPARE, "prepare"),
        Step(Stage.TRAIN, "float", options=frozen_mapping({"phase": "float"})),
        Step(Stage.EVALUATE, "evaluate_float"),
    ]
    if recipe.evaluate.floor > 0.0:
        items.append(
            Gate(
                "floor", "evaluate_float", "", at_least=recipe.evaluate.floor,
                advice="train longer (train.epochs), change train.learning_rate or the network, "
                "or lower evaluate.floor",
            )
        )  # fmt: skip
    items += [
        *pruning(recipe),
        Step(Stage.QUANTIZE, "quantize"),
        Step(Stage.COMPILE, "compile"),
        Step(Stage.EVALUATE, "evaluate", subject="quantize"),
    ]
    if recipe.evaluate.max_drop < 1.0:
        items.append(
            Gate(
                "max_drop", "evaluate", "", drop_from="evaluate_float",
                drop=recipe.evaluate.max_drop,
                advice="raise quantize.calibration_samples, try another quantize.method, give "
                "sensitive layers more bits in [quantize.layers], or raise evaluate.max_drop",
            )
        )  # fmt: skip
    return tuple(items)


def pruning(recipe: Recipe) -> list[PlanItem]:
    """Return the steps that prune a trained float network, for any target's plan.

    They take the latest model and leave one whose masks hold through every later training.

    Returns:
        ``prune``, ``recover`` (a training of phase ``recover``) and ``evaluate_pruned``; nothing
        where the recipe's ``[prune]`` asks for no sparsity.
    """
    if not recipe.prune.active:
        return []
    return [
        Step(Stage.PRUNE, "prune"),
        Step(Stage.TRAIN, "recover", options=frozen_mapping({"phase": "recover"})),
        Step(Stage.EVALUATE, "evaluate_pruned", subject="recover"),
    ]
