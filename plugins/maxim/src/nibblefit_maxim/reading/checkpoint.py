"""Vendor checkpoints into parameters per layer, in the order in which the compiler takes them.

A checkpoint is a dictionary with `epoch`, `state_dict` and usually `arch`. Every key that ends in
``.weight`` belongs to the next layer that multiplies, in insertion order: module registration
order, not call order.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nibblefit.errors import InputError
from nibblefit.fixed.formats import FloatArray


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
    """A loaded checkpoint; `arch` is empty if the file does not name one."""

    file: str
    arch: str
    epoch: int
    layers: tuple[LayerParameters, ...]
    tensors: Mapping[str, FloatArray]


def load_checkpoint(path: Path) -> Checkpoint:
    """Load a checkpoint with tensors only; nothing in the file is executed.

    Raises:
        InputError: The file is missing, damaged, holds objects other than tensors, lacks keys, or
            still has batch norm in it.
    """
    content = _load(path)
    for key in ("epoch", "state_dict"):
        if key not in content:
            raise InputError(
                f"{path.name}: key '{key}' is missing from the checkpoint",
                hint="expected epoch, state_dict and arch, as the vendor's training writes them",
            )
    state = content["state_dict"]
    if not isinstance(state, Mapping):
        raise InputError(f"{path.name}: 'state_dict' is not a mapping of names to tensors")
    tensors = {str(key): _array(path, str(key), value) for key, value in state.items()}
    return Checkpoint(
        path.name,
        str(content.get("arch", "")),
        int(content["epoch"]),
        tuple(_layer(path, key, tensors) for key in tensors if key.endswith(".weight")),
        tensors,
    )


def _load(path: Path) -> Mapping[str, Any]:
    import torch

    if not path.is_file():
        raise InputError(f"checkpoint {path} does not exist", hint="give the path of a .pth.tar")
    try:
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
        raise InputError(f"{path.name}: expected a dictionary, found {type(content).__name__}")
    return content


def _array(path: Path, key: str, value: Any) -> FloatArray:
    import torch

    if not isinstance(value, torch.Tensor) or value.is_sparse or value.is_quantized:
        raise InputError(f"{path.name}: '{key}' is not a plain tensor")
    return value.detach().to(torch.float64).numpy()


def _layer(path: Path, key: str, tensors: Mapping[str, FloatArray]) -> LayerParameters:
    weights = tensors[key]
    operator = key.removesuffix(".weight")
    module = operator.rpartition(".")[0] or operator
    if weights.ndim < 2:
        raise InputError(
            f"{path.name}: '{key}' has {weights.ndim} dimension; batch norm is not folded",
            hint="use the checkpoint written by quantization-aware training, after folding",
        )

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
