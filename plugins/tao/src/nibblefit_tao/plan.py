"""The order of a run: train, prune, retrain, accept or try the next, train quantized, quantize."""

from __future__ import annotations

from nibblefit.ir.graph import frozen_mapping
from nibblefit.plan import Candidates, Gate, Plan, PlanItem, Stage, Step
from nibblefit.recipe import Recipe
from nibblefit_tao.options import TaoOptions

#: TAO's guide leaves the budget to the user; two points are what its own examples lose.
DROP_BUDGET = 0.02
QAT_PHASE = "qat"
_TRAINED = "evaluate_train"
_RETRAINED = "evaluate_retrain"


def plan_for(recipe: Recipe, options: TaoOptions) -> Plan:
    """Return the steps of a run with the recipe's limits as gates."""
    items: list[PlanItem] = [
        Step(Stage.PREPARE, "prepare"),
        Step(Stage.TRAIN, "train", options=frozen_mapping({"phase": "float"})),
        _look(_TRAINED, "train"),
    ]
    if recipe.evaluate.floor > 0.0:
        items.append(
            Gate("floor", _TRAINED, "", at_least=recipe.evaluate.floor,
                 advice="pruning gains no accuracy: train longer ([train.train] epochs), change "
                 "the rate, the data or the network, or lower evaluate.floor")
        )  # fmt: skip
    if options.prune:
        items += _pruning(recipe, options)
    if options.qat:
        phase = frozen_mapping({"phase": QAT_PHASE})
        items += [Step(Stage.TRAIN, "qat", options=phase), _look("evaluate_qat", "qat")]
    items += [
        Step(Stage.QUANTIZE, "quantize"),
        Step(Stage.COMPILE, "compile", needs_reference=True),
        Step(Stage.EVALUATE, "evaluate", subject="quantize"),
        Gate("max_drop", "evaluate", "", drop_from=_TRAINED, drop=drop_budget(recipe),
             advice="calibrate on more samples (quantize.calibration_samples), try another "
             "quantize.method, prune less, or raise evaluate.max_drop"),
    ]  # fmt: skip
    return tuple(items)


def drop_budget(recipe: Recipe) -> float:
    """Return the recipe's ``evaluate.max_drop``, two points where it is not set."""
    given = "max_drop" in recipe.evaluate.model_fields_set
    return recipe.evaluate.max_drop if given else DROP_BUDGET


def _pruning(recipe: Recipe, options: TaoOptions) -> list[PlanItem]:
    gate = Gate(
        "prune_drop", _RETRAINED, "", drop_from=_TRAINED, drop=drop_budget(recipe),
        advice="retrain longer ([train.retrain] epochs), prune less (a smaller target.threshold or "
        "a larger target.ratio), give several in target.ratios, or raise evaluate.max_drop",
    )  # fmt: skip
    body = (
        Step(Stage.PRUNE, "prune"),
        _look("evaluate_prune", "prune"),
        Step(Stage.TRAIN, "retrain", subject="prune", options=frozen_mapping({"phase": "recover"})),
        _look(_RETRAINED, "retrain"),
    )
    settings = _candidates(options)
    if not settings:
        return [*body, gate]
    return [
        Candidates("loop", settings, body, judge=_RETRAINED, metric="", floor=gate,
                   first_wins=True)
    ]  # fmt: skip


def _look(name: str, subject: str) -> Step:
    # The size of a checkpoint depends on what the optimizer keeps.
    return Step(Stage.EVALUATE, name, subject=subject, reads=("train.optimizer",))


def _candidates(options: TaoOptions) -> dict[str, dict[str, float]]:
    """Return what to try, the smallest network first."""
    if options.ratios:
        tried = sorted(set(options.ratios))
        return {_named("r", ratio): {"target.ratio": ratio} for ratio in tried}
    tried = sorted(set(options.thresholds), reverse=True)
    return {_named("t", threshold): {"target.threshold": threshold} for threshold in tried}


def _named(letter: str, value: float) -> str:
    """Return a candidate's name: thousandths, or all digits of what has more of them."""
    thousandths = round(1000 * value)
    return f"{letter}{thousandths:03d}" if thousandths / 1000 == value else f"{letter}{value!r}"
