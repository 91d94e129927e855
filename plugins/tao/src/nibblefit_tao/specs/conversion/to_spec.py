"""A recipe back into the spec it came from: what the recipe says replaces what stood there.

Fields that a recipe has no counterpart for stay as they are, so nothing of the spec gets lost.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nibblefit.errors import UnsupportedError
from nibblefit_tao.specs.conversion.to_recipe import to_recipe
from nibblefit_tao.specs.schema import ROOT, schema
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
    # What the spec itself says stays in its own words, such as "1.0/3.0".
    said = dict(changes(base := to_recipe(spec).tables, base["train"]["train"], "train", spec))
    training = {**tables.get("train", {}), **tables.get("train", {}).get(step, {})}
    for path, value in changes(tables, training, step, spec):
        if path in said and said[path] == value:
            continue
        _set(values, path, value)
        _drop_rivals(values, spec, path)
    return spec_text(spec.kind, values)


def _set(values: dict[str, Any], path: str, value: Any) -> None:
    *blocks, last = path.split(".")
    for block in blocks:
        values = values.setdefault(block, {})
    if value is None:
        values.pop(last, None)
    else:
        values[last] = value


def _drop_rivals(values: dict[str, Any], spec: Spec, path: str) -> None:
    """Delete the fields that exclude one on a path, such as the schedule that was there before."""
    chosen, message, block = schema(spec.kind), ROOT, values
    for name in path.split("."):
        for group in chosen.choices.get(message, ()):
            for rival in group if name in group else ():
                if rival != name:
                    block.pop(rival, None)
        field = chosen.messages[message][name]
        if field.type not in chosen.messages or name not in block:
            return
        message, block = field.type, block[name]


def _ssd(tables: Tables, training: Tables, step: str, spec: Spec) -> Iterator[Change]:
    options = tables.get("task", {}).get("options", {})
    at = "dssd_config" if spec.has("dssd_config") else "ssd_config"
    for key, path in (
        ("score", "nms_config.confidence_threshold"), ("keep", "nms_config.top_k"),
        ("overlap", "nms_config.clustering_iou_threshold"), ("negatives", f"{at}.neg_pos_ratio"),
        ("location_weight", f"{at}.alpha"), ("matching", f"{at}.pos_iou_thresh"),
        ("neutral", f"{at}.neg_iou_thresh"), ("two_squares", f"{at}.two_boxes_for_ar1"),
        ("clip", f"{at}.clip_boxes"),
    ):  # fmt: skip
        if key in options:
            yield path, options[key]
    for key in ("scales", "variances", "steps"):
        if key in options:
            yield f"{at}.{key}", str(list(options[key]))
    if "ratios" in options:
        lists = [[1.0, *level] for level in options["ratios"]]
        each = len(lists) > 1
        yield f"{at}.aspect_ratios", str(lists) if each else None
        yield f"{at}.aspect_ratios_global", None if each else str(lists[0])
    if "precision" in options:
        yield "eval_config.average_precision_mode", options["precision"].upper()
    yield from _size(tables, "augmentation_config.output_height",
                     "augmentation_config.output_width")  # fmt: skip
    yield from _detection(tables, training, step, spec)


def _detectnet(tables: Tables, training: Tables, step: str, spec: Spec) -> Iterator[Change]:
    options = tables.get("task", {}).get("options", {})
    if "precision" in options:
        yield "evaluation_config.average_precision_mode", options["precision"].upper()
    at = "augmentation_config.preprocessing"
    yield from _size(tables, f"{at}.output_image_height", f"{at}.output_image_width")
    yield from _detection(tables, training, step, spec)


def _size(tables: Tables, height: str, width: str) -> Iterator[Change]:
    size = tables.get("data", {}).get("options", {}).get("size")
    if size is not None:
        pair = (size, size) if isinstance(size, int) else tuple(size)
        yield height, pair[0]
        yield width, pair[1]


def _detection(tables: Tables, training: Tables, step: str, spec: Spec) -> Iterator[Change]:
    if "seed" in tables.get("run", {}):
        yield "random_seed", tables["run"]["seed"]
    classes = tables.get("data", {}).get("options", {}).get("classes")
    if classes:
        yield "dataset_config.target_class_mapping", dict(classes)
    at = "training_config"
    if "qat" in tables.get("target", {}) or spec.has(f"{at}.enable_qat"):
        yield f"{at}.enable_qat", bool(tables.get("target", {}).get("qat", False))
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


def _classification(tables: Tables, training: Tables, step: str, spec: Spec) -> Iterator[Change]:
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
        yield f"{at}.lr_config.cosine.min_lr_ratio", options.get("floor", 0.0)
    elif training.get("schedule") == "soft_start" and not options.get("soft_start"):
        size = spec.get(f"{at}.lr_config.step.step_size", 10)
        yield f"{at}.lr_config.step.learning_rate", rate
        yield f"{at}.lr_config.step.step_size", size
        gamma = float(f"{options.get('floor', 0.0025) ** (size / 100):.12g}")
        yield f"{at}.lr_config.step.gamma", gamma
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


_CHANGES: Mapping[str, Callable[[Tables, Tables, str, Spec], Iterator[Change]]] = {
    "ssd": _ssd,
    "classification": _classification,
    "detectnet_v2": _detectnet,
}
