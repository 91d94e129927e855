"""How tensors come in, lie in memory, and go out.

Inside, a tensor has the smallest integer type that holds its proven range, and images lie
channels-last, as oneDNN's int8 kernels want them, so nothing is reordered between layers. Outside,
tensors are int64 arrays, channels first, like the judge's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nibblefit.errors import InputError
from nibblefit.fixed.formats import IntArray
from nibblefit.ir.quantized import QuantizedGraph

#: With fewer channels than this, stacking channel planes beats torch's general reordering.
_FEW_CHANNELS = 4


def checked_inputs(graph: QuantizedGraph, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the inputs as tensors after checking names, types, shapes and codes.

    Raises:
        InputError: As the judge would.
    """
    found: dict[str, Tensor] = {}
    for name in graph.inputs:
        if name not in inputs:
            raise InputError(f"input '{name}' is missing; expected {', '.join(graph.inputs)}")
        raw, expected = _as_tensor(name, inputs[name]), graph.tensors[name].shape
        if tuple(raw.shape[1:]) != tuple(expected) or raw.ndim == 0:
            raise InputError(f"input '{name}' has shape {tuple(raw.shape)}; expected (batch, "
                             f"{', '.join(map(str, expected))})")  # fmt: skip
        _check_codes(graph, name, raw)
        found[name] = raw
    if len({len(raw) for raw in found.values()}) > 1:
        raise InputError("the inputs have different batch sizes")
    return found


def _as_tensor(name: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        array = np.asarray(value)
        if array.dtype.kind not in "iu":
            raise InputError(f"input '{name}' is {array.dtype}; expected integer codes")
        if array.dtype in (np.uint16, np.uint32, np.uint64):
            array = array.astype(np.int64)
        # A copy where torch could not share the memory (read-only, negative strides).
        value = torch.from_numpy(array if _is_shareable(array) else array.copy())
    if value.is_floating_point() or value.is_complex() or value.dtype is torch.bool:
        raise InputError(f"input '{name}' is {value.dtype}; expected integer codes")
    tensor: Tensor = value
    return tensor


def _is_shareable(array: np.ndarray[Any, Any]) -> bool:
    return array.flags.writeable and array.dtype.isnative and min(array.strides, default=0) >= 0


def _check_codes(graph: QuantizedGraph, name: str, raw: Tensor) -> None:
    number, limits = graph.tensors[name].format, torch.iinfo(raw.dtype)
    if raw.numel() == 0 or (number.lo <= limits.min and limits.max <= number.hi):
        return
    low, high = (int(v.item()) for v in torch.aminmax(raw))
    if low < number.lo or high > number.hi:
        raise InputError(f"input '{name}' holds codes {low} to {high}; {number.name} "
                         f"holds {number.lo} to {number.hi}")  # fmt: skip


def to_inside(raw: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return codes in their storage type, images channels-last."""
    codes = raw.to(device=device, dtype=dtype)
    if codes.ndim != 4 or codes.is_contiguous(memory_format=torch.channels_last):
        return codes
    if codes.shape[1] <= _FEW_CHANNELS:
        return torch.stack(codes.unbind(1), dim=-1).permute(0, 3, 1, 2)
    return codes.contiguous(memory_format=torch.channels_last)


def to_outside(codes: Tensor) -> IntArray:
    """Return codes as an int64 array, channels first."""
    return np.ascontiguousarray(codes.cpu().numpy().astype(np.int64))
