"""The host's part of a network as integer nodes: crop, reshape, softmax, argmax, sigmoid, tanh.

The vendor's files hold nothing of it; their README says what is left to the host. Judge and engine
execute it, so that an accuracy includes it. It is our own arithmetic, in 16-bit fixed point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nibblefit.fixed.formats import Format, IntArray, Rounding, Scale
from nibblefit.fixed.steps import Clamp, ShiftRight, Steps
from nibblefit.ir.graph import Shape, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import Placement, QuantizedGraph, QuantizedNode, QuantizedTensor
from nibblefit.ir.reference import run_node
from nibblefit.ir.shapes import infer_shapes
from nibblefit_maxim.fusing.network import FusedNetwork, HostNode, NetworkOutput
from nibblefit_maxim.lower import GraphBuilder

#: Tables are indexed by codes of at most this width and this many fractional bits.
_TABLE_BITS = 16
_TABLE_FRAC = 8
#: Results lie within −1 … 1 and have this many fractional bits.
_RESULT_FRAC = 15
#: Fractional bits of the exponentials of a softmax.
_EXP_BITS = 20


def add_host(
    builder: GraphBuilder,
    outputs: Sequence[NetworkOutput],
    host: Sequence[HostNode],
    results: Sequence[str],
) -> list[str]:
    """Append the host's nodes to a graph and return the names of the network's outputs.

    Args:
        builder: Holds the accelerator's layers.
        outputs: What the accelerator hands over.
        host: What the host computes of it, in order.
        results: The network's outputs; empty: `outputs`.
    """
    names = {out.name: _handed_over(builder, out) for out in outputs}
    for node in host:
        names[node.name] = _computed(builder, node, names[node.input])
    return [names[name] for name in results or [out.name for out in outputs]]


def described_host(fused: FusedNetwork) -> Mapping[str, Any]:
    """Return the host's part as JSON-like facts, for files; see `host_from`."""
    return frozen_mapping(
        {
            "outputs": tuple(
                (out.name, out.tensor, out.shape, out.held_shape, out.cropped_shape)
                for out in fused.outputs
            ),
            "nodes": tuple(
                (node.name, node.op.value, node.input, dict(node.attributes), node.shape)
                for node in fused.host
            ),
            "results": fused.results,
        }
    )


def host_from(
    facts: Mapping[str, Any],
) -> tuple[tuple[NetworkOutput, ...], tuple[HostNode, ...], tuple[str, ...]]:
    """Return outputs, host nodes and results from `described_host`."""
    outputs = tuple(
        NetworkOutput(str(name), str(tensor), *(tuple(shape) for shape in shapes))
        for name, tensor, *shapes in facts.get("outputs", ())
    )
    nodes = tuple(
        HostNode(str(name), Op(op), str(source), _attributes(values), tuple(shape))
        for name, op, source, values, shape in facts.get("nodes", ())
    )
    return outputs, nodes, tuple(facts.get("results", ()))


