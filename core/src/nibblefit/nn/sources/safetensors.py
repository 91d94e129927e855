"""Read .safetensors files: a length, a JSON table of contents, and plain numbers behind it.

Source: format description of the safetensors project: eight bytes little-endian header length,
header ``{name: {dtype, shape, data_offsets}}``, offsets counted from the end of the header.
"""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nibblefit.errors import InputError

_TYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name.

    Raises:
        InputError: The file is damaged or uses an unknown number type.
    """
    data = bytearray(path.read_bytes())
    try:
        start = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:start].decode("utf-8"))
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        return {name: _tensor(entry, memoryview(data)[start:]) for name, entry in entries.items()}
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as problem:
        raise InputError(
            f"weights file {path} is damaged or not in safetensors format: {problem}",
            hint="copy it again, or save it as .npz",
        ) from problem


def _tensor(entry: dict[str, Any], numbers: memoryview) -> Tensor:
    kind, shape = _TYPES[entry["dtype"]], [int(size) for size in entry["shape"]]
    begin, end = (int(offset) for offset in entry["data_offsets"])
    expected = prod(shape) * kind.itemsize
    if min(shape, default=0) < 0 or not 0 <= begin <= end <= len(numbers):
        raise ValueError(f"shape {shape} at bytes {begin} to {end} of {len(numbers)}")
    if end - begin != expected:
        raise ValueError(f"{end - begin} bytes for shape {shape}; expected {expected}")
    if not expected:
        return torch.zeros(shape, dtype=kind)
    return torch.frombuffer(bytearray(numbers[begin:end]), dtype=kind).reshape(shape)
