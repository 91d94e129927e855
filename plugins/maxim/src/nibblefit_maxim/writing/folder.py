"""All files of one network, written into a folder."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from nibblefit.errors import WorkspaceError
from nibblefit.fixed.formats import IntArray
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.ir.store import digest
from nibblefit.results import Artifact, ArtifactFile
from nibblefit_maxim.layers import IntegerLayer
from nibblefit_maxim.lift import lift
from nibblefit_maxim.memory.inserted import inserted_integers
from nibblefit_maxim.memory.needs import LayerNeeds
from nibblefit_maxim.memory.pictures import pictures
from nibblefit_maxim.memory.plan import MemoryPlan
from nibblefit_maxim.memory.planner import plan_memory
from nibblefit_maxim.parts import Part
from nibblefit_maxim.proving.prover import prove
from nibblefit_maxim.proving.violation import broken_plan
from nibblefit_maxim.writing.checkpoint_file import checkpoint_bytes
from nibblefit_maxim.writing.command import (
    CHECKPOINT_NAME,
    README_NAME,
    YAML_NAME,
    arithmetic_flags,
    command_line,
    host_flags,
    sample_name,
)
from nibblefit_maxim.writing.handover import handed_over, in_file_names, kept_tensors
from nibblefit_maxim.writing.names import architecture_name, file_names
from nibblefit_maxim.writing.readme import readme
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
        UnsupportedError: No arrangement in memory can serve the graph.
        LimitError: It does not fit the part; names what is short.
        GraphError: The proof refutes the plan; a defect of the planner.
        WorkspaceError: The folder cannot be written.
    """
    items = lift(graph)
    host = handed_over(graph, items)
    plan = proven_plan(items, part, graph.inputs[0], kept_tensors(host))
    items = all_items(items, plan)
    arch, dataset = architecture_name(arch or graph.name), architecture_name(dataset)
    names = file_names(item.layer.name for item in items)
    quantiles = dict(graph.metadata.get("shift_quantile", {}))
    flags = arithmetic_flags(items)
    asked = (*flags, *host_flags(host, items))
    files = [
        _write(folder, *content)
        for content in (
            ("yaml", YAML_NAME, network_yaml(items, plan, names, arch, dataset).encode()),
            ("checkpoint", CHECKPOINT_NAME, checkpoint_bytes(items, names, quantiles, arch)),
            ("sample", sample_name(dataset), _npy(sample)),
            ("readme", README_NAME, readme(plan, arch, dataset, asked).encode()),
        )
    ]
    tensors = {item.layer.tensor: names[item.layer.name] for item in items}
    notes = _figures(plan) | {
        "command": command_line(plan, arch, dataset, folder=".", flags=asked),
        "flags": (*plan.flags, *flags), "arch": arch, "dataset": dataset,
        "host": in_file_names(host, tensors),
    }  # fmt: skip
    return Artifact("maxim", part.name, digest(graph), tuple(files), frozen_mapping(notes))


def _figures(plan: MemoryPlan) -> dict[str, Any]:
    """Return the fit for reports and programs: numbers, tables, pictures, doubts."""
    return {
        "fit": frozen_mapping(plan.metrics()),
        "doubts": plan.doubts(),
        "memory": pictures(plan),
    }


def proven_plan(
    items: Sequence[IntegerLayer], part: Part, network_input: str, outputs: Sequence[str]
) -> MemoryPlan:
    """Return a plan that has passed its proof on the word-accurate memory model.

    Raises:
        UnsupportedError: No arrangement in memory can serve the graph.
        LimitError: It does not fit the part; names what is short.
        GraphError: The proof refutes the plan; a defect of the planner.
    """
    plan = plan_memory([needs_of(item) for item in items], part, network_input, outputs)
    violations = prove([need.layer for need in plan.needs], plan, part)
    if violations:
        raise broken_plan(violations)
    return plan


def all_items(items: Sequence[IntegerLayer], plan: MemoryPlan) -> tuple[IntegerLayer, ...]:
    """Return the layers in the plan's order, inserted ones with their integers."""
    known = {item.layer.name: item for item in items}
    fracs = {item.layer.tensor: item.out_frac for item in items}
    found = []
    for need in plan.needs:
        layer = need.layer
        if layer.name in known:
            # Its operands may be combined in a layer of its own now.
            found.append(replace(known[layer.name], layer=layer))
            continue
        tensor = layer.inputs[0]
        readers = (item.in_frac for item in items if tensor in item.layer.inputs)
        found.append(inserted_integers(layer, fracs[tensor] if tensor in fracs else next(readers)))
    return tuple(found)


def needs_of(item: IntegerLayer) -> LayerNeeds:
    """Return what a layer with its integers asks of the memories."""
    is_biased = item.bias is not None and bool(item.bias.any())
    return LayerNeeds(item.layer, item.weight_bits, is_biased)


def _write(folder: Path, role: str, name: str, content: bytes) -> ArtifactFile:
    try:
        (folder / name).write_bytes(content)
    except OSError as error:
        raise WorkspaceError(f"{folder / name} cannot be written: {error.strerror}") from error
    return ArtifactFile(role, PurePosixPath(name), hashlib.sha256(content).hexdigest())


def _npy(codes: IntArray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(codes, dtype=np.int64), allow_pickle=False)
    return buffer.getvalue()
