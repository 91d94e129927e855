"""The float reference: executes the canonical float graph in numpy, to check captures against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from nibblefit.errors import GraphError, InputError
from nibblefit.fixed.operators import activation, elementwise, pooling
from nibblefit.fixed.operators.product import Array
from nibblefit.ir.attributes import window_of
from nibblefit.ir.execute import SHARED_FORMULAS, Formula, parameters_of
from nibblefit.ir.graph import Attributes, Graph
from nibblefit.ir.ops import Op


def run_float(
    graph: Graph, inputs: Mapping[str, npt.ArrayLike], dtype: npt.DTypeLike = np.float64
) -> dict[str, Array]:
    """Return every tensor of the graph by name, batch axis first.

    Args:
        graph: A legal float graph.
        inputs: By name, batch axis first.
        dtype: Floating-point type of all arithmetic.

    Raises:
        InputError: An input is missing or has another shape.
        GraphError: A node cannot be executed; names it.
    """
    tensors: dict[str, Array] = {}
    for name in graph.inputs:
        if name not in inputs:
            raise InputError(f"input '{name}' is missing; expected {', '.join(graph.inputs)}")
        tensors[name] = np.asarray(inputs[name], dtype=dtype)
        if tensors[name].shape[1:] != tuple(graph.shapes[name]):
            raise InputError(f"input '{name}' has shape {tensors[name].shape}; expected (batch, "
                             f"{', '.join(map(str, graph.shapes[name]))})")  # fmt: skip
    constants = {name: np.asarray(c, dtype=dtype) for name, c in graph.constants.items()}
    for node in graph.nodes:
        parameters = parameters_of(node.op)
        operands = [
            tensors[name] if name in tensors
            else constants[name] if index in parameters else constants[name][None]
            for index, name in enumerate(node.inputs)
        ]  # fmt: skip
        if node.op not in FORMULAS:
            raise GraphError(f"node '{node.name}': {node.op.value} does not exist in float graphs")
        try:
            results = FORMULAS[node.op](node.attributes, operands)
        except (ValueError, KeyError, IndexError) as error:
            raise GraphError(f"node '{node.name}' ({node.op.value}): {error}") from error
        tensors.update(zip(node.outputs, results, strict=True))
    return tensors


def _avg_pool(attributes: Attributes, inputs: Sequence[Array]) -> Sequence[Array]:
    (x,) = inputs
    window = window_of(attributes, tuple(attributes["kernel"]))
    counts = pooling.window_counts(x.shape[2:], window, attributes["count_include_pad"])
    return (pooling.sum_pool(x, window) / counts.astype(x.dtype),)


def _global_avg_pool(_: Attributes, inputs: Sequence[Array]) -> Sequence[Array]:
    (x,) = inputs
    return (x.mean(axis=tuple(range(2, x.ndim)), keepdims=True),)


def _leaky_relu(attributes: Attributes, inputs: Sequence[Array]) -> Sequence[Array]:
    (x,) = inputs
    return (np.where(x >= 0, x, x * x.dtype.type(attributes["slope"])),)


def _prelu(_: Attributes, inputs: Sequence[Array]) -> Sequence[Array]:
    x, slope = inputs
    return (np.where(x >= 0, x, x * slope.reshape(-1, *(1,) * (x.ndim - 2))),)


def _hard_sigmoid(attributes: Attributes, inputs: Sequence[Array]) -> Sequence[Array]:
    (x,) = inputs
    alpha, beta = attributes.get("alpha", 1 / 6), attributes.get("beta", 0.5)
    return (activation.clip(x * x.dtype.type(alpha) + x.dtype.type(beta), 0, 1),)


def _hard_swish(_: Attributes, inputs: Sequence[Array]) -> Sequence[Array]:
    (x,) = inputs
    return (x * activation.clip(x / 6 + x.dtype.type(0.5), 0, 1),)


def _sigmoid(_: Attributes, inputs: Sequence[Array]) -> Sequence[Array]:
    (x,) = inputs
    # exp of a positive number may overflow; of a negative one it never does.
    small = np.exp(-np.abs(x))
    return (np.where(x >= 0, 1 / (1 + small), small / (1 + small)),)


def _softmax(attributes: Attributes, inputs: Sequence[Array]) -> Sequence[Array]:
    (x,), axis = inputs, attributes["axis"]
    exponentials = np.exp(x - x.max(axis=axis, keepdims=True))
    return (exponentials / exponentials.sum(axis=axis, keepdims=True),)


def _words(op: Op) -> Formula:
    def combine(attributes: Attributes, inputs: Sequence[Array]) -> Sequence[Array]:
        unit, bound = 2.0 ** attributes.get("frac", 7), 2 ** (attributes.get("bits", 8) - 1)
        words = [
            np.clip(np.floor(x.astype(np.float64) * unit + 0.5), -bound, bound - 1).astype(np.int64)
            for x in inputs
        ]
        return ((elementwise.combine(op.value, words) / unit).astype(inputs[0].dtype),)

    return combine


def _batch_norm(attributes: Attributes, inputs: Sequence[Array]) -> Sequence[Array]:
    x, gamma, beta, mean, variance = inputs
    scale = gamma / np.sqrt(variance + x.dtype.type(attributes["epsilon"]))
    return (elementwise.scale_offset(x, scale, beta - mean * scale),)


#: Every operator of the float graph.
FORMULAS: Mapping[Op, Formula] = {
    **SHARED_FORMULAS,
    Op.OR: _words(Op.OR),
    Op.XOR: _words(Op.XOR),
    Op.AVG_POOL: _avg_pool,
    Op.GLOBAL_AVG_POOL: _global_avg_pool,
    Op.LEAKY_RELU: _leaky_relu,
    Op.PRELU: _prelu,
    Op.HARD_SIGMOID: _hard_sigmoid,
    Op.HARD_SWISH: _hard_swish,
    Op.SIGMOID: _sigmoid,
    Op.TANH: lambda _, i: (np.tanh(i[0]),),
    Op.SOFTMAX: _softmax,
    Op.BATCH_NORM: _batch_norm,
    Op.DROPOUT: lambda _, i: (i[0],),
}
