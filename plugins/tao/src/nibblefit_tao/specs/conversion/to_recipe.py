"""A spec, and the one of the retraining, as a recipe of this target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from nibblefit.errors import InputError, UnsupportedError
from nibblefit.recipe_file import document_toml
from nibblefit_tao.specs.conversion.taking import Taking
from nibblefit_tao.specs.conversion.training import (
    Table,
    classification_training,
    detection_training,
    regularizer,
)
from nibblefit_tao.specs.typed import Spec

_SSD = "nibblefit_tao.networks.ssd_resnet:SsdResNet18"
_RESNET = "nibblefit_tao.networks.resnet:ResNet18"
_OWN = "network.py:build"
#: Means that TAO subtracts where the spec names none, blue first.
_MEANS = {"b": 103.939, "g": 116.779, "r": 123.68}
_GREY = 117.3786


@dataclass(frozen=True, slots=True)
class Converted:
    """A recipe made from a spec.

    Attributes:
        tables: Its tables.
        notes: What could not be carried over, with the spec's lines.
    """

    tables: Mapping[str, Any]
    notes: tuple[str, ...]

    def text(self) -> str:
        """Return the recipe as TOML, the notes as comments above it."""
        comments = "".join(f"# {note}\n" for note in self.notes)
        return comments + ("\n" if comments else "") + document_toml(self.tables)


def to_recipe(spec: Spec, retrain: Spec | None = None) -> Converted:
    """Return the recipe of a spec.

    Args:
        spec: Of the first training.
        retrain: Of the retraining after pruning; None retrains like the first training.

    Raises:
        UnsupportedError: A kind of network this target has no recipe for.
        InputError: The two specs are of different kinds, or a value is out of range.
    """
    convert = _CONVERTERS.get(spec.kind)
    if convert is None:
        raise UnsupportedError(
            f"{spec.path} is a spec for {spec.kind}, which is read but has no recipe here",
            hint=f"recipes are made for {', '.join(_CONVERTERS)}; write the network in PyTorch and "
            "use its training settings",
        )
    if retrain is not None and retrain.kind != spec.kind:
        raise InputError(f"{retrain.path} is a spec for {retrain.kind}, {spec.path} for "
                         f"{spec.kind}", hint="give two specs of the same network")  # fmt: skip
    notes: list[str] = []
    taking = Taking(spec)
    tables = convert(taking, notes)
    notes += taking.left()
    if retrain is not None:
        again = Taking(retrain)
        other = _CONVERTERS[spec.kind](again, [])
        tables["train"]["retrain"] = other["train"]["train"]
        found = other["target"]
        tables["target"]["retrain_regularizer"] = found["regularizer"]
        if "regularizer_weight" in found:
            tables["target"]["retrain_regularizer_weight"] = found["regularizer_weight"]
    return Converted(tables, tuple(notes))


def _ssd(taking: Taking, notes: list[str]) -> dict[str, Any]:
    network = "dssd_config" if taking.spec.has("dssd_config") else "ssd_config"
    if network == "dssd_config":
        notes.append("DSSD's deconvolutions are left out: the network is plain SSD")
    classes = _classes(taking, "dataset_config.target_class_mapping")
    height = taking.get("augmentation_config.output_height", 300)
    width = taking.get("augmentation_config.output_width", 300)
    options, anchors = _anchors(taking, network)
    options |= {
        "negatives": float(taking.get(f"{network}.neg_pos_ratio", 3.0)),
        "negatives_from": "batch",
        "location_weight": taking.get(f"{network}.alpha", 1.0),
        "matching": taking.get(f"{network}.pos_iou_thresh", 0.5),
        "neutral": taking.get(f"{network}.neg_iou_thresh", 0.5),
        "score": taking.get("nms_config.confidence_threshold", 0.01),
        "overlap": taking.get("nms_config.clustering_iou_threshold", 0.6),
        "keep": taking.get("nms_config.top_k", 200),
        "precision": _precision(taking, "eval_config"),
    }
    source = _resnet_source(taking, network, "nlayers", _SSD, notes)
    arguments = {"classes": len(set(classes.values())), "anchors": anchors}
    return {
        "model": _model(source, arguments, (height, width)),
        "task": {"kind": "detection", "options": options},
        "data": _kitti(taking, classes, (height, width), notes),
        "train": {"train": detection_training(taking, notes)},
        "target": {"name": "tao", **regularizer(taking), **_qat(taking, notes)},
        "run": {"seed": taking.get("random_seed", 1)},
    }


def _detectnet(taking: Taking, notes: list[str]) -> dict[str, Any]:
    notes.append("DetectNet_v2's coverage and box maps become a single-shot head on one level")
    classes = _classes(taking, "dataset_config.target_class_mapping")
    at = "augmentation_config.preprocessing"
    height = taking.get(f"{at}.output_image_height", 384)
    width = taking.get(f"{at}.output_image_width", 1248)
    source = _resnet_source(taking, "model_config", "num_layers", _SSD, notes)
    for block in ("model_config.objective_set", "bbox_rasterizer_config", "cost_function_config",
                  "postprocessing_config"):  # fmt: skip
        taking.get(block, {})
    options = {"precision": _precision(taking, "evaluation_config")}
    return {
        "model": _model(source, {"classes": len(set(classes.values())), "levels": 2},
                        (height, width)),
        "task": {"kind": "detection", "options": options},
        "data": _kitti(taking, classes, (height, width), notes),
        "train": {"train": detection_training(taking, notes)},
        "target": {"name": "tao", **regularizer(taking), **_qat(taking, notes)},
        "run": {"seed": taking.get("random_seed", 1)},
    }  # fmt: skip


def _classification(taking: Taking, notes: list[str]) -> dict[str, Any]:
    text = taking.get("model_config.input_image_size", "3,224,224")
    sizes = [int(part) for part in text.split(",") if part.strip().isdigit()]
    if len(sizes) != 3:
        raise taking.spec.wrong("model_config.input_image_size",
                                f"is '{text}'; expected 'channels,height,width'")  # fmt: skip
    channels, height, width = sizes
    source = _resnet_source(taking, "model_config", "n_layers", _RESNET, notes)
    arguments: Table = {}
    if source == _RESNET:
        arguments = {"classes": 0, "all_projections": taking.flag("model_config.all_projections")}
        notes.append("set model.arguments.classes to the number of your classes")
    train, target = classification_training(taking, notes)
    folder = PurePosixPath(taking.get("train_config.train_dataset_path", "data/train"))
    for name in ("train_config.val_dataset_path", "eval_config.eval_dataset_path"):
        taking.get(name, "")
    notes.append(f"data.path is the folder above '{folder.name}': its sub-folders train, val and "
                 "test are the splits")  # fmt: skip
    return {
        "model": _model(source, arguments, (height, width), channels),
        "task": {"kind": "classification"},
        "data": {
            "source": "folder", "path": str(folder.parent), "range": [0.0, 256.0],
            "mean": _means(taking, "train_config.image_mean", channels),
            "options": {"size": [height, width], "gray": channels == 1},
            "augment": {"flip": not taking.flag("train_config.disable_horizontal_flip")},
        },
        "train": {"train": train},
        "target": {"name": "tao", **target},
        "run": {"seed": taking.get("train_config.random_seed", 1)},
    }  # fmt: skip


def _model(source: str, arguments: Table, size: tuple[int, int], channels: int = 3) -> Table:
    return {"source": source, "arguments": arguments, "input_shape": [channels, *size]}


def _resnet_source(taking: Taking, at: str, layers: str, own: str, notes: list[str]) -> str:
    arch = taking.get(f"{at}.arch", "resnet")
    count = taking.get(f"{at}.{layers}", 0)
    if (arch, count) == ("resnet", 18):
        return own
    name = f"{arch} {count}".strip().removesuffix(" 0")
    notes.append(f"the network '{name}' is not built in: write its factory to {_OWN}, or give an "
                 "ONNX file in model.source")  # fmt: skip
    return _OWN


def _anchors(taking: Taking, network: str) -> tuple[Table, Any]:
    """Return anchor options and the number of anchors of each level."""
    squares = 2 if taking.flag(f"{network}.two_boxes_for_ar1") else 1
    lists = taking.numbers(f"{network}.aspect_ratios") or taking.numbers(
        f"{network}.aspect_ratios_global"
    )
    if not isinstance(lists, list) or not lists:
        raise taking.spec.wrong(network, "has no aspect ratios",
                                hint="set aspect_ratios_global")  # fmt: skip
    levels = [item if isinstance(item, list) else lists for item in lists]
    nested = isinstance(lists[0], list)
    levels = levels if nested else [lists]
    ratios = []
    for level in levels:
        numbers = [float(r) for r in level if not isinstance(r, list)]
        if 1.0 not in numbers:
            raise taking.spec.wrong(f"{network}.aspect_ratios",
                                    "has a level without the ratio 1.0")  # fmt: skip
        ratios.append([ratio for ratio in numbers if ratio != 1.0])
    options: Table = {
        "two_squares": squares == 2,
        "ratios": ratios,
        "clip": taking.flag(f"{network}.clip_boxes"),
        "variances": taking.row(f"{network}.variances") or [0.1, 0.1, 0.2, 0.2],
    }
    scales = taking.row(f"{network}.scales")
    if scales is None:
        low, high = taking.get(f"{network}.min_scale", 0.1), taking.get(f"{network}.max_scale", 0.9)
        scales = [low + (high - low) * step / 6 for step in range(7)]
    options["scales"] = scales
    steps, offsets = taking.row(f"{network}.steps"), taking.row(f"{network}.offsets")
    if steps:
        options["steps"] = steps
    if offsets:
        options["offset"] = offsets[0]
    counts = [squares + len(level) for level in ratios]
    return options, counts if nested else counts[0]


def _classes(taking: Taking, dotted: str) -> dict[str, str]:
    found = taking.get(dotted, {})
    if not found:
        raise taking.spec.wrong(dotted, "maps no class", hint="add target_class_mapping entries")
    return dict(found)


def _kitti(taking: Taking, classes: Mapping[str, str], size: tuple[int, int],
           notes: list[str]) -> Table:  # fmt: skip
    channels = taking.get("augmentation_config.output_channel", 3)
    options: Table = {"size": list(size), "gray": channels == 1, "classes": dict(classes)}
    options["include_difficult"] = taking.flag("dataset_config.include_difficult_in_training")
    for field, prefix in (("data_sources", ""), ("validation_data_sources", "validation_")):
        sources = taking.get(f"dataset_config.{field}", [])
        if not sources:
            continue
        if len(sources) > 1:
            notes.append(f"of {len(sources)} {field} only the first is read: join their folders")
        options[f"{prefix}images"] = sources[0].get("image_directory_path", "images")
        options[f"{prefix}labels"] = sources[0].get("label_directory_path", "labels")
        if "tfrecords_path" in sources[0]:
            notes.append(f"{field} names tfrecords: give the folders of pictures and KITTI labels")
    flips = taking.get("augmentation_config.random_flip", 0.0) or taking.get(
        "augmentation_config.spatial_augmentation.hflip_probability", 0.0
    )
    return {
        "source": "kitti", "path": ".", "range": [0.0, 256.0],
        "mean": _means(taking, "augmentation_config.image_mean", channels),
        "options": options,
        "augment": {"flip": flips > 0},
    }  # fmt: skip


def _means(taking: Taking, dotted: str, channels: int) -> list[float]:
    """Return channel means, red first; TAO lists blue first."""
    given = taking.get(dotted, {})
    if channels == 1:
        return [float(given.get("l", _GREY))]
    return [float(given.get(key, _MEANS[key])) for key in ("r", "g", "b")]


def _precision(taking: Taking, at: str) -> str:
    return (
        "integrate" if taking.get(f"{at}.average_precision_mode", "") == "INTEGRATE" else "sample"
    )


def _qat(taking: Taking, notes: list[str]) -> Table:
    if not taking.flag("training_config.enable_qat"):
        return {}
    notes.append("TAO trains quantized before pruning; here after it, on the pruned network")
    return {"qat": True}


Convert = Callable[[Taking, list[str]], dict[str, Any]]
_CONVERTERS: Mapping[str, Convert] = {
    "ssd": _ssd,
    "classification": _classification,
    "detectnet_v2": _detectnet,
}
