"""What the accelerator hands over to the host, for reading files back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit_maxim.layers import IntegerLayer


def handed_over(graph: QuantizedGraph, items: Sequence[IntegerLayer]) -> Mapping[str, Any]:
    """Return the host's part of a graph in the form of `nibblefit_maxim.hosting.described_host`.

    Graphs that were read from files have no such description; what they hand over are their
    outputs, reshaped at most.
    """
    stored = graph.metadata.get("host")
    if stored:
        return frozen_mapping(dict(stored))
    layers = {item.layer.tensor: item.layer for item in items}
    producers = graph.producers()
    outputs = []
    for name in graph.outputs:
        tensor = name
        while tensor not in layers:
            tensor = producers[tensor].inputs[0]
        shape = graph.tensors[name].shape
        outputs.append((name, tensor, shape, layers[tensor].output_shape, ()))
    return frozen_mapping({"outputs": tuple(outputs), "nodes": (), "results": graph.outputs})


def kept_tensors(host: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the tensors that layers write for the host."""
    return tuple(dict.fromkeys(str(tensor) for _, tensor, *_ in host["outputs"]))


def in_file_names(host: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the description with tensors as the files name them."""
    outputs = tuple((name, names[tensor], *rest) for name, tensor, *rest in host["outputs"])
    return frozen_mapping({**host, "outputs": outputs})
