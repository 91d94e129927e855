"""A YAML spec of TAO's classification, and the one of the retraining, as a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from nibblefit.errors import UnsupportedError, did_you_mean
from nibblefit_tao.specs.conversion.checking import require_valid
from nibblefit_tao.specs.conversion.pictures import preprocessing
from nibblefit_tao.specs.conversion.reasons import reason, says_nothing
from nibblefit_tao.specs.conversion.to_recipe import Converted
from nibblefit_tao.specs.conversion.training import CUT_SHORT
from nibblefit_tao.specs.yaml import YamlSpec
from nibblefit_tao.specs.yaml_fields import FIELDS, STAGES

Table = dict[str, Any]
#: Keys of ``prune`` → options of the target.
_PRUNING = {
    "threshold": "threshold", "granularity": "pruning_granularity",
    "min_num_filters": "min_num_filters", "normalizer": "normalizer",
    "equalization_criterion": "equalization_criterion",
}  # fmt: skip
_OPTIMIZERS = ("sgd", "adam", "rmsprop")


#: Larger numbers mean nothing in a spec.
_LARGEST = 2**53


def _shown(value: object) -> str:
    """Return a scalar as messages show it; Python refuses to write very long integers."""
    return "a long number" if isinstance(value, int) and abs(value) > _LARGEST else str(value)[:40]


class _Taking:
    """A YAML spec whose fields are taken one by one."""

    def __init__(self, spec: YamlSpec) -> None:
        self.spec = spec
        self.taken: set[str] = set()

    def get(self, dotted: str, default: Any) -> Any:
        """Return a value of the type of `default`, `default` where it is unset.

        Raises:
            InputError: It is of another type; names the line.
        """
        self.taken.add(dotted)
        *blocks, last = dotted.split(".")
        found = self.block(*blocks).get(last)
        if found is None:
            return default
        number = isinstance(default, float | int) and not isinstance(default, bool)
        if number and isinstance(found, float | int) and not isinstance(found, bool):
            if not -_LARGEST <= found <= _LARGEST:
                raise self.spec.wrong((*blocks, last), "is too large")
            if isinstance(default, int) and found != int(found):
                raise self.spec.wrong((*blocks, last), f"is {found}, expected a whole number")
            return type(default)(found)
        if number or not isinstance(found, type(default)):
            expected = "a number" if number else f"a {type(default).__name__}"
            shown = "a block" if isinstance(found, dict | list) else f"'{_shown(found)}'"
            raise self.spec.wrong((*blocks, last), f"is {shown}, expected {expected}")
        return found

    def block(self, *keys: str) -> Mapping[str, Any]:
        """Return a block, an empty one where it is unset."""
        block: Mapping[str, Any] = self.spec.values
        for place, key in enumerate(keys):
            found = block.get(key)
            if found is not None and not isinstance(found, Mapping):
                raise self.spec.wrong(keys[: place + 1], "holds no fields")
            block = found or {}
        return block

    def left(self) -> list[str]:
        """Return a note for every field that was not taken, and refuse unknown ones."""
        notes = []
        for name, known in FIELDS.items():
            keys = tuple(name.split("."))
            for key, value in self.block(*keys).items():
                path, line = f"{name}.{key}", self.spec.line(*keys, key)
                if key not in known:
                    word = str(key)[:40]
                    what = f"is no field; {did_you_mean(word, known)}"
                    raise self.spec.wrong((*keys, key), what)
                if not (path in self.taken or path in FIELDS or says_nothing(path, value)):
                    notes.append(f"line {line}: {path} is ignored: {reason(path)}")
        return notes + [f"line {self.spec.line(key)}: {key} is ignored: {why}"
                        for key, why in STAGES.items() if key in self.spec.values]  # fmt: skip


def yaml_to_recipe(spec: YamlSpec, retrain: YamlSpec | None = None) -> Converted:
    """Return the recipe of a classification spec.

    Args:
        spec: Of the first training.
        retrain: Of the retraining after pruning; None repeats the training.

    Raises:
        UnsupportedError: Another task's spec.
        InputError: A value is missing or of the wrong type, or a field is unknown.
    """
    tables, notes = _converted(spec)
    steps = tables["train"]
    steps["retrain"] = dict(steps["train"])
    if retrain is None:
        notes.append("the retraining repeats the training, without a regularizer: give its own "
                     "spec with --retrain")  # fmt: skip
    else:
        other, own = _converted(retrain)
        steps["retrain"] = other["train"]["train"]
        found = other["target"]
        target = tables["target"]
        target["retrain_regularizer"] = found["regularizer"]
        if "regularizer_weight" in found:
            target["retrain_regularizer_weight"] = found["regularizer_weight"]
        target |= {"qat": True} if found.get("qat") else {}
        notes += [f"{retrain.path.name}, {note}" for note in own if note not in notes]
    if tables["target"].get("qat"):
        steps["qat"] = dict(steps["retrain"])
    require_valid(tables, spec.path)
    return Converted(tables, tuple(notes))


def _converted(spec: YamlSpec) -> tuple[Table, list[str]]:
    taking = _Taking(spec)
    # Only classification has its schedule in a block of this name.
    if "lr_config" not in taking.block("train"):
        name = _name(taking)
        raise UnsupportedError(
            f"{spec.path} is a spec for {name}, which is read but has no recipe here",
            hint="of YAML specs classification has one; write the network in PyTorch and use its "
            "training settings",
        )
    shape = [taking.get(f"model.input_{word}", default)
             for word, default in (("channels", 3), ("height", 224), ("width", 224))]  # fmt: skip
    tables: Table = {
        "model": {"source": "network.py:build", "input_shape": shape},
        "task": {"kind": "classification",
                 "options": {"label_smoothing": taking.get("train.label_smoothing", 0.0)}},
        "data": _data(taking, shape),
        "train": {"train": _training(taking)},
        "evaluate": {"batch_size": taking.get("evaluate.batch_size", 64)},
        "target": _target(taking),
        "run": {"seed": taking.get("train.random_seed", 42)},
    }  # fmt: skip
    network = (
        f"the network '{taking.get('model.backbone', 'resnet_18')}' is not built in: write its "
        "factory build to network.py, or give an ONNX file in model.source"
    )
    for key in ("dataset.num_classes", "model.num_classes", "train.optim_config.lr"):
        # Folders are the classes, and the schedule's rate replaces the optimizer's own.
        taking.taken.add(key)
    folder = PurePosixPath(str(tables["data"]["path"])) / "train"
    splits = f"{folder} and the folders val and test beside it are the splits"
    return tables, [network, splits, *([CUT_SHORT] if _cosine(taking) else []), *taking.left()]


def _name(taking: _Taking) -> str:
    """Return what tells a task: its model's name, or its network."""
    model = taking.block("model")
    return str(model.get("name") or model.get("backbone") or "another task")[:40]


