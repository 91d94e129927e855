"""The compile stage and its reading back, around the folder of a run."""

from __future__ import annotations

import numpy as np

from nibblefit.data.source import Split
from nibblefit.errors import InputError
from nibblefit.fixed.formats import IntArray
from nibblefit.fixed.quantize import quantize
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.results import Artifact
from nibblefit.run import Run
from nibblefit_maxim.numerics import NUMERICS
from nibblefit_maxim.options import MaximOptions
from nibblefit_maxim.parts import part_named
from nibblefit_maxim.reading.network import read_files
from nibblefit_maxim.writing.folder import write_folder


def write_files(run: Run, graph: QuantizedGraph) -> Artifact:
    """Write every file of a graph into the run's folder, and say what to mind about them."""
    options: MaximOptions = run.options
    artifact = write_folder(
        graph,
        part_named(run.part),
        run.folder,
        _sample(run, graph),
        arch=options.arch,
        dataset=options.dataset or run.recipe.data.source,
    )
    for doubt in artifact.notes["doubts"]:
        run.reporter.warn(doubt)
    return artifact


def _sample(run: Run, graph: QuantizedGraph) -> IntArray:
    """Return the codes of the first test sample."""
    inputs, _ = run.data.batch(Split.TEST, 0, 1)
    form = graph.tensors[graph.inputs[0]].format
    return quantize(inputs[0].astype(np.float64), form, NUMERICS.inputs.rounding)


def read_files_back(run: Run, artifact: Artifact) -> QuantizedGraph:
    """Parse the files of an artifact into a graph.

    Raises:
        InputError: A file is missing or not what it should be.
    """
    paths = {file.role: run.artifact_folder / file.path for file in artifact.files}
    for role in ("yaml", "checkpoint", "sample"):
        if role not in paths or not paths[role].is_file():
            raise InputError(
                f"the {role} file is missing from {run.artifact_folder}",
                hint="run the compile stage again",
            )
    try:
        sample = np.load(paths["sample"], allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{paths['sample'].name}: not a sample input: {error}") from error
    return read_files(
        paths["yaml"], paths["checkpoint"], tuple(sample.shape), part_named(artifact.part),
        flags=artifact.notes.get("flags", ()), host=artifact.notes.get("host"),
    )  # fmt: skip
