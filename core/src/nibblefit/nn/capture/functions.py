"""One name for the many spellings of a torch function: ``torch.add``, ``x + y``, ``x.add_``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_SAME = {
    "iadd": "add", "radd": "add", "isub": "sub", "subtract": "sub", "imul": "mul", "rmul": "mul",
    "multiply": "mul", "truediv": "div", "itruediv": "div", "divide": "div", "true_divide": "div",
    "concat": "cat", "concatenate": "cat", "absolute": "abs", "swapaxes": "transpose",
    "swapdims": "transpose", "moveaxis": "movedim", "negative": "neg", "clip": "clamp",
    "ipow": "pow", "mm": "matmul", "bmm": "matmul", "imatmul": "matmul", "rdiv": "rtruediv",
    "view": "reshape", "view_as": "reshape", "reshape_as": "reshape", "squeeze": "reshape",
    "unsqueeze": "reshape", "unflatten": "reshape", "flatten": "reshape", "ravel": "reshape",
    "chunk": "split", "tensor_split": "split", "split_with_sizes": "split",
    "unsafe_split": "split", "unsafe_chunk": "split", "expand_as": "expand",
    "native_channel_shuffle": "channel_shuffle", "constant_pad_nd": "pad",
    "upsample": "interpolate", "dropout1d": "feature_dropout", "dropout2d": "feature_dropout",
    "dropout3d": "feature_dropout",
}  # fmt: skip


def function_name(function: Callable[..., Any]) -> str:
    """Return the canonical name of a torch function; attributes of tensors start with a dot."""
    if function is torch.batch_norm:
        return "raw_batch_norm"  # other argument order than torch.nn.functional.batch_norm
    name = getattr(function, "__name__", type(function).__name__)
    if name == "__get__":
        return f".{getattr(getattr(function, '__self__', None), '__name__', '?')}"
    if name.startswith("__") and name.endswith("__"):
        name = name[2:-2]
    elif name.endswith("_"):
        name = name[:-1]
    if name in {"_threshold", "_log_softmax"}:
        name = name[1:]
    return _SAME.get(name, name)
