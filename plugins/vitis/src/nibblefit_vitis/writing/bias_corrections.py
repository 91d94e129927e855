"""``bias_corr.pth``: what bias correction took off every bias, as the original stores it.

The original's file is a pickled dict of lists. Ours holds the same and is read with torch's safe
loader, which builds nothing but containers and numbers.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph
from nibblefit_vitis.writing.naming import OriginalNames

Corrections = Mapping[str, npt.NDArray[np.float64]]


def corrections_bytes(graph: Graph, corrections: Corrections, prefix: str = "") -> bytes:
    """Return the file: the original's layer name → float bias minus corrected bias.

    Args:
        graph: The prepared graph.
        corrections: By name of the bias constant.
        prefix: Name of the network; empty: the graph's.
    """
    import torch

    names = OriginalNames(graph, prefix).layers
    body = {
        names[node.name]: np.asarray(corrections[node.inputs[2]], np.float64).tolist()
        for node in graph.nodes
        if len(node.inputs) > 2 and node.inputs[2] in corrections
    }
    stream = io.BytesIO()
    torch.save(body, stream)
    return stream.getvalue()


def read_corrections(
    content: bytes, graph: Graph, file: str = "bias_corr.pth"
) -> dict[str, npt.NDArray[np.float64]]:
    """Return corrections by name of the bias constant; layers without one are left out.

    Raises:
        InputError: The file is damaged, holds code, or was made for another network.
    """
    import torch

    try:
        body: Any = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except (RuntimeError, ValueError, EOFError, OSError, pickle.UnpicklingError) as problem:
        line = str(problem).strip().splitlines()
        raise InputError(f"{file} cannot be read: {line[0] if line else type(problem).__name__}",
                         hint="give the bias_corr.pth of a calibration") from problem  # fmt: skip
    if not isinstance(body, dict):
        raise InputError(f"{file} holds no dictionary",
                         hint="give the bias_corr.pth of a calibration")  # fmt: skip
    names = OriginalNames(graph).layers
    layers = {name.partition("::")[2]: layer for layer, name in names.items()}
    nodes = {node.name: node for node in graph.nodes}
    found: dict[str, npt.NDArray[np.float64]] = {}
    for key, values in body.items():
        if values is None:
            continue
        node = nodes.get(layers.get(str(key).rpartition("::")[2], ""))
        if node is None or len(node.inputs) < 3:
            raise InputError(f"{file} corrects '{key}', which this network does not have",
                             hint="it was made for another network")  # fmt: skip
        found[node.inputs[2]] = _array(values, graph, node.inputs[2], f"{file}: '{key}'")
    return found


def _array(values: Any, graph: Graph, bias: str, where: str) -> npt.NDArray[np.float64]:
    expected = graph.constants[bias].shape
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as problem:
        raise InputError(f"{where} holds no numbers", hint="calibrate again") from problem
    if array.shape != expected or not np.isfinite(array).all():
        raise InputError(f"{where} holds {array.shape} numbers; expected {expected}, all finite",
                         hint="it was made for another network")  # fmt: skip
    return array
