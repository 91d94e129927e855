"""Which constant a tensor of the module is: its name in the state dict, or one made up."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from nibblefit.nn.builder import GraphBuilder
from nibblefit.nn.capture.kept import Kept
from nibblefit.nn.capture.stand_ins import taps_of
from nibblefit.nn.names import FIXED

Values = npt.NDArray[np.float32] | npt.NDArray[np.float64]


class Weights:
    """Parameters and buffers of a module, entered into the graph when first used.

    Attributes:
        kept: Weights that stay in float32.
        taken_over: Weights that are constants of the graph themselves, by name.
        taps: What they held when they were entered; see `stand_ins.taps_of`.
    """

    def __init__(self, module: nn.Module, builder: GraphBuilder, kept: Kept) -> None:
        self.taken_over: dict[str, Tensor] = {}
        self.taps: dict[int, Tensor] = {}
        self._builder = builder
        self.kept = kept
        self._paths: dict[int, str] = {}
        self._fixed: set[int] = set()
        self._keep_alive: list[Tensor] = []
        self._entered: dict[tuple[int, str, tuple[int, ...]], str] = {}
        for path, parameter in module.named_parameters():
            self._paths[id(parameter)] = path
            if not parameter.requires_grad:
                self._fixed.add(id(parameter))
        for path, buffer in module.named_buffers():
            self._paths[id(buffer)] = path
            self._fixed.add(id(buffer))
        self._unused = set(self._paths.values())
        builder.reserve(self._unused | {path + FIXED for path in self._unused})

    def is_registered(self, tensor: Tensor) -> bool:
        """Return whether the tensor is a parameter or buffer itself, not computed from one."""
        return id(tensor) in self._paths

    def values(self, tensor: Tensor) -> Values:
        """Return a tensor's values; the graph copies what it keeps."""
        if tensor in self.kept:
            return self.kept.values(tensor)
        values: Values = tensor.detach().cpu().double().numpy()
        return values

    def enter(
        self, tensor: Tensor, value: Values, otherwise: str, *,
        form: str = "", fixed: bool | None = None,
    ) -> str:  # fmt: skip
        """Return the constant for `tensor`, whose values in the graph's layout are `value`.

        Args:
            tensor: The tensor the module used; decides name, sharing and trainability.
            value: Its values as the graph stores them.
            otherwise: Name if the tensor is not in the state dict.
            form: Which layout `value` is in, so that two layouts of one tensor stay apart.
            fixed: Not trained; None: as the module has it (computed tensors: trained).
        """
        key = (id(tensor), form, value.shape)
        if key not in self._entered:
            self._keep_alive.append(tensor)
            wanted = self._paths.get(id(tensor), otherwise)
            is_fixed = id(tensor) in self._fixed if fixed is None else fixed
            reserved = wanted in self._unused
            self._unused.discard(wanted)
            owned = not form and self.kept.is_taken_over(tensor)
            name = self._entered[key] = self._builder.add_constant(
                wanted, value, fixed=is_fixed, reserved=reserved, owned=owned
            )
            if owned:
                self.taken_over[name] = tensor
                self.taps[id(tensor)] = taps_of(tensor)
        return self._entered[key]
