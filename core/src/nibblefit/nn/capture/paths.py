"""Where in the module tree the forward pass is right now."""

from __future__ import annotations

from typing import Any

from torch import nn

_LAYERS = "torch.nn.modules."
_CONTAINERS = "torch.nn.modules.container"


class ModulePath:
    """Follows a forward pass by hooks; gives the path of the innermost running module."""

    def __init__(self, module: nn.Module) -> None:
        self._stack: list[tuple[str, bool]] = []
        for path, child in module.named_modules():
            entry = (path, _is_layer(child))
            child.register_forward_pre_hook(self._entering(entry), prepend=True)
            child.register_forward_hook(self._leaving, always_call=True)

    def _entering(self, entry: tuple[str, bool]) -> Any:
        def enter(module: nn.Module, inputs: object) -> None:  # noqa: ARG001
            self._stack.append(entry)

        return enter

    def _leaving(self, module: nn.Module, inputs: object, output: object) -> None:  # noqa: ARG002
        self._stack.pop()

    @property
    def current(self) -> str:
        """Path of the running module; empty for the outermost."""
        return self._stack[-1][0] if self._stack else ""

    @property
    def is_layer(self) -> bool:
        """Whether the running module is a single layer whose path names its node."""
        return bool(self._stack) and self._stack[-1][1]


def _is_layer(module: nn.Module) -> bool:
    """Return whether `module` is one of torch's layers (or a subclass) without children."""
    if any(True for _ in module.children()):
        return False
    return any(
        base.__module__.startswith(_LAYERS) and base is not nn.Module
        and base.__module__ != _CONTAINERS
        for base in type(module).__mro__
    )  # fmt: skip
