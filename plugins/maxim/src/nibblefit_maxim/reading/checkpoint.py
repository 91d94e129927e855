"""Vendor checkpoints into parameters per layer, in the order in which the compiler takes them.

A checkpoint is a dictionary with `epoch`, `state_dict` and usually `arch`. Every key that ends in
``.weight`` belongs to the next layer that multiplies, in insertion order: module registration
order, not call order.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nibblefit.errors import InputError
from nibblefit.fixed.formats import FloatArray

_LAYOUT = "expected epoch, state_dict and arch, as the vendor's training writes them"


@dataclass(frozen=True, slots=True)
class LayerParameters:
    """Parameters of one multiplying layer, as stored.

    Attributes:
        name: Module path, such as ``conv1``.
        weights: (out, in/groups, *kernel), transposed convolutions (in, out, *kernel).
        bias: (out,) scaled by 2^(weight bits − 1), or None.
        weight_bits: Stored width; 0 if the checkpoint does not say.
        output_shift: Stored shift; None if the checkpoint does not say.
        threshold: Activation threshold relative to the producer's.
    """

    name: str
    weights: FloatArray
    bias: FloatArray | None = None
    weight_bits: int = 0
    output_shift: int | None = None
    threshold: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded checkpoint; `arch` is empty if the file does not name one.

    `normed` are the keys of one-dimensional weights: batch norms that are not folded.
    """

    file: str
    arch: str
    epoch: int
    layers: tuple[LayerParameters, ...]
    tensors: Mapping[str, FloatArray]
    normed: tuple[str, ...] = ()

    @property
    def is_float(self) -> bool:
        """Whether some weight is no integer, so that the file is still to be quantized."""
        return any(not np.array_equal(item.weights, np.rint(item.weights)) for item in self.layers)


def load_checkpoint(path: Path) -> Checkpoint:
    """Load a checkpoint with tensors only; nothing in the file is executed.

    Raises:
        InputError: The file is missing, damaged, holds objects other than tensors, lacks keys, or
            still has batch norm in it.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint.normed:
        key = checkpoint.normed[0]
        raise InputError(
            f"{path.name}: '{key}' has {checkpoint.tensors[key].ndim} dimension; batch norm is not "
            "folded",
            hint="use the checkpoint written by quantization-aware training, after folding",
        )
    return checkpoint


def read_checkpoint(path: Path) -> Checkpoint:
    """Load a checkpoint like `load_checkpoint`, with unfolded batch norms left to the caller.

    Raises:
        InputError: The file is missing, damaged, holds objects other than tensors, or lacks keys.
    """
    content = checkpoint_content(path)
    if "epoch" not in content:
        raise _missing(path, "epoch")
    state = state_of(content, path)
    tensors = {str(key): _array(path, str(key), value) for key, value in state.items()}
    weights = [key for key in tensors if key.endswith(".weight")]
    if not weights:
        raise InputError(
            f"{path.name}: 'state_dict' has no key that ends in '.weight'",
            hint="expected keys such as conv1.op.weight, as the vendor's training writes them",
        )
    return Checkpoint(
        path.name,
        str(content.get("arch") or ""),
        _epoch(path, content["epoch"]),
        tuple(_layer(key, tensors) for key in weights if tensors[key].ndim > 1),
        tensors,
        tuple(key for key in weights if tensors[key].ndim < 2),
    )


def _epoch(path: Path, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{path.name}: 'epoch' is {value!r}, expected an integer", hint=_LAYOUT)
    return value


def state_of(content: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """Return the state dictionary of a loaded checkpoint.

    Raises:
        InputError: It has none.
    """
    if "state_dict" not in content:
        raise _missing(path, "state_dict")
    state = content["state_dict"]
    if not isinstance(state, Mapping):
        raise InputError(
            f"{path.name}: 'state_dict' is not a mapping of names to tensors", hint=_LAYOUT
        )
    return state


def _missing(path: Path, key: str) -> InputError:
    return InputError(f"{path.name}: key '{key}' is missing from the checkpoint", hint=_LAYOUT)


def checkpoint_content(path: Path) -> Mapping[str, Any]:
    """Load the dictionary of a checkpoint; nothing in the file is executed.

    Raises:
        InputError: The file is missing, damaged, or holds objects other than tensors.
    """
    import torch

    if not path.is_file():
        raise InputError(f"checkpoint {path} does not exist", hint="give the path of a .pth.tar")
    try:
        with warnings.catch_warnings():
            # What torch says about old files is no news to somebody who only reads numbers.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError,
            AttributeError, TypeError, IndexError, AssertionError) as error:  # fmt: skip
        # Damaged and hostile files fail in many ways inside the loader; none of them is ours.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{path.name}: not a checkpoint of tensors: {reason}",
            hint="keep only epoch, state_dict and arch in it, and save it with torch.save",
        ) from error
    if not isinstance(content, Mapping):
        raise InputError(
            f"{path.name}: expected a dictionary, found {type(content).__name__}", hint=_LAYOUT
        )
    return content


def _array(path: Path, key: str, value: Any) -> FloatArray:
    import torch

    if not isinstance(value, torch.Tensor) or value.is_sparse or value.is_quantized:
        raise InputError(f"{path.name}: '{key}' is not a plain tensor", hint=_LAYOUT)
    return value.detach().to(torch.float64).numpy()


def _layer(key: str, tensors: Mapping[str, FloatArray]) -> LayerParameters:
    weights = tensors[key]
    operator = key.removesuffix(".weight")
    module = operator.rpartition(".")[0] or operator

    def number(name: str) -> int | None:
        values = tensors.get(f"{module}.{name}")
        if values is None or values.size != 1 or not np.isfinite(values).all():
            return None
        return round(float(values.reshape(-1)[0]))

    return LayerParameters(
        module,
        weights,
        tensors.get(f"{operator}.bias"),
        number("weight_bits") or 0,
        number("output_shift"),
        number("activation_threshold") or 0,
    )
