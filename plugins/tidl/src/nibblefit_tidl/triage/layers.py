"""The layers of a network as TI's tools count them, and the table that names them.

A line of ``*.layer_info.txt`` has three columns: layer id (place in the order of execution), data
id (number of the output buffer), and the name of the output tensor of the last operator that was
merged into the layer. Source: edgeai-tidl-tools, troubleshooting guide.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph, Node
from nibblefit.quantization.units import chains
from nibblefit_tidl.classic.merging import merged_layers
from nibblefit_tidl.current.numerics import FUSIONS

#: Name of our own table in the triage folder.
FILE_NAME = "layer_info.txt"
INPUT = "input"


@dataclass(frozen=True, slots=True)
class Layer:
    """One output buffer of one merged layer.

    Attributes:
        layer_id: Place in the order of execution; inputs come first.
        data_id: Number of the buffer.
        name: Its tensor.
        op: Main operator, ``input`` for inputs.
        nodes: Names of the merged nodes, the working one first; empty for inputs.
    """

    layer_id: int
    data_id: int
    name: str
    op: str
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InfoRow:
    """One line of a layer-info file."""

    layer_id: int
    data_id: int
    name: str


def layers_of(folded: Graph, *, classic: bool) -> tuple[Layer, ...]:
    """Return the merged layers of a folded graph, inputs first, numbered by us.

    TI's tools may number otherwise; names are what both sides share.
    """
    found = [Layer(place, place, name, INPUT) for place, name in enumerate(folded.inputs)]
    groups: list[tuple[Node, ...]] = (
        [layer.nodes for layer in merged_layers(folded)] if classic else chains(folded, FUSIONS)
    )
    for layer_id, nodes in enumerate(groups, start=len(found)):
        members = tuple(node.name for node in nodes)
        for output in nodes[-1].outputs:
            found.append(Layer(layer_id, len(found), output, nodes[0].op.value, members))
    return tuple(found)


def write_layer_info(layers: tuple[Layer, ...], path: Path) -> None:
    """Write our table in the layout of TI's tools."""
    lines = (f"{layer.layer_id} {layer.data_id} {layer.name}\n" for layer in layers)
    path.write_text("".join(lines), encoding="utf-8")


def read_layer_info(path: Path) -> tuple[InfoRow, ...]:
    """Return the lines of a layer-info file.

    Raises:
        InputError: The file cannot be read, is empty, has a line of another form, or gives one
            data id two names.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the layer info {path}: {error}") from error
    rows, names = [], dict[int, str]()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        row = _row(line, f"{path}:{number}")
        if names.setdefault(row.data_id, row.name) != row.name:
            raise InputError(
                f"{path}:{number}: data id {row.data_id} is '{row.name}', but was "
                f"'{names[row.data_id]}' before",
                hint="give the layer info of one subgraph",
            )
        rows.append(row)
    if not rows:
        raise InputError(f"the layer info {path} is empty", hint="compile the model again")
    return tuple(rows)


def _row(line: str, where: str) -> InfoRow:
    fields = line.split(maxsplit=2)
    if len(fields) == 3 and fields[0].isdecimal() and fields[1].isdecimal():
        return InfoRow(int(fields[0]), int(fields[1]), fields[2].strip())
    raise InputError(
        f"{where}: '{line.strip()[:60]}' is not 'layer id, data id, name'",
        hint="give the *.layer_info.txt that the tools wrote beside the network",
    )
