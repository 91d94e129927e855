"""The three-stage training as plan items: initial, L1, sparse, each behind its gate."""

from __future__ import annotations

from collections.abc import Sequence

from nibblefit.ir.graph import frozen_mapping
from nibblefit.plan import Candidates, Gate, PlanItem, Stage, Step
from nibblefit.recipe import Recipe
from nibblefit_tidl.sparsity.options import FIRST, L1, L2, SPARSE, STAGE, StageOptions

#: TI's guide: sparse and quantized together may cost about two points against the first stage.
DROP_BUDGET = 0.02
REFERENCE = "evaluate_initial"


def training_stages(recipe: Recipe, options: StageOptions) -> list[PlanItem]:
    """Return prepare, and the training stages up to the sparse float network.

    Args:
        recipe: Its ``evaluate.floor`` gates the first stage, `drop_budget` the others.
        options: Which stages there are.
    """
    items: list[PlanItem] = [
        # It says whether the sparse stage is long enough for its target.
        Step(Stage.PREPARE, "prepare", reads=("train",)),
        *_training(FIRST, L2),
    ]
    if recipe.evaluate.floor > 0.0:
        items.append(_floor(recipe.evaluate.floor))
    if options.sparsify and options.l1_stage:
        items += _training("l1", L1)
        items.append(_drop("l1", drop_budget(recipe), "lower target.l1 or [train.l1] "
                           "learning_rate, or train that stage longer"))  # fmt: skip
    if options.sparsify and options.search:
        items.append(_search(options.search, drop_budget(recipe)))
    elif options.sparsify:
        items += _training("sparse", SPARSE)
        items.append(_drop("sparse", drop_budget(recipe), "lower target.sparsity.target, give "
                           "[train.sparse] more epochs, or let target.search find the highest "
                           "sparsity within the budget"))  # fmt: skip
    return items


def drop_budget(recipe: Recipe) -> float:
    """Return the recipe's ``evaluate.max_drop``, two points where it is not set."""
    given = "max_drop" in recipe.evaluate.model_fields_set
    return recipe.evaluate.max_drop if given else DROP_BUDGET


def _training(name: str, regularization: str) -> list[PlanItem]:
    options = frozen_mapping({"phase": "float", STAGE: regularization})
    return [
        Step(Stage.TRAIN, name, options=options),
        Step(Stage.EVALUATE, f"evaluate_{name}", subject=name),
    ]


def _floor(at_least: float) -> Gate:
    return Gate(
        "floor", REFERENCE, "", at_least=at_least,
        advice="later stages gain no accuracy: train the first one longer ([train.initial] "
        "epochs), change its learning_rate, the data or the network, or lower evaluate.floor",
    )  # fmt: skip


def _drop(stage: str, budget: float, advice: str) -> Gate:
    return Gate(f"{stage}_drop", f"evaluate_{stage}", "", drop_from=REFERENCE, drop=budget,
                advice=advice + ", or raise evaluate.max_drop")  # fmt: skip


def _search(sparsities: Sequence[float], budget: float) -> Candidates:
    gate = _drop("sparse", budget, "add lower sparsities to target.search")
    return Candidates(
        "sparsity",
        {f"s{round(1000 * s):03d}": frozen_mapping({"target.sparsity.target": s})
         for s in sorted(sparsities)},
        tuple(_training("sparse", SPARSE)),
        judge="evaluate_sparse", metric="", floor=gate, prefer="sparsity",
    )  # fmt: skip
