"""One forward pass of the working copy: its inputs, its width, and errors in the user's words."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from nibblefit.errors import InputError, NibblefitError
from nibblefit.ir.graph import Shape
from nibblefit.nn.problems import Problem, unsupported


@contextmanager
def in_float64() -> Iterator[None]:
    """Let new tensors be float64, and leave out gradients."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_default_dtype(before)


def random_inputs(shapes: Sequence[Shape], batch: int, seed: int) -> list[Tensor]:
    """Return normal random float64 inputs from a generator of their own."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn((batch, *shape), generator=generator, dtype=torch.float64) for shape in shapes
    ]


def shapeless(shapes: Sequence[Shape], batch: int) -> list[Tensor]:
    """Return inputs that have a shape and no values."""
    return [torch.empty((batch, *shape), dtype=torch.float64, device="meta") for shape in shapes]


def input_names(model: nn.Module, count: int) -> list[str]:
    """Return the names of the first arguments of `forward`."""
    names = [
        p.name for p in inspect.signature(model.forward).parameters.values()
        if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}
    ]  # fmt: skip
    return [names[i] if i < len(names) else "input" for i in range(count)]


def run(model: nn.Module, inputs: list[Tensor], name: str, problems: list[Problem]) -> Any:
    """Return what the module gives for inputs.

    Raises:
        InputError: The forward pass fails.
        UnsupportedError: It fails after something was refused.
    """
    try:
        return model(*inputs)
    except NibblefitError:
        raise
    except Exception as problem:
        if problems:
            raise unsupported(name, problems) from problem
        shapes = ", ".join(str(tuple(x.shape[1:])) for x in inputs)
        raise InputError(
            f"the forward pass of network '{name}' fails on an input of shape {shapes}: "
            f"{type(problem).__name__}: {problem}",
            hint="check model.input_shape (without batch axis), or correct the network",
        ) from problem
