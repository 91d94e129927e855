"""How many bytes a network's constants take, before and after quantization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.report import wording
from nibblefit.report.contents import Bar, Bars
from nibblefit.report.lineage import Lineage
from nibblefit.workspace import OpenRun

#: Float networks are stored as float32.
FLOAT_BYTES = 4


def float_bytes(graph: Graph) -> int:
    """Return the bytes of all constants as float32; constants shared by nodes count once."""
    return FLOAT_BYTES * sum(int(constant.size) for constant in graph.constants.values())


@dataclass(frozen=True, slots=True)
class NetworkSizes:
    """Size of a network before and after, None where there is no such network.

    Attributes:
        float_bytes: All constants of the float network as it was trained, as float32. Batch norm
            is not folded: its four vectors count, as they do in the file its author would keep.
        integer_bytes: All constants of the integer graph, each packed to its width.
    """

    float_bytes: int | None
    integer_bytes: int | None

    @property
    def comparison(self) -> str:
        """``float32: 60.9 KiB, 4.0 times smaller``; empty if either is not known."""
        if not self.float_bytes or not self.integer_bytes:
            return ""
        ratio = self.float_bytes / self.integer_bytes
        change = f"{ratio:.1f} times smaller" if ratio >= 1 else f"{1 / ratio:.1f} times larger"
        return f"float32: {wording.size(self.float_bytes)}, {change}"


def network_sizes(run: OpenRun, steps: Sequence[str]) -> NetworkSizes:
    """Return the sizes of a run's networks; the only place where they are counted.

    Args:
        run: The run.
        steps: Finished steps that count, in the order of the run. The float network is the last
            model among them that only float training has touched, else the first model.
    """
    lineage = Lineage(run, steps)
    models, graphs = lineage.of_kind("model"), lineage.of_kind("quantized")
    trained = [step for step in models if lineage.is_float(step)][-1:] or models[:1]
    return NetworkSizes(
        float_bytes=float_bytes(run.model(trained[0]).graph) if trained else None,
        integer_bytes=stored_bytes(run.graph(graphs[-1])) if graphs else None,
    )


def constant_bytes(graph: QuantizedGraph, name: str) -> int:
    """Return the bytes of one constant, packed to its format's width and rounded up."""
    return -(-int(graph.constants[name].size) * graph.tensors[name].format.bits // 8)


def stored_bytes(graph: QuantizedGraph) -> int:
    """Return the bytes of all constants, each packed to its format's width."""
    return sum(constant_bytes(graph, name) for name in graph.constants)


def bytes_per_layer(graph: QuantizedGraph) -> dict[str, int]:
    """Return layer → bytes of its constants; a constant used twice counts where it comes first."""
    counted: set[str] = set()
    found: dict[str, int] = {}
    for layer, nodes in graph.layers().items():
        own = {n for node in nodes for n in node.inputs if n in graph.constants} - counted
        counted |= own
        if own:
            found[layer] = sum(constant_bytes(graph, name) for name in own)
    return found


def widths_per_layer(graph: QuantizedGraph) -> dict[str, str]:
    """Return layer → storage names of its constants, such as ``int4 weights, int8``."""
    found: dict[str, str] = {}
    for layer, nodes in graph.layers().items():
        names = [n for node in nodes for n in node.inputs if n in graph.constants]
        kinds = dict.fromkeys(graph.tensors[name].format.name for name in names)
        found[layer] = ", ".join(kinds)
    return found


def size_chart(step: str, graph: QuantizedGraph) -> Bars | None:
    """Return the bytes per layer as bars, None for a graph without constants."""
    sizes = bytes_per_layer(graph)
    if not sizes:
        return None
    top, total = max(sizes.values()), sum(sizes.values())
    widths = widths_per_layer(graph)
    bars = tuple(
        Bar(layer, count / top, wording.size(count),
            f"{100 * count / total:.0f} % · {widths[layer]}")
        for layer, count in sizes.items()
    )  # fmt: skip
    note = f"Weights, biases and tables packed to their widths, {wording.size(total)} in all."
    return Bars(f"Constants per layer ({step})", bars, note)


def activation_chart(step: str, graph: QuantizedGraph) -> Bars:
    """Return the bytes of every layer's output tensor as bars, widest tensor full length."""
    sizes = {}
    for layer, nodes in graph.layers().items():
        tensor = graph.tensors[nodes[-1].output]
        count = 1
        for extent in tensor.shape:
            count *= extent
        sizes[layer] = -(-count * tensor.format.bits // 8)
    top = max(sizes.values(), default=1) or 1
    bars = tuple(Bar(layer, count / top, wording.size(count)) for layer, count in sizes.items())
    return Bars(f"Output of each layer ({step})", bars, "One sample, packed to its width.")
