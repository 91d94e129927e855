"""TAO's YAML specs (TensorFlow 2 and PyTorch tasks): read, with the line of every mistake."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from nibblefit.errors import InputError, did_you_mean
from nibblefit_tao.specs.typed import read_text

#: Blocks of every task's spec.
_BLOCKS = (
    "results_dir", "num_gpus", "dataset", "train", "model", "evaluate", "inference", "export",
    "gen_trt_engine", "prune", "quantize", "encryption_key", "distill", "gpus", "verbose", "wandb",
    "class_names", "dataset_convert", "num_nodes", "optimization", "ssl_dino", "data_format",
    "clearml", "data", "augment",
)  # fmt: skip
#: Deeper nesting is no spec, and slow to refuse for the parser.
_DEPTH = 40
_RUN_OF_MARKS = re.compile(rf"(?:[-?:][ \t]+){{{_DEPTH}}}")
_OPENING, _CLOSING = "[{", "]}"


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
        try:
            return int(found.lc.key(keys[-1])[0]) + 1
        except (KeyError, TypeError):
            # A key that came by a merge has no line of its own.
            return 0

    def wrong(self, keys: tuple[str, ...], what: str) -> InputError:
        """Return an error that points at a key's line."""
        line = self.line(*keys)
        place = f"{self.path}, line {line}" if line else str(self.path)
        return InputError(f"{place}: '{'.'.join(keys)}' {what}")


def read_yaml_spec(path: Path) -> YamlSpec:
    """Read a YAML spec.

    Raises:
        InputError: Unreadable, no YAML, or a block no task of TAO has; names the line.
    """
    text = read_text(path)
    if _depth(text) > _DEPTH or _RUN_OF_MARKS.search(text):
        raise InputError(f"{path}: blocks are nested too deeply", hint="no spec of TAO is")
    try:
        values = YAML(typ="rt").load(text)
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
                f"{path}, line {spec.line(key)}: no task of TAO has a block "
                f"'{str(key)[:40]}'; {did_you_mean(str(key)[:40], _BLOCKS)}"
            )
    return spec


def _depth(text: str) -> int:
    """Return how deeply brackets are nested at most, those in quotes included."""
    depth = deepest = 0
    for letter in text:
        if letter in _OPENING:
            depth += 1
            deepest = max(deepest, depth)
        elif letter in _CLOSING:
            depth = max(0, depth - 1)
    return deepest
