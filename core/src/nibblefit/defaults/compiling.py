"""Core's compilation: the integer graph itself, in its exact and deterministic form."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.ir.store import digest, load_quantized, save_quantized
from nibblefit.results import Artifact, ArtifactFile
from nibblefit.run import Run
from nibblefit.workspace.storage import file_digest

GRAPH_FOLDER = "graph"


def compile_graph(run: Run, graph: QuantizedGraph) -> Artifact:
    """Write the graph's own files into ``run.folder`` and return them as an artifact."""
    save_quantized(graph, run.folder / GRAPH_FOLDER)
    return artifact_of(run, graph)


def artifact_of(run: Run, graph: QuantizedGraph) -> Artifact:
    """Return the artifact of everything that lies in ``run.folder``."""
    paths = sorted(path for path in run.folder.rglob("*") if path.is_file())
    files = tuple(
        ArtifactFile(_role(path), PurePosixPath(path.relative_to(run.folder).as_posix()),
                     file_digest(path))
        for path in paths
    )  # fmt: skip
    return Artifact(run.recipe.target.name, run.part, digest(graph), files)


def _role(path: Path) -> str:
    return {".onnx": "onnx", ".json": "graph", ".npz": "constants"}.get(path.suffix, "file")


def load_compiled(run: Run) -> QuantizedGraph:
    """Return the graph that `compile_graph` wrote."""
    return load_quantized(run.folder / GRAPH_FOLDER)
