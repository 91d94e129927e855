"""Writes traces the way TI's tools do, from our own integers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from tests.tidl.current.executing import quantized
from tests.tidl.networks import classifier, samples

from nibblefit.fixed.formats import IntArray, Rounding
from nibblefit.fixed.quantize import quantize
from nibblefit.ir import reference
from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.quantization.fold import fold
from nibblefit_tidl.triage.layers import Layer, layers_of
from nibblefit_tidl.triage.traces.checking import TraceCheck, TraceSource, check_traces


@cache
def _integers(part: str, bits: int) -> QuantizedGraph:
    return quantized(classifier(), part, tensor_bits=bits).graph


@dataclass
class Dump:
    """A network, the judge's integers on two frames, and a folder that traces go to.

    Data ids are ours times three plus seven, as TI's numbers need not be ours.
    """

    folder: Path
    part: str = "tda4vm"
    frames: int = 2
    bits: int = 8
    graph: QuantizedGraph = field(init=False)
    codes: dict[str, IntArray] = field(init=False)

    def __post_init__(self) -> None:
        self.graph = _integers(self.part, self.bits)
        self.model: Graph = classifier()
        self.folded = fold(self.model)
        self.layers: tuple[Layer, ...] = layers_of(self.folded, classic=False)
        self.real = samples(self.model, self.frames, seed=5)
        (name,) = self.graph.inputs
        rounding = Rounding(self.graph.metadata["input_rounding"])
        given = quantize(self.real, self.graph.tensors[name].format, rounding)
        self.codes = dict(reference.run(self.graph, {name: given}).tensors)

    def data_id(self, layer: Layer) -> int:
        """Return the number a tool may have given a layer's buffer."""
        return 3 * layer.data_id + 7

    def path(self, layer: Layer, kind: str = ".y", prefix: str = "") -> Path:
        """Return the file of a layer's trace."""
        shape = self.graph.tensors[layer.name].shape
        channels, height, width = shape if len(shape) == 3 else (1, 1, *shape)
        return self.folder / (
            f"tidl_trace{prefix}{self.data_id(layer):04d}_{self.frames:05d}_{channels:05d}_"
            f"{width:05d}x{height:05d}{kind}"
        )

    def layer(self, name: str) -> Layer:
        """Return a layer by its tensor."""
        return next(layer for layer in self.layers if layer.name == name)

    def write(self, **changed: IntArray) -> None:
        """Write a trace of every layer; `changed` replaces codes by tensor (dots as __)."""
        self.folder.mkdir(exist_ok=True)
        changes = {name.replace("__", "."): codes for name, codes in changed.items()}
        for layer in self.layers:
            fmt = self.graph.tensors[layer.name].format
            codes = changes.get(layer.name, self.codes[layer.name])
            dtype = f"<{'i' if fmt.signed else 'u'}{fmt.bits // 8}"
            self.path(layer).write_bytes(codes.astype(dtype).tobytes())
        rows = (f"{a.layer_id}\t{self.data_id(a)}\t{a.name}\n" for a in self.layers)
        (self.folder / "subgraph_0_tidl_net.bin.layer_info.txt").write_text("".join(rows))

    def check(self, **source: object) -> TraceCheck:
        """Compare the folder with our integers."""
        asked = TraceSource(self.folder, **source)  # type: ignore[arg-type]
        return check_traces(asked, self.graph, self.folded, self.layers)


def clipped(codes: IntArray, graph: QuantizedGraph, name: str) -> IntArray:
    """Return codes inside a tensor's format."""
    fmt = graph.tensors[name].format
    return np.clip(codes, fmt.lo, fmt.hi)
