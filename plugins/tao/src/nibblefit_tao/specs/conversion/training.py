"""The parts of a spec that say how to train, in the recipe's words."""

from __future__ import annotations

from typing import Any

from nibblefit_tao.specs.conversion.taking import Taking

Table = dict[str, Any]
_SOFT = "learning_rate.soft_start_annealing_schedule"
_COSINE = "learning_rate.soft_start_cosine_annealing_schedule"


def detection_training(taking: Taking, notes: list[str]) -> Table:
    """Return ``[train.…]`` of a spec with a ``training_config``."""
    at = "training_config"
    table: Table = {
        "batch_size": taking.get(f"{at}.batch_size_per_gpu", 1),
        "epochs": taking.get(f"{at}.num_epochs", 1),
        "checkpoint_every": taking.get(f"{at}.checkpoint_interval", 1),
        **_optimizer(taking, notes),
        **_schedule(taking, at),
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
    if taking.spec.has(f"{at}.adam"):
        taking.get(f"{at}.adam", {})
        return {"optimizer": "adam"}
    if taking.spec.has(f"{at}.rmsprop"):
        notes.append("rmsprop is replaced by adam")
        taking.get(f"{at}.rmsprop", {})
        return {"optimizer": "adam"}
    # SSD's trainer takes SGD with momentum 0.9 whatever the spec says.
    return {"optimizer": "sgd", "momentum": taking.get(f"{at}.sgd.momentum", 0.9)}


def _schedule(taking: Taking, at: str) -> Table:
    kind = _COSINE if taking.spec.has(f"{at}.{_COSINE}") else _SOFT
    low = taking.get(f"{at}.{kind}.min_learning_rate", 0.0)
    high = taking.get(f"{at}.{kind}.max_learning_rate", 0.0)
    if not 0 < low <= high:
        raise taking.spec.wrong(f"{at}.{kind}", f"rises from {low} to {high}; expected rates above "
                                "0, the smaller one first")  # fmt: skip
    options: Table = {"soft_start": taking.get(f"{at}.{kind}.soft_start", 0.0), "floor": low / high}
    if kind == _SOFT:
        options["annealing"] = taking.get(f"{at}.{kind}.annealing", 1.0)
    name = "soft_start" if kind == _SOFT else "soft_start_cosine"
    return {"learning_rate": high, "schedule": name, "schedule_options": options}


def classification_training(taking: Taking, notes: list[str]) -> tuple[Table, Table]:
    """Return ``[train.…]`` and the target's keys of a classification spec."""
    at = "train_config"
    table: Table = {
        "batch_size": taking.get(f"{at}.batch_size_per_gpu", 1),
        "epochs": taking.get(f"{at}.n_epochs", 1),
        "optimizer": "sgd" if taking.spec.has(f"{at}.optimizer.sgd") else "adam",
    }
    if table["optimizer"] == "sgd":
        table["momentum"] = taking.get(f"{at}.optimizer.sgd.momentum", 0.9)
        # The schedule's rate replaces the optimizer's own.
        taking.get(f"{at}.optimizer.sgd.lr", 0.0)
        taking.get(f"{at}.optimizer.sgd.decay", 0.0)
        taking.get(f"{at}.optimizer.sgd.nesterov", False)
    table |= _classification_schedule(taking, f"{at}.lr_config", notes)
    kind = taking.get(f"{at}.reg_config.type", "None")
    weight = taking.get(f"{at}.reg_config.weight_decay", 0.0)
    scope = taking.get(f"{at}.reg_config.scope", "")
    if kind != "None" and {p.strip().lower() for p in scope.split(",")} != {"conv2d", "dense"}:
        notes.append(f"the regularizer acts on all kernels, not on '{scope}' alone")
    target: Table = {"regularizer": "NO_REG"}
    if kind in ("L1", "L2"):
        target = {"regularizer": kind, "regularizer_weight": weight}
    return table, target


def _classification_schedule(taking: Taking, at: str, notes: list[str]) -> Table:
    if taking.spec.has(f"{at}.soft_anneal"):
        divider = taking.get(f"{at}.soft_anneal.annealing_divider", 10.0)
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
        # TAO's step has a real exponent, so the rate falls smoothly: here, from the first step on.
        return {
            "learning_rate": taking.get(f"{at}.step.learning_rate", 1e-3),
            "schedule": "soft_start",
            "schedule_options": {
                "soft_start": 0.0, "annealing": 1e-9, "floor": float(gamma ** (100.0 / size)),
            },
        }  # fmt: skip
    return {
        "learning_rate": taking.get(f"{at}.cosine.learning_rate", 1e-3),
        "schedule": "soft_start_cosine",
        "schedule_options": {
            "soft_start": taking.get(f"{at}.cosine.soft_start", 0.0),
            "floor": taking.get(f"{at}.cosine.min_lr_ratio", 0.0),
            "cut_short": True,
        },
    }
