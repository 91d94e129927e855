"""Core's read-back: the graph's own files."""

from __future__ import annotations

from nibblefit.defaults.compiling import load_compiled
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.results import Artifact
from nibblefit.run import Run


def read_back(run: Run, artifact: Artifact) -> QuantizedGraph:  # noqa: ARG001 - the hook's signature
    """Return the graph read from ``run.folder``."""
    return load_compiled(run)
