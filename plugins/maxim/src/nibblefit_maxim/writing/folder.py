"""All files of one network, written into a folder."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path, PurePosixPath

import numpy as np

from nibblefit.errors import WorkspaceError
from nibblefit.fixed.formats import IntArray
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.ir.store import digest
from nibblefit.results import Artifact, ArtifactFile
from nibblefit_maxim.layers import IntegerLayer
from nibblefit_maxim.lift import lift
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.pictures import pictures
from nibblefit_maxim.memory.planner import plan_memory
from nibblefit_maxim.parts import Part
from nibblefit_maxim.writing.checkpoint_file import checkpoint_bytes
from nibblefit_maxim.writing.names import architecture_name, file_names
from nibblefit_maxim.writing.readme import (
    CHECKPOINT_NAME,
    README_NAME,
    YAML_NAME,
    command_line,
    readme,
    sample_name,
)
from nibblefit_maxim.writing.yaml_file import network_yaml


def write_folder(
    graph: QuantizedGraph,
    part: Part,
    folder: Path,
    sample: IntArray,
    *,
    arch: str = "",
    dataset: str = "data",
) -> Artifact:
    """Plan the memory of a graph and write every file.

    Args:
        graph: Integer graph of this target.
        part: The device.
        folder: Where the files go.
        dataset: Name of the data set in the YAML and of the sample.
        sample: Codes of one input, (channels, *spatial).
        arch: Name in the files; empty: the graph's.

    Raises:
        UnsupportedError: The network is no chain of layers.
        LimitError: It does not fit the part; names what is short.
        WorkspaceError: The folder cannot be written.
    """
    items = lift(graph)
    plan = plan_memory([needs_of(item) for item in items], part, graph.inputs[0])
    arch = architecture_name(arch or graph.name)
    dataset = architecture_name(dataset)
    names = file_names(item.layer.name for item in items)
    quantiles = dict(graph.metadata.get("shift_quantile", {}))
    contents = (
        ("yaml", YAML_NAME, network_yaml(items, plan, names, arch, dataset).encode()),
        ("checkpoint", CHECKPOINT_NAME, checkpoint_bytes(items, names, quantiles, arch)),
        ("sample", sample_name(dataset), _npy(sample)),
        ("readme", README_NAME, readme(plan, arch, dataset).encode()),
    )
    files = []
    for role, name, content in contents:
        try:
            (folder / name).write_bytes(content)
        except OSError as error:
            raise WorkspaceError(f"{folder / name} cannot be written: {error.strerror}") from error
        files.append(ArtifactFile(role, PurePosixPath(name), hashlib.sha256(content).hexdigest()))
    notes = {
        "command": command_line(plan, arch, dataset, folder="."),
        "arch": arch,
        "dataset": dataset,
        "output_shapes": tuple(graph.tensors[name].shape for name in graph.outputs),
        "fit": frozen_mapping(plan.metrics()),
        "memory": pictures(plan),
    }
    return Artifact("maxim", part.name, digest(graph), tuple(files), frozen_mapping(notes))


def needs_of(item: IntegerLayer) -> LayerNeeds:
    """Return what a layer with its integers asks of the memories."""
    is_biased = item.bias is not None and bool(item.bias.any())
    return LayerNeeds(item.layer, item.weight_bits, is_biased)


def _npy(codes: IntArray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(codes, dtype=np.int64), allow_pickle=False)
    return buffer.getvalue()
