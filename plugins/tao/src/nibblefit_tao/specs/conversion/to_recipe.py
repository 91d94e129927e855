"""A spec, and the one of the retraining, as a recipe of this target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from nibblefit.errors import InputError, UnsupportedError
from nibblefit.recipe_file import document_toml
from nibblefit_tao.specs.conversion.anchors import anchors
from nibblefit_tao.specs.conversion.checking import require_valid
from nibblefit_tao.specs.conversion.pictures import kitti, means, preprocessing, unit_scaling
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
    if retrain is None:
        # Steps without a table of their own would train as [train] says, which no spec fills.
        tables["train"]["retrain"] = dict(tables["train"]["train"])
        notes.append("the retraining repeats the training, without a regularizer: give its own "
                     "spec with --retrain")  # fmt: skip
    else:
        _add_retraining(tables, notes, retrain)
    if tables["target"].get("qat"):
        tables["train"]["qat"] = dict(tables["train"]["retrain"])
    require_valid(tables, spec.path)
    return Converted(tables, tuple(dict.fromkeys(notes)))


def _add_retraining(tables: Table, notes: list[str], spec: Spec) -> None:
    """Add what the second spec says of its training; its other settings are compared and named."""
    taking, own = Taking(spec), list[str]()
    other = _CONVERTERS[spec.kind](taking, own)
    own += taking.left()
    tables["train"]["retrain"] = other["train"]["train"]
    found = other["target"]
    tables["target"]["retrain_regularizer"] = found["regularizer"]
    if "regularizer_weight" in found:
        tables["target"]["retrain_regularizer_weight"] = found["regularizer_weight"]
    if found.get("qat"):
        tables["target"]["qat"] = True
    known = {_words(note) for note in notes}
    notes += [f"{spec.path.name}, {note}" for note in own if _words(note) not in known]
    for name in ("model", "task", "data", "evaluate", "run"):
        if other.get(name) != tables.get(name):
            notes.append(f"{spec.path.name} has other settings for [{name}] than the first spec: "
                         "the first one's hold")  # fmt: skip


def _words(note: str) -> str:
    """Return a note without its line."""
    return note.partition(": ")[2] if note.startswith("line ") else note


def _ssd(taking: Taking, notes: list[str]) -> dict[str, Any]:
    network = "dssd_config" if taking.spec.has("dssd_config") else "ssd_config"
    if network == "dssd_config":
        notes.append("DSSD's deconvolutions are left out: the network is plain SSD")
    classes = _classes(taking, "dataset_config.target_class_mapping")
    height = taking.get("augmentation_config.output_height", 300)
    width = taking.get("augmentation_config.output_width", 300)
    channels = taking.get("augmentation_config.output_channel", 3)
    options, counts = anchors(taking, network, notes)
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
        "claims": "free",
        "absent": "zero",
        "whole_pixels": True,
    }
    source = _resnet_source(taking, network, "nlayers", _SSD, notes)
    shape = (channels, height, width)
    data = kitti(taking, classes, shape, notes)
    return {
        "model": _model(source, {"classes": _count(classes), "anchors": counts}, shape),
        "task": {"kind": "detection", "options": options},
        "data": data | means(taking, "augmentation_config.image_mean", channels),
        "train": {"train": detection_training(taking, notes) | _freeze(taking, network, source,
                                                                       notes)},
        "evaluate": _evaluation(taking),
        "target": {"name": "tao", **regularizer(taking), **_qat(taking, notes)},
        "run": {"seed": taking.get("random_seed", 1)},
    }  # fmt: skip


def _detectnet(taking: Taking, notes: list[str]) -> dict[str, Any]:
    notes.append("DetectNet_v2's coverage and box maps become a single-shot head on two levels")
    classes = _classes(taking, "dataset_config.target_class_mapping")
    at = "augmentation_config.preprocessing"
    height = taking.get(f"{at}.output_image_height", 384)
    width = taking.get(f"{at}.output_image_width", 1248)
    source = _resnet_source(taking, "model_config", "num_layers", _SSD, notes)
    for block in ("model_config.objective_set", "bbox_rasterizer_config", "cost_function_config",
                  "postprocessing_config"):  # fmt: skip
        taking.get(block, {})
    taking.get("model_config.all_projections", False)
    options = {"precision": _precision(taking, "evaluation_config")}
    shape = (taking.get(f"{at}.output_image_channel", 3), height, width)
    return {
        "model": _model(source, {"classes": _count(classes), "levels": 2}, shape),
        "task": {"kind": "detection", "options": options},
        "data": kitti(taking, classes, shape, notes) | unit_scaling(),
        "train": {"train": detection_training(taking, notes) | _freeze(taking, "model_config",
                                                                       source, notes)},
        "target": {"name": "tao", **regularizer(taking), **_qat(taking, notes)},
        "run": {"seed": taking.get("random_seed", 1)},
    }  # fmt: skip


def _classification(taking: Taking, notes: list[str]) -> dict[str, Any]:
    text = taking.get("model_config.input_image_size", "3,224,224")
    parts = [part.strip() for part in text.split(",")]
    sizes = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 6]
    if len(sizes) != len(parts) or len(sizes) != 3 or 0 in sizes or sizes[0] not in (1, 3):
        raise taking.spec.wrong("model_config.input_image_size",
                                f"is '{text}'; expected 'channels,height,width'")  # fmt: skip
    source = _resnet_source(taking, "model_config", "n_layers", _RESNET, notes)
    arguments: Table = {}
    if source == _RESNET:
        arguments = {"all_projections": taking.flag("model_config.all_projections"),
                     "pooling": taking.flag("model_config.use_pooling")}  # fmt: skip
        arguments |= _class_folders(taking, notes)
        if not taking.spec.get("model_config.use_batch_norm", False):
            notes.append("the network has batch norm, the spec's has none")
    train, target = classification_training(taking, notes)
    data = _folder(taking, sizes, notes)
    return {
        "model": _model(source, arguments, sizes),
        "task": {"kind": "classification",
                 "options": {"label_smoothing": taking.get("train_config.label_smoothing", 0.0)}},
        "data": data,
        "train": {"train": train | _freeze(taking, "model_config", source, notes)},
        "evaluate": _evaluation(taking),
        "target": {"name": "tao", **target},
        "run": {"seed": taking.get("train_config.random_seed", 1)},
    }  # fmt: skip


def _class_folders(taking: Taking, notes: list[str]) -> Table:
    """Return the number of classes where the training pictures are at hand."""
    folder = Path(taking.get("train_config.train_dataset_path", "data/train"))
    count = sum(path.is_dir() for path in folder.iterdir()) if folder.is_dir() else 0
    if not count:
        notes.append("add classes to model.arguments: the number of your class folders")
    return {"classes": count} if count else {}


def _folder(taking: Taking, sizes: list[int], notes: list[str]) -> Table:
    """Return ``[data]`` of a classification spec."""
    channels, height, width = sizes
    folder = PurePosixPath(taking.get("train_config.train_dataset_path", "data/train"))
    others = [taking.get(name, "") for name in ("train_config.val_dataset_path",
                                                "eval_config.eval_dataset_path")]  # fmt: skip
    notes.append(f"data.path is the folder above '{folder.name}': its sub-folders train, val and "
                 "test are the splits")  # fmt: skip
    known = (folder.parent / "train", folder.parent / "val", folder.parent / "test")
    strange = [name for name in (str(folder), *others) if name and PurePosixPath(name) not in known]
    if strange:
        notes.append(f"not read from where the spec says: {', '.join(strange)}: move or link them")
    mode = taking.get("train_config.preprocess_mode", "caffe")
    scaling = preprocessing(mode, channels)
    if scaling is None:
        if mode != "caffe":
            raise taking.spec.wrong("train_config.preprocess_mode",
                                    f"is '{mode[:40]}'; expected caffe, torch or tf")  # fmt: skip
        scaling = means(taking, "train_config.image_mean", channels)
    return {
        "source": "folder", "path": str(folder.parent), **scaling,
        "options": {"size": [height, width], "gray": channels == 1},
        "augment": {"flip": not taking.flag("train_config.disable_horizontal_flip")},
    }  # fmt: skip


def _model(source: str, arguments: Table, shape: Sequence[int]) -> Table:
    gray = {"channels": 1} if shape[0] == 1 and source != _OWN else {}
    return {"source": source, "arguments": arguments | gray, "input_shape": list(shape)}


def _count(classes: Mapping[str, str]) -> int:
    """Return how many classes a mapping leaves; case does not count."""
    return len({name.lower() for name in classes.values()})


def _evaluation(taking: Taking) -> Table:
    batch = taking.get("eval_config.batch_size", 0)
    return {"batch_size": batch} if batch else {}


def _freeze(taking: Taking, at: str, source: str, notes: list[str]) -> Table:
    """Return which convolutions do not learn; blocks are known of the built-in networks."""
    if source == _OWN or not taking.spec.has(f"{at}.freeze_blocks"):
        return {}
    blocks = sorted({int(block) for block in taking.get(f"{at}.freeze_blocks", [])})
    if not set(blocks) <= set(range(5)):
        raise taking.spec.wrong(f"{at}.freeze_blocks", f"names block {blocks[-1]}; expected 0 to 4")
    notes.append(f"line {taking.spec.lines[f'{at}.freeze_blocks']}: blocks are frozen as they "
                 "start: give trained weights in model.weights, or delete freeze")  # fmt: skip
    return {"freeze": [f"backbone.block_{n}?.conv*" if n else "backbone.conv1.*" for n in blocks]}


def _resnet_source(taking: Taking, at: str, layers: str, own: str, notes: list[str]) -> str:
    arch = taking.get(f"{at}.arch", "resnet")
    count = taking.get(f"{at}.{layers}", 0)
    if (arch, count) == ("resnet", 18):
        return own
    name = f"{arch} {count}".strip().removesuffix(" 0")
    notes.append(f"the network '{name}' is not built in: write its factory build to "
                 "network.py, or give an ONNX file in model.source")  # fmt: skip
    return _OWN


def _classes(taking: Taking, dotted: str) -> dict[str, str]:
    found = taking.get(dotted, {})
    if not found:
        raise taking.spec.wrong(dotted, "maps no class", hint="add target_class_mapping entries")
    return dict(found)


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