def _cosine(taking: _Taking) -> bool:
    return bool(taking.get("train.lr_config.scheduler", "cosine") == "cosine")


def _data(taking: _Taking, shape: list[int]) -> Table:
    train = PurePosixPath(taking.get("dataset.train_dataset_path", "data/train"))
    taking.get("dataset.val_dataset_path", "")
    mode = taking.get("dataset.preprocess_mode", "caffe")
    scaling = preprocessing(mode, shape[0])
    if scaling is None:
        if mode != "caffe":
            raise taking.spec.wrong(("dataset", "preprocess_mode"),
                                    f"is '{mode[:40]}', expected caffe, torch or tf")  # fmt: skip
        blue_first = taking.get("dataset.image_mean", [103.939, 116.779, 123.68])
        scaling = {"range": [0.0, 256.0], "mean": list(reversed(blue_first))}
    mirrored = not taking.get("dataset.augmentation.disable_horizontal_flip", False)
    return {"source": "folder", "path": str(train.parent), **scaling,
            "options": {"size": shape[1:], "gray": shape[0] == 1},
            "augment": {"flip": mirrored}}  # fmt: skip


def _training(taking: _Taking) -> Table:
    optimizer = taking.get("train.optim_config.optimizer", "sgd")
    if optimizer not in _OPTIMIZERS:
        what = f"is '{optimizer[:40]}', expected {', '.join(_OPTIMIZERS)}"
        raise taking.spec.wrong(("train", "optim_config", "optimizer"), what)
    table: Table = {
        "batch_size": taking.get("train.batch_size_per_gpu", 64),
        "epochs": taking.get("train.num_epochs", 100),
        "checkpoint_every": taking.get("train.checkpoint_interval", 1),
        "optimizer": "sgd" if optimizer == "sgd" else "adam",
    }
    if optimizer == "sgd":
        table["momentum"] = taking.get("train.optim_config.momentum", 0.9)
    at = "train.lr_config"
    table["learning_rate"] = taking.get(f"{at}.learning_rate", 0.05)
    return table | _schedule(taking, at)


def _schedule(taking: _Taking, at: str) -> Table:
    scheduler = taking.get(f"{at}.scheduler", "cosine")
    rise = taking.get(f"{at}.soft_start", 0.05)
    if scheduler == "soft_anneal":
        marks = taking.get(f"{at}.annealing_points", [0.33, 0.66, 0.88])
        divider = taking.get(f"{at}.annealing_divider", 10.0)
        if divider <= 0:
            raise taking.spec.wrong(tuple(f"{at}.annealing_divider".split(".")),
                                    f"is {divider:g}, expected above 0")  # fmt: skip
        options = {"milestones": list(marks), "factor": 1.0 / divider}
        return {"schedule": "step", "warmup": rise, "schedule_options": options}
    if scheduler != "cosine":
        raise taking.spec.wrong(tuple(f"{at}.scheduler".split(".")),
                                f"is '{scheduler[:40]}', which has no recipe here; expected "
                                "cosine or soft_anneal")  # fmt: skip
    floor = taking.get(f"{at}.min_lr_ratio", 3e-5)
    options = {"soft_start": rise, "floor": floor, "cut_short": True}
    return {"schedule": "soft_start_cosine", "schedule_options": options}


def _target(taking: _Taking) -> Table:
    kind = taking.get("train.reg_config.type", "None")
    weight = taking.get("train.reg_config.weight_decay", 0.0)
    taking.taken.add("train.reg_config.scope")
    target: Table = {"name": "tao", "regularizer": "NO_REG"}
    if kind.upper() in ("L1", "L2"):
        target |= {"regularizer": kind.upper(), "regularizer_weight": weight}
    if taking.get("train.qat", False):
        target["qat"] = True
    block = taking.block("prune")
    numbers = {"threshold": 0.1, "granularity": 8, "min_num_filters": 16}
    for theirs, ours in _PRUNING.items():
        if theirs in block:
            target[ours] = taking.get(f"prune.{theirs}", numbers.get(theirs, ""))
    if names := taking.get("prune.excluded_layers", []):
        target["excluded_layers"] = [str(name) for name in names]
    return target
