"""Small Caffe networks as text, imported and run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nibblefit.ir.float_reference import run_float
from nibblefit.ir.graph import Graph
from nibblefit.ir.legal import check_graph
from nibblefit_tidl.caffe.entry import CaffeNetwork, import_caffe


def header(*sizes: int, name: str = "data") -> str:
    """Return the lines that state an input."""
    dims = " ".join(f"dim: {size}" for size in (1, *sizes))
    return f'name: "net"\ninput: "{name}"\ninput_shape {{ {dims} }}\n'


def layer(name: str, kind: str, settings: str = "", bottom: str = "data", top: str = "") -> str:
    """Return one layer; several bottoms or tops are separated by spaces."""
    bottoms = " ".join(f'bottom: "{each}"' for each in bottom.split())
    tops = " ".join(f'top: "{each}"' for each in (top or name).split())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} {tops} {settings} }}\n'


def imported(folder: Path, text: str, weights: bytes | None = None, **options: Any) -> CaffeNetwork:
    """Import a text, with a caffemodel of these bytes if there are any."""
    prototxt, caffemodel = folder / "net.prototxt", folder / "net.caffemodel"
    prototxt.write_text(text)
    if weights is not None:
        caffemodel.write_bytes(weights)
    found = import_caffe(prototxt, caffemodel if weights is not None else None, **options)
    check_graph(found.graph)
    return found


def run(graph: Graph, x: np.ndarray) -> list[np.ndarray]:
    """Return the outputs in float64 for one batch of the only input."""
    tensors = run_float(graph, {graph.inputs[0]: x})
    return [np.asarray(tensors[name]) for name in graph.outputs]


def result(folder: Path, text: str, x: np.ndarray, weights: bytes | None = None) -> np.ndarray:
    """Return the only output of a text's network."""
    (y,) = run(imported(folder, text, weights).graph, x)
    return y
