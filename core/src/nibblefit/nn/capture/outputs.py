"""The tensors a forward pass returns, flattened, and their names in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor

from nibblefit.errors import UnsupportedError
from nibblefit.nn.capture.recorder import STALE, UNKNOWN, WORD, Recorder


def flat_outputs(result: Any, network: str) -> list[Tensor]:
    """Return the tensors of nested tuples, lists, mappings and dataclasses, in order."""
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, Mapping):
        return [t for item in result.values() for t in flat_outputs(item, network)]
    if isinstance(result, list | tuple):
        return [t for item in result for t in flat_outputs(item, network)]
    if is_dataclass(result):
        return [t for f in fields(result) for t in flat_outputs(getattr(result, f.name), network)]
    if result is None:
        return []
    raise UnsupportedError(
        f"network '{network}' returns a {type(result).__name__}",
        hint="return tensors, or tuples, lists and dicts of tensors",
    )


def output_name(recorder: Recorder, tensor: Tensor, network: str) -> str:
    """Return the activation behind an output.

    Raises:
        UnsupportedError: The output is a constant, or was changed behind the recorder's back.
    """
    name = recorder.name_of(tensor)
    if name is None:
        raise UnsupportedError(
            f"network '{network}' returns a tensor of shape {tuple(tensor.shape)} that was not "
            f"computed from its input by functions that can be recorded",
            hint="compute outputs from the input with torch functions; leave constants out",
        )
    if name == WORD:
        raise UnsupportedError(
            f"network '{network}' returns whole numbers of shape {tuple(tensor.shape)}",
            hint="divide a word by 2^(fractional bits), so that the output is a real value",
        )
    if name in {STALE, UNKNOWN}:
        raise UnsupportedError(
            f"network '{network}' returns a tensor that was changed in place through a view",
            hint="use the function without the trailing underscore or inplace=True",
        )
    if recorder.builder.shape_of(name) != tuple(tensor.shape[1:]):
        raise UnsupportedError(
            f"network '{network}' returns an expanded tensor of shape {tuple(tensor.shape)}",
            hint="return the tensor before expand()",
        )
    return name
