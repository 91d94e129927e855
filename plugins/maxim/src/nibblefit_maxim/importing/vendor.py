"""The vendor's network YAML and checkpoint as an integer graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nibblefit.errors import InputError
from nibblefit.ir.graph import Shape
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode
from nibblefit.results import Table
from nibblefit_maxim.layers import Operator
from nibblefit_maxim.parts import Part
from nibblefit_maxim.reading.checkpoint import Checkpoint, load_checkpoint
from nibblefit_maxim.reading.entries import read_entries
from nibblefit_maxim.reading.entry import NetworkEntry
from nibblefit_maxim.reading.float_checkpoint import quantize_checkpoint
from nibblefit_maxim.reading.network import build_network, check_arch, yaml_text
from nibblefit_maxim.reading.problems import Problems
from nibblefit_maxim.reading.schema import BINARY


@dataclass(frozen=True, slots=True)
class Imported:
    """An imported network.

    Attributes:
        graph: Its integers.
        was_float: Whether the checkpoint was quantized on the way.
    """

    graph: QuantizedGraph
    was_float: bool

    def table(self) -> Table:
        """Return one row per layer: shapes, weight width and range of the weights."""
        rows = []
        for name, nodes in _by_layer(self.graph).items():
            output = nodes[-1].output
            weights = [c for n in nodes for c in n.inputs if c.endswith(".weight")]
            constant = self.graph.constants[weights[0]] if weights else None
            codes = f"{constant.min()} to {constant.max()}" if constant is not None else "–"
            tensor = self.graph.tensors[output]
            rows.append((
                name, " + ".join(str(n.op) for n in nodes), "×".join(map(str, tensor.shape)),
                self.graph.tensors[weights[0]].format.bits if weights else "–", codes,
                tensor.format.bits,
            ))  # fmt: skip
        columns = ("layer", "runs", "output", "weight bits", "weight codes", "output bits")
        return Table(f"{self.graph.name}, {len(rows)} layers", columns, tuple(rows))


def _by_layer(graph: QuantizedGraph) -> dict[str, list[QuantizedNode]]:
    found: dict[str, list[QuantizedNode]] = {}
    for node in graph.nodes:
        found.setdefault(node.layer or node.name, []).append(node)
    return found


def import_network(
    yaml_path: Path,
    checkpoint_path: Path,
    input_shape: Shape,
    part: Part,
    *,
    flags: Sequence[str] = (),
    weight_bits: Mapping[str, int] | None = None,
) -> Imported:
    """Read the vendor's files; a float checkpoint is quantized as the vendor's script does.

    Args:
        yaml_path: The network YAML.
        checkpoint_path: Integer checkpoint, or the float one of quantization-aware training.
        input_shape: Shape of one input, (channels, *spatial).
        part: The device.
        flags: Options of the compiler: ``--fifo``, ``--overlap-data``, ``--avg-pool-rounding``.
        weight_bits: Width by module path, where neither YAML nor checkpoint shall decide.

    Raises:
        InputError: Every problem of the files, with file and line.
    """
    checkpoint = load_checkpoint(checkpoint_path)
    entry = read_entries(yaml_text(yaml_path), yaml_path.name, part)
    problems = Problems(yaml_path.name)
    check_arch(entry, checkpoint, problems)
    problems.raise_if_any()
    was_float = checkpoint.is_float
    if was_float:
        chosen = {**_yaml_bits(entry, checkpoint), **dict(weight_bits or {})}
        unknown = sorted(set(weight_bits or {}) - {layer.name for layer in checkpoint.layers})
        if unknown:
            raise InputError(
                f"the checkpoint has no layer called {', '.join(unknown)}",
                hint="layers: " + ", ".join(layer.name for layer in checkpoint.layers),
            )
        checkpoint = quantize_checkpoint(checkpoint, chosen)
    graph = build_network(entry, checkpoint.layers, input_shape, part, flags=flags)
    return Imported(graph, was_float)


def _yaml_bits(entry: NetworkEntry, checkpoint: Checkpoint) -> dict[str, int]:
    """Return the widths that the YAML states, by the module path they fall to."""
    multiplying = [
        layer
        for layer in entry.layers
        if layer.operator is not Operator.PASSTHROUGH
        and not layer.get("bypass")
        and layer.get("weight_source") is None
    ]
    found = {}
    for layer, parameters in zip(multiplying, checkpoint.layers, strict=False):
        bits = layer.get("quantization")
        if bits is not None and bits != BINARY:
            found[parameters.name] = int(bits)
    return found
