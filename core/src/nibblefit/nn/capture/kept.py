"""Weights of layers that a quick capture keeps as they are, instead of copying them again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor

from nibblefit.errors import NibblefitError
from nibblefit.nn.capture.functions import function_name
from nibblefit.nn.capture.tensors import tensors_in

#: Functions that may read kept weights, as their second argument.
_READERS = frozenset({
    torch.conv1d, torch.conv2d, torch.conv3d, F.linear,
    torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d,
})  # fmt: skip
#: Questions that kept weights answer like any others; their width is not among them.
_QUESTIONS = frozenset({
    "size", "dim", "numel", "nelement", "ndimension", "len", "hash", ".shape", ".ndim", ".device",
    ".requires_grad", ".is_cuda",
})  # fmt: skip


class LongWayError(NibblefitError):
    """A quick capture cannot tell; a complete one decides. Users never see this."""


class Kept:
    """Float32 weights of a working copy that only the functions of their layers read.

    They hold nearly all values of a network. Convolutions' weights become the graph's constants
    as they are, since nothing else can change them: every other function that gets hold of one
    ends the quick capture before it runs.

    Args:
        weights: Contiguous float32 tensors on the CPU that belong to the working copy alone.
        convolutions: Those of them that convolutions read.
    """

    def __init__(self, weights: Iterable[Tensor] = (), convolutions: Iterable[Tensor] = ()) -> None:
        self._weights = {id(weight): weight for weight in weights}
        self._convolutions = {id(weight) for weight in convolutions}
        self._versions = {key: _version(weight) for key, weight in self._weights.items()}
        self._lost = ""

    def __contains__(self, tensor: Tensor) -> bool:
        return id(tensor) in self._weights

    def is_taken_over(self, tensor: Tensor) -> bool:
        """Return whether the weight itself becomes a constant of the graph.

        A proof computes both sides from the same memory then; that nothing changed there is known
        from what stands in for the convolution: see `stand_ins.taps_of`.
        """
        return id(tensor) in self._convolutions

    def values(self, tensor: Tensor) -> npt.NDArray[np.float32]:
        """Return the memory of a kept weight, read-only."""
        array: npt.NDArray[np.float32] = tensor.detach().numpy()
        array.flags.writeable = False
        return array

    def widened(self, func: Callable[..., Any], args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Return the arguments of a call with kept weights in float64.

        Raises:
            LongWayError: The function is none of a layer's.
        """
        found = [t for t in tensors_in((args, kwargs)) if id(t) in self._weights]
        if not found or function_name(func) in _QUESTIONS:
            return args, kwargs
        if func in _READERS and len(found) == 1:
            wide = found[0].detach().double()
            if len(args) > 1 and args[1] is found[0]:
                return (args[0], wide, *args[2:]), kwargs
            if kwargs.get("weight") is found[0]:
                return args, {**kwargs, "weight": wide}
        raise self.lost(f"{function_name(func)} takes the weights of a layer")

    def lost(self, why: str) -> LongWayError:
        """Return the end of the quick capture, which lasts if the network catches it."""
        self._lost = why
        return LongWayError(why)

    def check(self) -> None:
        """Raise if the quick capture has ended, or if a weight was changed in place."""
        if self._lost:
            raise LongWayError(self._lost)
        if any(_version(w) != self._versions[key] for key, w in self._weights.items()):
            raise LongWayError("the forward pass changes weights")


def _version(tensor: Tensor) -> int:
    return tensor._version  # noqa: SLF001 - the only way to see changes in place
