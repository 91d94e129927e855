"""The parts of a spec that say how to train, in the recipe's words."""

from __future__ import annotations

import math
from typing import Any

from nibblefit_tao.specs.conversion.taking import Taking

Table = dict[str, Any]
_SOFT = "learning_rate.soft_start_annealing_schedule"
_COSINE = "learning_rate.soft_start_cosine_annealing_schedule"
_PATIENT = "learning_rate.early_stopping_annealing_schedule"
CUT_SHORT = (
    "the cosine ends above its floor, as TAO computes it; delete cut_short for one that reaches it"
)


def detection_training(taking: Taking, notes: list[str]) -> Table:
    """Return ``[train.…]`` of a spec with a ``training_config``."""
    at = "training_config"
    table: Table = {
        "batch_size": taking.count(f"{at}.batch_size_per_gpu"),
        "epochs": taking.count(f"{at}.num_epochs"),
        "checkpoint_every": taking.get(f"{at}.checkpoint_interval", 1),
        **_optimizer(taking, notes),
        **_schedule(taking, at, notes),
    }
    patience = taking.get(f"{at}.early_stopping.patience", 0)
    if patience:
        table["early_stop"] = patience
        monitor = taking.get(f"{at}.early_stopping.monitor", "loss")
        notes.append(f"early stopping watches the validation metric here, not {monitor}")
    return table


def regularizer(taking: Taking, prefix: str = "") -> Table:
    """Return the target's regularizer keys; `prefix` is ``retrain_`` for the second training."""
    kind = taking.get("training_config.regularizer.type", "NO_REG")
    weight = taking.get("training_config.regularizer.weight", 0.0)
    table: Table = {f"{prefix}regularizer": kind}
    if kind != "NO_REG":
        if not 0 < weight < 1:
            raise taking.spec.wrong("training_config.regularizer.weight",
                                    f"is {weight}; expected above 0 and below 1")  # fmt: skip
        table[f"{prefix}regularizer_weight"] = weight
    return table


def _optimizer(taking: Taking, notes: list[str]) -> Table:
    at = "training_config.optimizer"
    if taking.spec.kind == "ssd":
        # SSD's trainer takes SGD with momentum 0.9 whatever the spec says.
        if taking.spec.has(at):
            taking.get(at, {})
            notes.append(f"line {taking.spec.lines[at]}: {at} is ignored: TAO trains SSD by SGD "
                         "with momentum 0.9 whatever stands there")  # fmt: skip
        return {"optimizer": "sgd", "momentum": 0.9}
    for key, usual in (("beta1", 0.9), ("beta2", 0.999), ("epsilon", 1e-8)):
        if math.isclose(taking.spec.get(f"{at}.adam.{key}", usual), usual):
            taking.get(f"{at}.adam.{key}", usual)
    return {"optimizer": "adam"}


def _schedule(taking: Taking, at: str, notes: list[str]) -> Table:
    found = (kind for kind in (_SOFT, _COSINE, _PATIENT) if taking.spec.has(f"{at}.{kind}"))
    path = f"{at}.{next(found, _SOFT)}"
    low = taking.get(f"{path}.min_learning_rate", 0.0)
    high = taking.get(f"{path}.max_learning_rate", 0.0)
    if not 0 < low <= high:
        raise taking.spec.wrong(path, f"rises from {low} to {high}; expected rates above "
                                "0, the smaller one first")  # fmt: skip
    if path.endswith(_PATIENT):
        rise, fall, patience = _patient(taking, at, path, notes)
    else:
        rise = taking.get(f"{path}.soft_start", 0.0)
        fall, patience = taking.get(f"{path}.annealing", 1.0), 0
    if not (0 <= rise < fall <= 1):
        raise taking.spec.wrong(path, f"rises until {rise:g} and falls from {fall:g}; expected "
                                "shares of the training, soft_start first")  # fmt: skip
    options: Table = {"soft_start": rise, "floor": low / high}
    table: Table = {"learning_rate": high, "schedule": "soft_start", "schedule_options": options}
    if path.endswith(_COSINE):
        options["cut_short"] = True
        notes.append(CUT_SHORT)
        table["schedule"] = "soft_start_cosine"
    else:
        options["annealing"] = fall
    return table | ({"early_stop": patience} if patience else {})


