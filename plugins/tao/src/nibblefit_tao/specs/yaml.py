"""TAO's YAML specs (TensorFlow 2 and PyTorch tasks): read, and classification made a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from nibblefit.errors import InputError, UnsupportedError, did_you_mean
from nibblefit_tao.specs.conversion.to_recipe import Converted

#: Longer files are no specs.
_LARGEST = 2**20
#: Blocks of every task's spec.
_BLOCKS = (
    "results_dir", "num_gpus", "dataset", "train", "model", "evaluate", "inference", "export",
    "gen_trt_engine", "prune", "quantize", "encryption_key", "distill", "gpus", "verbose", "wandb",
    "class_names", "dataset_convert", "num_nodes", "optimization", "ssl_dino",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class YamlSpec:
    """A YAML spec.

    Attributes:
        path: The file.
        values: Nested mappings, lists and scalars.
    """

    path: Path
    values: Mapping[str, Any]

    def line(self, *keys: str) -> int:
        """Return the line of a key, from 1; 0 where it is unset."""
        found: Any = self.values
        for key in keys[:-1]:
            found = found.get(key) if isinstance(found, CommentedMap) else None
        if not isinstance(found, CommentedMap) or keys[-1] not in found:
            return 0
        return int(found.lc.key(keys[-1])[0]) + 1


def read_yaml_spec(path: Path) -> YamlSpec:
    """Read a YAML spec.

    Raises:
        InputError: Unreadable, no YAML, or a block no task of TAO has; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if len(text) > _LARGEST:
            raise InputError(f"{path} is {len(text):,} letters long; no spec is")
        values = YAML(typ="rt").load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the spec {path}: {error}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark is not None else ""
        what = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise InputError(f"{path}{place}: {what}", hint="the file is no YAML") from None
    if not isinstance(values, CommentedMap):
        raise InputError(f"{path} holds no blocks", hint="give an experiment spec of TAO")
    spec = YamlSpec(path, values)
    for key in values:
        if key not in _BLOCKS:
            raise InputError(
                f"{path}, line {spec.line(str(key))}: no task of TAO has a block "
                f"'{str(key)[:40]}'; {did_you_mean(str(key), _BLOCKS)}"
            )
    return spec


def yaml_to_recipe(spec: YamlSpec) -> Converted:
    """Return the recipe of a classification spec.

    Raises:
        UnsupportedError: Another task's spec.
        InputError: A value is missing or of the wrong type.
    """
    dataset, model = _block(spec, "dataset"), _block(spec, "model")
    # Only classification has its schedule in a block of this name.
    if "num_classes" not in dataset or "lr_config" not in _block(spec, "train"):
        raise UnsupportedError(
            f"{spec.path} is read, but is no classification spec, and has no recipe here",
            hint="write the network in PyTorch and use its training settings",
        )
    channels, *size = (
        int(_number(spec, model, f"input_{word}", default, "model"))
        for word, default in (("channels", 3), ("height", 224), ("width", 224))
    )
    tables = {
        "model": {"source": "network.py:build", "input_shape": [channels, *size]},
        "task": {"kind": "classification"},
        "data": {"source": "folder", "options": {"size": size}},
        "train": {"train": _training(spec)},
        "target": _target(spec),
    }
    network = (
        f"the network '{model.get('backbone', '')}' is not built in: write its factory to "
        "network.py, or give an ONNX file in model.source"
    )
    return Converted(tables, (network, "set data.path to the folder above train and val"))


def _training(spec: YamlSpec) -> dict[str, Any]:
    train, rate = _block(spec, "train"), _block(spec, "train", "lr_config")
    return {
        "batch_size": int(_number(spec, train, "batch_size_per_gpu", 64, "train")),
        "epochs": int(_number(spec, train, "num_epochs", 80, "train")),
        "optimizer": "sgd",
        "learning_rate": _number(spec, rate, "learning_rate", 0.05, "train", "lr_config"),
        "schedule": "soft_start_cosine",
        "schedule_options": {
            "soft_start": _number(spec, rate, "soft_start", 0.0, "train", "lr_config"),
            "floor": 0.0,
            "cut_short": True,
        },
    }


def _target(spec: YamlSpec) -> dict[str, Any]:
    regularizer = _block(spec, "train", "reg_config")
    kind = str(regularizer.get("type", "None"))
    weight = _number(spec, regularizer, "weight_decay", 0.0, "train", "reg_config")
    target: dict[str, Any] = {"name": "tao", "regularizer": "NO_REG"}
    if kind in ("L1", "L2"):
        target |= {"regularizer": kind, "regularizer_weight": weight}
    return target | _pruning(spec)


def _pruning(spec: YamlSpec) -> dict[str, Any]:
    block = _block(spec, "prune")
    words = {
        "threshold": "threshold", "granularity": "pruning_granularity",
        "min_num_filters": "min_num_filters", "normalizer": "normalizer",
        "equalization_criterion": "equalization_criterion",
    }  # fmt: skip
    found = {ours: block[theirs] for theirs, ours in words.items() if theirs in block}
    if block.get("excluded_layers"):
        found["excluded_layers"] = [str(name) for name in block["excluded_layers"]]
    return found


def _block(spec: YamlSpec, *keys: str) -> Mapping[str, Any]:
    block: Mapping[str, Any] = spec.values
    for place, key in enumerate(keys):
        found = block.get(key, CommentedMap())
        if not isinstance(found, Mapping):
            raise InputError(f"{spec.path}, line {spec.line(*keys[: place + 1])}: "
                             f"'{'.'.join(keys)}' holds no fields")  # fmt: skip
        block = found
    return block


def _number(spec: YamlSpec, block: Mapping[str, Any], key: str, default: float,
            *keys: str) -> float:  # fmt: skip
    found = block.get(key, default)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise InputError(f"{spec.path}, line {spec.line(*keys, key)}: '{key}' is "
                         f"'{str(found)[:40]}', expected a number")  # fmt: skip
    return found
