"""The stages compile and read_back."""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

import numpy as np

from nibblefit.errors import InputError
from nibblefit.fixed.quantize import dequantize
from nibblefit.ir.graph import FloatConstant, Graph, frozen_mapping
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.ir.store import digest, load_quantized, save_quantized
from nibblefit.models import Model
from nibblefit.results import Artifact, ArtifactFile
from nibblefit.run import Run
from nibblefit_vitis.options import VitisOptions
from nibblefit_vitis.qat.keeping import thresholds_of
from nibblefit_vitis.qat.places import folded_graph
from nibblefit_vitis.quantize.configured import setting_of
from nibblefit_vitis.quantize.facts import corrections_in, formats_in, recorded
from nibblefit_vitis.quantize.integers import lower_network
from nibblefit_vitis.quantize.pipeline import ready, with_corrections
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.writing.arch import arch_of
from nibblefit_vitis.writing.files import Deployment, read_network, write_all

#: Where integers lie that no xmodel can state.
INTEGERS = "integers"


def write_files(run: Run, graph: QuantizedGraph) -> Artifact:
    """Write everything that compiler, board and a person need into the run's folder.

    Networks that no xmodel can state (float scales) get their integers as they are.

    Raises:
        InputError: The float network is not at hand, or the DPU is unknown.
    """
    options: VitisOptions = run.options
    facts, model = recorded(graph), _reference(run)
    setting, _ = setting_of(run.recipe, options, model.graph)
    network, setting = written_network(graph, model, setting)
    deployment = Deployment(
        arch=arch_of(options.arch, Path(run.recipe.folder)),
        scaling=getattr(run.data, "scaling", None),
        class_names=tuple(run.data.class_names),
        corrections=corrections_in(facts),
        fast_finetuned=bool(facts["finetuned"]),
    )
    written = write_all(run.folder, network, formats_in(facts), setting, run.part,
                        deployment=deployment)  # fmt: skip
    files = written.files
    if not written.command:
        files += _integers(run.folder, graph)
    notes = {
        "command": written.command,
        "left_out": dict(written.left_out),
        "changes": [f"{c['tensor']} {c['old']} → {c['new']}" for c in facts["changes"]],
        "notes": facts["notes"],
    }
    return Artifact(graph.target, run.part, digest(graph), files, frozen_mapping(notes))


def written_network(graph: QuantizedGraph, model: Model,
                    setting: NetworkSetting) -> tuple[Graph, NetworkSetting]:  # fmt: skip
    """Return the float network behind integers, as they were made from it, and its setting.

    Weights that were changed after preparation are taken from their codes.
    """
    facts = recorded(graph)
    if thresholds_of(model):
        return folded_graph(model.graph, setting), setting
    prepared = ready(model.graph, setting)
    if not facts["from_codes"]:
        return with_corrections(prepared.graph, corrections_in(facts)), prepared.setting
    real: dict[str, FloatConstant] = {}
    for name, values in prepared.graph.constants.items():
        if name in graph.constants:
            found = dequantize(graph.constants[name], graph.tensors[name].format)
            real[name] = found if values.dtype == np.float64 else found.astype(np.float32)
            real[name].flags.writeable = False
    return prepared.graph.with_constants(real), prepared.setting


def read_files(run: Run, artifact: Artifact) -> QuantizedGraph:
    """Return the integers of an artifact: from its xmodel, else from its integer files.

    Raises:
        InputError: A file is missing or damaged.
    """
    del artifact
    network = read_network(run.artifact_folder)
    if network is not None:
        # Parameters are on their grid already, and a fix rounds one way: nothing else matters.
        return lower_network(network.graph, network.formats, NetworkSetting())
    folder = run.artifact_folder / INTEGERS
    if not folder.is_dir():
        raise InputError(f"neither an xmodel nor integers lie in {run.artifact_folder}",
                         hint="run the compile stage again")  # fmt: skip
    return load_quantized(folder)


def _reference(run: Run) -> Model:
    if run.reference is None:
        raise InputError(
            "the float network behind the integers is not at hand; its names and shapes are part "
            "of the files",
            hint="compile in a run that quantized it",
        )
    return run.reference


def _integers(folder: Path, graph: QuantizedGraph) -> tuple[ArtifactFile, ...]:
    save_quantized(graph, folder / INTEGERS)
    paths = sorted(path for path in (folder / INTEGERS).rglob("*") if path.is_file())
    return tuple(
        ArtifactFile("integers", PurePosixPath(path.relative_to(folder).as_posix()),
                     hashlib.sha256(path.read_bytes()).hexdigest())
        for path in paths
    )  # fmt: skip
