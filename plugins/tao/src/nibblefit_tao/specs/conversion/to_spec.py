"""A recipe back into the spec it came from: what the recipe says replaces what stood there.

Fields that a recipe has no counterpart for stay as they are, so nothing of the spec gets lost.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nibblefit.errors import UnsupportedError
from nibblefit_tao.specs.text import spec_text
from nibblefit_tao.specs.typed import Spec

Tables = Mapping[str, Any]
Change = tuple[str, Any]


def to_spec(tables: Tables, spec: Spec, step: str = "train") -> str:
    """Return the text of a spec with a recipe's settings.

    Args:
        tables: The recipe, as nested tables.
        spec: The spec it came from, or any other of its kind.
        step: Which training the spec is for: ``train`` or ``retrain``.

    Raises:
        UnsupportedError: Recipes are not made for this kind of spec.
    """
    changes = _CHANGES.get(spec.kind)
    if changes is None:
        raise UnsupportedError(f"{spec.path} is a spec for {spec.kind}, which no recipe describes",
                               hint=f"possible: {', '.join(_CHANGES)}")  # fmt: skip
    values = copy.deepcopy(dict(spec.values))
    training = {**tables.get("train", {}), **tables.get("train", {}).get(step, {})}
    for path, value in changes(tables, training, step):
        _set(values, path, value)
    return spec_text(spec.kind, values)


def _set(values: dict[str, Any], path: str, value: Any) -> None:
    *blocks, last = path.split(".")
    for block in blocks:
        values = values.setdefault(block, {})
    if value is None:
        values.pop(last, None)
    else:
        values[last] = value


def _ssd(tables: Tables, training: Tables, step: str) -> Iterator[Change]:
    options = tables.get("task", {}).get("options", {})
    for key, path in (
        ("score", "confidence_threshold"), ("overlap", "clustering_iou_threshold"),
        ("keep", "top_k"),
    ):  # fmt: skip
        if key in options:
            yield f"nms_config.{path}", options[key]
    if "precision" in options:
        yield "eval_config.average_precision_mode", options["precision"].upper()
    yield from _size(tables, "augmentation_config.output_height",
                     "augmentation_config.output_width")  # fmt: skip
    yield from _detection(tables, training, step)


def _detectnet(tables: Tables, training: Tables, step: str) -> Iterator[Change]:
    options = tables.get("task", {}).get("options", {})
    if "precision" in options:
        yield "evaluation_config.average_precision_mode", options["precision"].upper()
    at = "augmentation_config.preprocessing"
    yield from _size(tables, f"{at}.output_image_height", f"{at}.output_image_width")
    yield from _detection(tables, training, step)


def _size(tables: Tables, height: str, width: str) -> Iterator[Change]:
    size = tables.get("data", {}).get("options", {}).get("size")
    if size is not None:
        pair = (size, size) if isinstance(size, int) else tuple(size)
        yield height, pair[0]
        yield width, pair[1]


def _detection(tables: Tables, training: Tables, step: str) -> Iterator[Change]:
    if "seed" in tables.get("run", {}):
        yield "random_seed", tables["run"]["seed"]
    classes = tables.get("data", {}).get("options", {}).get("classes")
    if classes:
        yield "dataset_config.target_class_mapping", dict(classes)
    at = "training_config"
    for key, path in (("batch_size", "batch_size_per_gpu"), ("epochs", "num_epochs"),
                      ("checkpoint_every", "checkpoint_interval")):  # fmt: skip
        if key in training:
            yield f"{at}.{path}", training[key]
    yield from _rates(training, at)
    target, prefix = tables.get("target", {}), "" if step == "train" else "retrain_"
    kind = target.get(f"{prefix}regularizer")
    if kind is not None:
        yield f"{at}.regularizer.type", kind
        weight = target.get(f"{prefix}regularizer_weight")
        if weight is not None:
            yield f"{at}.regularizer.weight", weight


def _rates(training: Tables, at: str) -> Iterator[Change]:
    names = {"soft_start": "soft_start_annealing_schedule",
             "soft_start_cosine": "soft_start_cosine_annealing_schedule"}  # fmt: skip
    schedule = names.get(training.get("schedule", ""))
    if schedule is None:
        return
    options, high = training.get("schedule_options", {}), training["learning_rate"]
    path = f"{at}.learning_rate.{schedule}"
    yield f"{path}.min_learning_rate", float(f"{high * options.get('floor', 0.0):.12g}")
    yield f"{path}.max_learning_rate", high
    for key in ("soft_start", "annealing"):
        if key in options:
            yield f"{path}.{key}", options[key]


def _classification(tables: Tables, training: Tables, step: str) -> Iterator[Change]:
    at = "train_config"
    if "seed" in tables.get("run", {}):
        yield f"{at}.random_seed", tables["run"]["seed"]
    for key, path in (("batch_size", "batch_size_per_gpu"), ("epochs", "n_epochs")):
        if key in training:
            yield f"{at}.{path}", training[key]
    options, rate = training.get("schedule_options", {}), training.get("learning_rate")
    if training.get("schedule") == "soft_start_cosine":
        yield f"{at}.lr_config.cosine.learning_rate", rate
        yield f"{at}.lr_config.cosine.soft_start", options.get("soft_start", 0.0)
    elif training.get("schedule") == "step":
        yield f"{at}.lr_config.soft_anneal.learning_rate", rate
        yield f"{at}.lr_config.soft_anneal.annealing_points", list(options["milestones"])
        divider = float(f"{1.0 / options['factor']:.12g}")
        yield f"{at}.lr_config.soft_anneal.annealing_divider", divider
        yield f"{at}.lr_config.soft_anneal.soft_start", training.get("warmup", 0.0)
    target, prefix = tables.get("target", {}), "" if step == "train" else "retrain_"
    kind = target.get(f"{prefix}regularizer")
    if kind is not None:
        yield f"{at}.reg_config.type", "None" if kind == "NO_REG" else kind
        if f"{prefix}regularizer_weight" in target:
            yield f"{at}.reg_config.weight_decay", target[f"{prefix}regularizer_weight"]


_CHANGES: Mapping[str, Callable[[Tables, Tables, str], Iterator[Change]]] = {
    "ssd": _ssd,
    "classification": _classification,
    "detectnet_v2": _detectnet,
}