def _patient(taking: Taking, at: str, path: str, notes: list[str]) -> tuple[float, float, int]:
    """Return rise, fall and patience of a schedule that counts epochs."""
    epochs = taking.count(f"{at}.num_epochs")
    rise = taking.get(f"{path}.soft_start_epochs", 0) / epochs
    fall = 1.0 - taking.get(f"{path}.annealing_epochs", 0) / epochs
    notes.append("TAO anneals once patience is exhausted; here the rate falls at the end, and the "
                 "training stops once patience is exhausted")  # fmt: skip
    return rise, fall, taking.get(f"{path}.patience_steps", 0)


def classification_training(taking: Taking, notes: list[str]) -> tuple[Table, Table]:
    """Return ``[train.…]`` and the target's keys of a classification spec."""
    at = "train_config"
    table: Table = {
        "batch_size": taking.count(f"{at}.batch_size_per_gpu"),
        "epochs": taking.count(f"{at}.n_epochs"),
        "optimizer": "sgd" if taking.spec.has(f"{at}.optimizer.sgd") else "adam",
    }
    if table["optimizer"] == "sgd":
        table["momentum"] = taking.get(f"{at}.optimizer.sgd.momentum", 0.0)
    if taking.spec.has(f"{at}.optimizer.rmsprop"):
        notes.append("rmsprop is replaced by adam")
    for kind in ("sgd", "adam", "rmsprop"):
        # The schedule's rate replaces the optimizer's own.
        taking.get(f"{at}.optimizer.{kind}.lr", 0.0)
    table |= _classification_schedule(taking, f"{at}.lr_config", notes)
    kind = taking.get(f"{at}.reg_config.type", "None")
    weight = taking.get(f"{at}.reg_config.weight_decay", 0.0)
    scope = taking.get(f"{at}.reg_config.scope", "")
    if kind != "None" and {p.strip().lower() for p in scope.split(",")} != {"conv2d", "dense"}:
        notes.append(f"the regularizer acts on all kernels, not on '{scope}' alone")
    if kind not in ("L1", "L2", "None"):
        raise taking.spec.wrong(f"{at}.reg_config.type", f"is '{kind[:40]}'; expected L1, L2, None")
    if kind == "None":
        return table, {"regularizer": "NO_REG"}
    if not 0 < weight < 1:
        raise taking.spec.wrong(f"{at}.reg_config.weight_decay",
                                f"is {weight}; expected above 0 and below 1")  # fmt: skip
    return table, {"regularizer": kind, "regularizer_weight": weight}


def _classification_schedule(taking: Taking, at: str, notes: list[str]) -> Table:
    if taking.spec.has(f"{at}.soft_anneal"):
        divider = taking.get(f"{at}.soft_anneal.annealing_divider", 10.0)
        if divider <= 0:
            raise taking.spec.wrong(f"{at}.soft_anneal.annealing_divider",
                                    f"is {divider:g}; expected above 0")  # fmt: skip
        notes.append("the warm-up of soft_anneal starts near 0 here, at 3e-4 in TAO")
        return {
            "learning_rate": taking.get(f"{at}.soft_anneal.learning_rate", 1e-3),
            "schedule": "step",
            "warmup": taking.get(f"{at}.soft_anneal.soft_start", 0.0),
            "schedule_options": {
                "milestones": taking.get(f"{at}.soft_anneal.annealing_points", [0.5]),
                "factor": 1.0 / divider,
            },
        }
    if taking.spec.has(f"{at}.step"):
        gamma = taking.get(f"{at}.step.gamma", 0.1)
        size = taking.get(f"{at}.step.step_size", 10)
        if not 0 < gamma <= 1 or not gamma ** (100.0 / size) > 0:
            raise taking.spec.wrong(f"{at}.step", f"multiplies by {gamma:g} in every {size} % of "
                                    "the training; expected a falling rate above 0")  # fmt: skip
        # TAO's step has a real exponent, so the rate falls smoothly: here, from the first step on.
        return {
            "learning_rate": taking.get(f"{at}.step.learning_rate", 1e-3),
            "schedule": "soft_start",
            "schedule_options": {
                "soft_start": 0.0, "annealing": 1e-9, "floor": float(gamma ** (100.0 / size)),
            },
        }  # fmt: skip
    notes.append(CUT_SHORT)
    return {
        "learning_rate": taking.get(f"{at}.cosine.learning_rate", 1e-3),
        "schedule": "soft_start_cosine",
        "schedule_options": {
            "soft_start": taking.get(f"{at}.cosine.soft_start", 0.0),
            "floor": taking.get(f"{at}.cosine.min_lr_ratio", 0.0),
            "cut_short": True,
        },
    }
