"""The copy of a module that a capture runs: in float64, in evaluation mode, its own to change."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from nibblefit.errors import InputError
from nibblefit.nn.capture.kept import Kept
from nibblefit.nn.problems import Problem, unsupported

#: Layers whose weights one function reads; subclasses may do as they like.
_CONVOLUTIONS = frozenset({nn.Conv1d, nn.Conv2d, nn.Conv3d})
_LAYERS = _CONVOLUTIONS | {
    nn.Linear, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
}  # fmt: skip
_NARROW = frozenset({torch.float32, torch.float16, torch.bfloat16})


def working_copy(module: nn.Module, name: str, *, keep: bool) -> tuple[nn.Module, Kept]:
    """Return a float64 copy and the weights in it that stay in float32.

    Args:
        module: The module.
        name: The network's name, for messages.
        keep: Whether weights of layers stay in float32.

    Raises:
        InputError: The module cannot be copied, or holds parameters without values.
        UnsupportedError: Part of it is compiled.
    """
    _refuse_unreadable(module, name)
    memo: dict[int, Any] = {}
    for child in module.modules():
        for value in vars(child).values():
            if isinstance(value, Tensor) and value.grad_fn is not None:
                # Weights computed by hooks (weight_norm) do not deep-copy with their history.
                memo[id(value)] = value.detach().clone()
            elif type(value) is OrderedDict and not value:
                memo[id(value)] = OrderedDict()  # hooks that nobody registered, many of them
    kept = {id(weight): _narrow_copy(weight) for weight in _weights(module)} if keep else {}
    try:
        model = copy.deepcopy(module, memo | kept)
    except Exception as problem:
        raise InputError(
            f"network '{name}' cannot be copied: {type(problem).__name__}: {problem}",
            hint="keep open files, locks and generators out of the module's attributes",
        ) from problem
    own = {id(weight) for weight in kept.values()}
    for child in model.modules():
        for key, value in vars(child).items():
            if isinstance(value, Tensor) and value.is_floating_point() and id(value) not in own:
                setattr(child, key, value.double().cpu())

    def widened(tensor: Tensor) -> Tensor:
        if id(tensor) in own:
            return tensor
        return tensor.cpu().double() if tensor.is_floating_point() else tensor.cpu()

    model._apply(widened)  # type: ignore[no-untyped-call]  # noqa: SLF001 - behind .double()
    convolutions = (kept[id(weight)] for weight in _weights(module, _CONVOLUTIONS) if keep)
    return model.eval(), Kept(kept.values(), convolutions)


def _weights(module: nn.Module, layers: frozenset[type] = _LAYERS) -> Iterator[nn.Parameter]:
    """Yield the weights of plain layers."""
    for child in module.modules():
        weight = vars(child)["_parameters"].get("weight") if type(child) in layers else None
        if type(weight) is nn.Parameter and weight.dtype in _NARROW and weight.is_contiguous():
            yield weight


def _narrow_copy(weight: nn.Parameter) -> nn.Parameter:
    values = weight.detach().to(device="cpu", dtype=torch.float32, copy=True)
    return nn.Parameter(values, requires_grad=weight.requires_grad)


def _refuse_unreadable(module: nn.Module, name: str) -> None:
    for path, child in module.named_modules():
        if isinstance(child, torch.jit.ScriptModule):
            problem = Problem(path, type(child).__name__,
                              "compiled TorchScript cannot be looked into",
                              "build the network from its Python classes")  # fmt: skip
            raise unsupported(name, [problem])
    for path, parameter in module.named_parameters():
        if is_lazy(parameter):
            raise InputError(
                f"network '{name}': parameter '{path}' has no values yet (lazy layer)",
                hint="call the network once on a sample inside the factory",
            )
