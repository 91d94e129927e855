"""`capture`: run the module once under the recorder, then prove the graph equal to it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from nibblefit.errors import InputError, NibblefitError, UnsupportedError
from nibblefit.ir.graph import Graph, Shape
from nibblefit.nn.builder import GraphBuilder
from nibblefit.nn.capture.handlers import HANDLERS
from nibblefit.nn.capture.outputs import flat_outputs, output_name
from nibblefit.nn.capture.paths import ModulePath
from nibblefit.nn.capture.proof import prove_equal
from nibblefit.nn.capture.recorder import Recorder
from nibblefit.nn.capture.stand_ins import StandIns
from nibblefit.nn.capture.weights import Weights
from nibblefit.nn.capture.widths import FullWidth
from nibblefit.nn.problems import Problem, unsupported

_BATCH = 2


def capture(
    module: nn.Module, input_shapes: Sequence[Shape] | Shape, *, name: str = "network"
) -> Graph:
    """Return the canonical graph of a plain torch module.

    The module is not changed: a float64 copy of it runs once in evaluation mode on random inputs
    while every torch function is recorded, and the graph is then compared with the copy on other
    inputs of another batch size.

    Args:
        module: Any module whose forward computes every sample on its own.
        input_shapes: Shape of each input without the batch axis, or of the only one.
        name: Name of the network, for messages and files.

    Raises:
        UnsupportedError: Something cannot be represented; lists everything found.
        InputError: The forward pass fails on inputs of these shapes.
    """
    shapes, plain = _listed(input_shapes), _unwrapped(module)
    with _float64():
        try:
            return _proved(plain, shapes, name, stand_ins=True)
        except UnsupportedError:
            # Only real convolutions can tell whether that is a difference.
            return _proved(plain, shapes, name, stand_ins=False)


def _proved(
    module: nn.Module, shapes: Sequence[Shape], name: str, *, stand_ins: bool
) -> Graph:  # fmt: skip
    """Record and prove a copy of its own: modules may keep what an earlier run computed."""
    model = _working_copy(module, name)
    graph = _recorded(model, shapes, name, stand_ins=stand_ins)
    inputs = random_inputs(shapes, _BATCH + 1, seed=2)
    with StandIns(lambda x: stand_ins and len(x) == _BATCH + 1):
        with FullWidth():
            expected = flat_outputs(_run(model, inputs, name, []), name)
        prove_equal(graph, inputs, expected)
    return graph


def _listed(shapes: Sequence[Shape] | Shape) -> tuple[Shape, ...]:
    if all(isinstance(entry, int) for entry in shapes):
        return (tuple(shapes),)  # type: ignore[arg-type]
    return tuple(tuple(shape) for shape in shapes)  # type: ignore[arg-type]


def _unwrapped(module: nn.Module) -> nn.Module:
    """Return the module inside torch.compile and data-parallel wrappers."""
    while True:
        inner = getattr(module, "_orig_mod", None)
        if inner is None and isinstance(
            module, nn.DataParallel | nn.parallel.DistributedDataParallel
        ):
            inner = module.module
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def _working_copy(module: nn.Module, name: str) -> nn.Module:
    _refuse_unreadable(module, name)
    memo: dict[int, Any] = {}
    for child in module.modules():
        for value in vars(child).values():
            if isinstance(value, Tensor) and value.grad_fn is not None:
                # Weights computed by hooks (weight_norm) do not deep-copy with their history.
                memo[id(value)] = value.detach().clone()
    try:
        model = copy.deepcopy(module, memo)
    except Exception as problem:
        raise InputError(
            f"network '{name}' cannot be copied: {type(problem).__name__}: {problem}",
            hint="keep open files, locks and generators out of the module's attributes",
        ) from problem
    for child in model.modules():
        for key, value in vars(child).items():
            if isinstance(value, Tensor) and value.is_floating_point():
                setattr(child, key, value.double().cpu())
    return model.cpu().double().eval()


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


@contextmanager
def _float64() -> Iterator[None]:
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


def _recorded(
    model: nn.Module, shapes: Sequence[Shape], name: str, *, stand_ins: bool
) -> Graph:  # fmt: skip
    builder = GraphBuilder(name)
    weights = Weights(model, builder)
    recorder = Recorder(builder, weights, ModulePath(model), HANDLERS, _BATCH)
    inputs = random_inputs(shapes, _BATCH, seed=1)
    for x, wanted, shape in zip(inputs, _input_names(model, len(shapes)), shapes):
        recorder.track(x, builder.add_input(wanted, shape))
    with StandIns(lambda x: stand_ins and recorder.name_of(x) is not None), recorder:
        result = _run(model, inputs, name, recorder.problems)
    if recorder.problems:
        raise unsupported(name, recorder.problems)
    return builder.finish(
        [output_name(recorder, tensor, name) for tensor in flat_outputs(result, name)]
    )


def _run(model: nn.Module, inputs: list[Tensor], name: str, problems: list[Problem]) -> Any:
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


def _input_names(model: nn.Module, count: int) -> list[str]:
    names = [
        p.name for p in inspect.signature(model.forward).parameters.values()
        if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}
    ]  # fmt: skip
    return [names[i] if i < len(names) else "input" for i in range(count)]
