"""Import into a folder: the integer graph, and what it answers for a sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nibblefit.errors import InputError, WorkspaceError
from nibblefit.fixed.formats import IntArray
from nibblefit.ir.graph import Shape
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.ir.store import digest, save_quantized
from nibblefit.results import Table
from nibblefit_maxim.importing.vendor import import_network
from nibblefit_maxim.linting.sample import beside, load_sample
from nibblefit_maxim.parts import Part
from nibblefit_maxim.reading.entries import read_entries
from nibblefit_maxim.reading.network import yaml_text
from nibblefit_maxim.reading.problems import Problems

#: Outputs for the sample, one array per output name.
OUTPUT_NAME = "sample_output.npz"


@dataclass(frozen=True, slots=True)
class ImportedFolder:
    """What an import wrote.

    Attributes:
        folder: Where it lies.
        digest: Identity of the graph.
        was_float: Whether the checkpoint was quantized on the way.
        table: One row per layer.
        outputs: Output name → the first codes it gives for the sample; empty without a sample.
    """

    folder: str
    digest: str
    was_float: bool
    table: Table
    outputs: dict[str, list[int]]

    def lines(self) -> list[str]:
        """Return what is worth saying besides the table."""
        lines = ["the checkpoint was float; quantized as the vendor's script does"]
        lines = lines if self.was_float else []
        for name, codes in self.outputs.items():
            lines.append(f"output '{name}' for the sample begins {', '.join(map(str, codes))}")
        return [*lines, f"integer graph: {self.folder}"]


def import_folder(
    yaml_path: Path,
    checkpoint_path: Path,
    folder: Path,
    part: Part,
    *,
    sample: Path | None = None,
    input_shape: Shape = (),
    flags: Sequence[str] = (),
) -> ImportedFolder:
    """Import the vendor's files and write the integer graph.

    Args:
        yaml_path: The network YAML.
        checkpoint_path: Integer or float checkpoint.
        folder: Where to write; made if it does not exist.
        part: The device.
        sample: Sample input; None takes ``sample_DATASET.npy`` beside the YAML if it is there.
        input_shape: Needed where there is no sample.
        flags: Options of the compiler, see `import_network`.

    Raises:
        InputError: Every problem of the files.
        WorkspaceError: The folder cannot be written.
    """
    codes = _sample(yaml_path, sample, input_shape, part)
    shape = tuple(codes.shape) if codes is not None else input_shape
    imported = import_network(yaml_path, checkpoint_path, shape, part, flags=flags)
    outputs = _run(imported.graph, codes) if codes is not None else {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_quantized(imported.graph, folder)
        if outputs:
            arrays: dict[str, Any] = dict(outputs)
            np.savez(folder / OUTPUT_NAME, **arrays)
    except OSError as error:
        raise WorkspaceError(f"{folder} cannot be written: {error.strerror}") from error
    shown = {name: [int(v) for v in values.reshape(-1)[:10]] for name, values in outputs.items()}
    return ImportedFolder(
        str(folder), digest(imported.graph), imported.was_float, imported.table(), shown
    )


def _sample(
    yaml_path: Path, sample: Path | None, input_shape: Shape, part: Part
) -> IntArray | None:
    place = sample
    if place is None:
        entry = read_entries(yaml_text(yaml_path), yaml_path.name, part)
        place = beside(yaml_path, entry.dataset)
    if place is None:
        if not input_shape:
            raise InputError(
                f"the shape of the input of {yaml_path.name} is not known",
                hint="add --sample FILE.npy, or --input-shape, channels first, such as 1,28,28",
            )
        return None
    problems = Problems(place.name)
    codes = load_sample(place, problems)
    problems.raise_if_any()
    if codes is not None and input_shape and tuple(codes.shape) != input_shape:
        raise InputError(
            f"{place.name} has shape {tuple(codes.shape)}, expected {input_shape}",
            hint="leave --input-shape out, or take another sample",
        )
    return codes


def _run(graph: QuantizedGraph, codes: IntArray) -> dict[str, IntArray]:
    from nibblefit.engine import Engine

    found = Engine(graph).run({graph.inputs[0]: codes[None]})
    return {name: found.outputs[name][0] for name in graph.outputs}
