"""Saving and loading graphs: deterministic bytes out, nothing but a whole graph in.

``graph.json`` and ``graph.npz`` hold a float graph, ``quantized.json`` and ``quantized.npz`` a
quantized one; see `nibblefit.ir.archive` for the files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from nibblefit.errors import InputError
from nibblefit.ir import archive
from nibblefit.ir.archive import Arrays
from nibblefit.ir.encoding import (
    DECODE_ERRORS,
    decode_accumulator,
    decode_attributes,
    decode_format,
    decode_steps,
    decode_value,
    encode_accumulator,
    encode_format,
    encode_steps,
    encode_value,
    expect,
    sizes,
    texts,
)
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import Placement, QuantizedGraph, QuantizedNode, QuantizedTensor

GRAPH = "graph"
QUANTIZED = "quantized"
T = TypeVar("T")


def save_graph(graph: Graph, folder: Path) -> None:
    """Write a float graph into a folder; WorkspaceError if that fails."""
    archive.save(folder, GRAPH, graph_body(graph), graph_arrays(graph))


def load_graph(folder: Path) -> Graph:
    """Return the float graph of a folder; InputError if it is damaged in any way."""
    body, arrays = archive.load(folder, GRAPH)
    return decoded(folder, lambda: graph_from(body, arrays))


def save_quantized(graph: QuantizedGraph, folder: Path) -> None:
    """Write a quantized graph into a folder; WorkspaceError if that fails."""
    archive.save(folder, QUANTIZED, _quantized_body(graph), _quantized_arrays(graph))


def load_quantized(folder: Path) -> QuantizedGraph:
    """Return the quantized graph of a folder; InputError if it is damaged in any way."""
    body, arrays = archive.load(folder, QUANTIZED)
    return decoded(folder, lambda: _quantized_from(body, arrays))


def digest(value: Graph | QuantizedGraph) -> str:
    """Return the SHA-256 of a graph over its canonical bytes: equal graphs, equal digests."""
    if isinstance(value, QuantizedGraph):
        return archive.digest_of([QUANTIZED, _quantized_body(value)], _quantized_arrays(value))
    return archive.digest_of([GRAPH, graph_body(value)], graph_arrays(value))


def decoded(place: Path, decode: Callable[[], T]) -> T:
    """Return what `decode` makes; InputError naming `place` if the content has the wrong form."""
    try:
        return decode()
    except DECODE_ERRORS as error:
        raise InputError(
            f"{place} holds content of the wrong form: {type(error).__name__}: {error!s:.120}",
            hint="write it again by running the stage that made it",
        ) from None


def graph_body(graph: Graph) -> dict[str, Any]:
    """Return the structure of a float graph as a JSON value, without its arrays."""
    return {
        "name": graph.name,
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "nodes": [_node_body(node) for node in graph.nodes],
        # Lists of pairs keep the order of a mapping, which canonical JSON sorts away.
        "shapes": [[name, list(shape)] for name, shape in graph.shapes.items()],
        "constants": list(graph.constants),
    }


def graph_arrays(graph: Graph) -> Arrays:
    """Return the arrays of a float graph by the names they are stored under."""
    return {f"constant/{name}": array for name, array in graph.constants.items()}


def graph_from(body: Any, arrays: Arrays) -> Graph:
    """Return the float graph of a structure and its arrays; raises DECODE_ERRORS."""
    constants = {
        name: _array(arrays, f"constant/{name}", np.float32, np.float64)
        for name in texts(body["constants"])
    }
    return Graph(
        expect(body["name"], str),
        texts(body["inputs"]),
        texts(body["outputs"]),
        tuple(Node(**_node_fields(item)) for item in expect(body["nodes"], list)),
        frozen_mapping({expect(name, str): sizes(shape) for name, shape in body["shapes"]}),
        frozen_mapping(constants),
    )


def _array(arrays: Arrays, name: str, *kinds: type[np.generic]) -> npt.NDArray[Any]:
    array = arrays[name]
    if array.dtype.type not in kinds:
        raise TypeError(f"array '{name}' is {array.dtype}")
    array.flags.writeable = False
    return array


def _node_body(node: Node | QuantizedNode) -> dict[str, Any]:
    return {
        "name": node.name,
        "op": node.op.value,
        "inputs": list(node.inputs),
        "outputs": list(node.outputs),
        "attributes": encode_value(node.attributes),
        "source": node.source,
    }


def _node_fields(body: Any) -> dict[str, Any]:
    return {
        "name": expect(body["name"], str),
        "op": Op(body["op"]),
        "inputs": texts(body["inputs"]),
        "outputs": texts(body["outputs"]),
        "attributes": decode_attributes(body["attributes"]),
        "source": expect(body["source"], str),
    }


def _quantized_body(graph: QuantizedGraph) -> dict[str, Any]:
    return {
        "name": graph.name,
        "target": graph.target,
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "nodes": [_quantized_node_body(node) for node in graph.nodes],
        "tensors": [
            [name, tensor.name, list(tensor.shape), encode_format(tensor.format)]
            for name, tensor in graph.tensors.items()
        ],
        "constants": list(graph.constants),
        "states": list(graph.states),
        "metadata": encode_value(graph.metadata),
    }


def _quantized_node_body(node: QuantizedNode) -> dict[str, Any]:
    return {
        **_node_body(node),
        "input_steps": [encode_steps(steps) for steps in node.input_steps],
        "steps": encode_steps(node.steps),
        "accumulator": encode_accumulator(node.accumulator),
        "placement": node.placement.value,
        "layer": node.layer,
    }


def _quantized_arrays(graph: QuantizedGraph) -> Arrays:
    constants = {f"constant/{name}": array for name, array in graph.constants.items()}
    return {**constants, **{f"state/{name}": array for name, array in graph.states.items()}}


def _quantized_from(body: Any, arrays: Arrays) -> QuantizedGraph:
    return QuantizedGraph(
        expect(body["name"], str),
        expect(body["target"], str),
        texts(body["inputs"]),
        texts(body["outputs"]),
        tuple(_quantized_node(item) for item in expect(body["nodes"], list)),
        frozen_mapping(_tensors(body["tensors"])),
        frozen_mapping(_int_arrays(arrays, "constant", body["constants"])),
        frozen_mapping(_int_arrays(arrays, "state", body["states"])),
        frozen_mapping(decode_value(expect(body["metadata"], dict))),
    )


def _int_arrays(arrays: Arrays, family: str, names: Any) -> Mapping[str, npt.NDArray[Any]]:
    return {name: _array(arrays, f"{family}/{name}", np.int64) for name in texts(names)}


def _tensors(items: Any) -> dict[str, QuantizedTensor]:
    return {
        expect(key, str): QuantizedTensor(expect(name, str), sizes(shape), decode_format(fmt))
        for key, name, shape, fmt in expect(items, list)
    }


def _quantized_node(body: Any) -> QuantizedNode:
    return QuantizedNode(
        **_node_fields(body),
        input_steps=tuple(decode_steps(steps) for steps in expect(body["input_steps"], list)),
        steps=decode_steps(body["steps"]),
        accumulator=decode_accumulator(body["accumulator"]),
        placement=Placement(body["placement"]),
        layer=expect(body["layer"], str),
    )
