"""The trainable network: a torch module that executes a canonical graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from nibblefit.errors import InputError
from nibblefit.ir.graph import FloatConstant, Graph, Node
from nibblefit.nn.execute import outputs_of
from nibblefit.nn.names import trainable

#: torch forbids dots in parameter names, so ``stem.conv.weight`` becomes ``stem/conv/weight``;
#: the two characters that the escape uses are escaped first.
_ESCAPES = (("~", "~0"), ("/", "~1"), (".", "/"))
#: Put before a name that the module already uses for something else.
_CLASH = "~2"


class Network(nn.Module):
    """Executes a graph; its weights are the parameters.

    A constant is a parameter if it is trained and a buffer otherwise (see `nibblefit.nn.names`);
    constants shared by several nodes exist once. In training mode batch norm uses and updates
    statistics and dropout is active.

    Args:
        graph: The float graph; its constants are copied.
        dtype: Floating type of parameters and buffers.
    """

    def __init__(self, graph: Graph, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self._graph = graph
        self._keys: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._last_use = graph.last_uses()
        trained = trainable(graph)
        for name, value in graph.constants.items():
            key = self._register_key(name)
            tensor = torch.tensor(np.asarray(value)).to(dtype)
            if name in trained:
                self.register_parameter(key, nn.Parameter(tensor))
            else:
                self.register_buffer(key, tensor)

    def _register_key(self, name: str) -> str:
        key = name
        for plain, escaped in _ESCAPES:
            key = key.replace(plain, escaped)
        if not key or hasattr(self, key):
            key = _CLASH + key
        self._keys[name], self._names[key] = key, name
        return key

    @property
    def graph(self) -> Graph:
        """The graph with the weights it was built from; `to_graph` has the current ones."""
        return self._graph

    def constant_name(self, parameter_name: str) -> str:
        """Return the constant behind a name from `named_parameters` or `named_buffers`."""
        return self._names[parameter_name]

    def constant(self, name: str) -> Tensor:
        """Return the parameter or buffer of a constant."""
        found: Tensor = getattr(self, self._keys[name])
        return found

    def named_constants(self) -> Iterator[tuple[str, Tensor]]:
        """Yield constant name and parameter or buffer, in the graph's order."""
        for name in self._keys:
            yield name, self.constant(name)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of a batch, in the graph's order."""
        tensors = self._run(inputs, keep_all=False)
        return tuple(tensors[name] for name in self._graph.outputs)

    def forward_all(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Return every tensor by name, inputs included."""
        return self._run(inputs, keep_all=True)

    def _run(self, inputs: Sequence[Tensor], *, keep_all: bool) -> dict[str, Tensor]:
        tensors = dict(zip(self._graph.inputs, self._checked(inputs)))
        for position, node in enumerate(self._graph.nodes):
            values = [
                self.constant(name) if name in self._keys else tensors[name] for name in node.inputs
            ]
            tensors.update(_computed(node, values, self.training))
            if not keep_all:
                for name in self._last_use[position]:
                    del tensors[name]
        return tensors

    def _checked(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        names = self._graph.inputs
        if len(inputs) != len(names):
            raise InputError(
                f"network '{self._graph.name}' got {len(inputs)} inputs; expected {len(names)}: "
                f"{', '.join(names)}"
            )
        for name, x in zip(names, inputs):
            expected = self._graph.shapes[name]
            if tuple(x.shape[1:]) != expected or x.dim() != len(expected) + 1:
                raise InputError(
                    f"input '{name}' of network '{self._graph.name}' has shape "
                    f"{tuple(x.shape)}; expected (batch, {', '.join(map(str, expected))})",
                    hint="network and data have to agree: change one of them",
                )
        return inputs

    def to_graph(self) -> Graph:
        """Return the graph with the current weights, float32 unless the network is float64."""
        return self._graph.with_constants(
            {name: _array(tensor) for name, tensor in self.named_constants()}
        )


def evaluate(
    graph: Graph, constants: Mapping[str, Tensor], inputs: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """Return the outputs of a graph with given constants, in evaluation mode.

    Args:
        graph: The graph.
        constants: All its constants, in the width of the inputs.
        inputs: In any size that the operators take.
    """
    tensors = {**constants, **dict(zip(graph.inputs, inputs, strict=True))}
    for node, over in zip(graph.nodes, graph.last_uses()):
        values = [tensors[name] for name in node.inputs]
        tensors.update(_computed(node, values, training=False))
        for name in over:
            del tensors[name]
    return tuple(tensors[name] for name in graph.outputs)


def _computed(
    node: Node, values: Sequence[Tensor], training: bool
) -> Iterator[tuple[str, Tensor]]:  # fmt: skip
    return zip(node.outputs, outputs_of(node, values, training=training))


def _array(tensor: Tensor) -> FloatConstant:
    values = tensor.detach().cpu()
    array: FloatConstant = (
        values.numpy().copy() if values.dtype is torch.float64 else values.float().numpy().copy()
    )
    array.flags.writeable = False
    return array