def _attributes(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return attributes with tuples where JSON made lists of them."""
    items = values.items()
    return frozen_mapping({k: tuple(v) if isinstance(v, list) else v for k, v in items})


def run_host(graph: QuantizedGraph, tensors: dict[str, IntArray]) -> None:
    """Add the tensors of the host's nodes to those of the accelerator's layers."""
    for node in graph.nodes:
        if node.placement is Placement.HOST:
            results = run_node(graph, node, tensors, {})
            tensors.update(zip(node.outputs, results, strict=True))


def _handed_over(builder: GraphBuilder, out: NetworkOutput) -> str:
    tensor, shape = out.tensor, out.shape
    if out.cropped_shape:
        tensor = _viewed(builder, tensor, out.held_shape, f"{out.tensor}.held")
        axes = tuple(range(2, 1 + len(out.cropped_shape)))
        attributes = {
            "axes": axes, "starts": (0,) * len(axes), "ends": out.cropped_shape[1:],
            "strides": (1,) * len(axes),
        }  # fmt: skip
        name = out.name if shape == out.cropped_shape else f"{out.name}.cropped"
        tensor = _add(builder, name, Op.SLICE, (tensor,), attributes, builder.tensor(tensor).format)
    return _viewed(builder, tensor, shape, out.name)


def _viewed(builder: GraphBuilder, tensor: str, shape: Shape, name: str) -> str:
    if builder.shape(tensor) == shape:
        return tensor
    name = name if name != tensor else f"{name}.shaped"
    form = builder.tensor(tensor).format
    return _add(builder, name, Op.RESHAPE, (tensor,), {"shape": shape}, form)


def _computed(builder: GraphBuilder, node: HostNode, tensor: str) -> str:
    if node.op is Op.ARGMAX:
        return _add(builder, node.name, node.op, (tensor,), node.attributes, Format(32))
    if node.op is Op.SOFTMAX:
        return _softmax(builder, node, _narrowed(builder, tensor, f"{node.name}.input"))
    if node.op in (Op.SIGMOID, Op.TANH):
        return _table(builder, node, _narrowed(builder, tensor, f"{node.name}.input"))
    form = builder.tensor(tensor).format
    return _add(builder, node.name, node.op, (tensor,), node.attributes, form)


def _narrowed(builder: GraphBuilder, tensor: str, name: str) -> str:
    """Return the tensor in a format that tables can be made for."""
    form = builder.tensor(tensor).format
    if form.bits <= _TABLE_BITS:
        return tensor
    frac = builder.frac(tensor)
    kept = min(frac, _TABLE_FRAC)
    wanted = Format(_TABLE_BITS, True, Scale.power_of_two(kept))
    shift = (ShiftRight(frac - kept, Rounding.HALF_UP),) if frac > kept else ()
    steps = (*shift, Clamp(wanted.lo, wanted.hi))
    return _add(builder, name, Op.IDENTITY, (tensor,), {}, wanted, steps)


def _softmax(builder: GraphBuilder, node: HostNode, tensor: str) -> str:
    form = builder.tensor(tensor).format
    distance = np.arange(form.hi - form.lo + 1) * form.scale.values()[0]
    entries = np.rint(np.exp(-distance) * 2.0**_EXP_BITS).astype(np.int64)
    # Behind its last entry above zero the table only repeats that zero.
    entries = entries[: int(np.count_nonzero(entries)) + 1]
    table = builder.add_constant(f"{node.name}.table", entries, Format(_EXP_BITS + 1, False))
    attributes = {
        "axis": node.attributes["axis"],
        "numerator": 1 << _RESULT_FRAC,
        "rounding": Rounding.HALF_UP.value,
    }
    result = Format(16, False, Scale.power_of_two(_RESULT_FRAC))
    return _add(builder, node.name, Op.SOFTMAX, (tensor, table), attributes, result)


def _table(builder: GraphBuilder, node: HostNode, tensor: str) -> str:
    form = builder.tensor(tensor).format
    real = np.arange(form.lo, form.hi + 1) * form.scale.values()[0]
    values = np.tanh(real) if node.op is Op.TANH else 0.5 * (1.0 + np.tanh(0.5 * real))
    result = Format(16, True, Scale.power_of_two(_RESULT_FRAC))
    entries = np.clip(np.floor(values * 2.0**_RESULT_FRAC + 0.5), result.lo, result.hi)
    table = builder.add_constant(f"{node.name}.table", entries.astype(np.int64), result)
    return _add(builder, node.name, Op.TABLE, (tensor, table), {"lowest": form.lo}, result)


def _add(  # noqa: PLR0917 - a node's fields
    builder: GraphBuilder, name: str, op: Op, inputs: tuple[str, ...],
    attributes: Mapping[str, Any], form: Format, steps: Steps = (),
) -> str:  # fmt: skip
    """Append one node and return its name."""
    shapes = [builder.tensor(tensor).shape for tensor in inputs]
    (shape,) = infer_shapes(op, attributes, shapes)
    node = QuantizedNode(
        name, op, inputs, (name,), frozen_mapping(attributes), steps=steps,
        placement=Placement.HOST,
    )  # fmt: skip
    builder.add_host(node, QuantizedTensor(name, shape, form))
    return name
