"""Finds the float model an integer graph was made from, by content, in the run folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.ir.store import digest
from nibblefit.models import Model
from nibblefit.run import Run
from nibblefit.workspace.manifest import Manifest
from nibblefit.workspace.opened import OpenRun

_RESULT = "result of "


def float_origin(run: Run, graph: QuantizedGraph) -> Model | None:
    """Return the model that went into the step that made `graph`; None outside a run folder.

    The step is recognised by the digest of its graph, and the model by the digest recorded there,
    so neither another round nor an older result can be mistaken for it.
    """
    root = _run_folder(run.folder)
    if root is None:
        return None
    opened = OpenRun(root)
    manifests = {name: opened.manifest(name) for name in opened.steps}
    wanted = digest(graph)
    for name, manifest in reversed(manifests.items()):
        if manifest.kind == "quantized" and digest(opened.graph(name)) == wanted:
            source = _model_step(manifest, manifests.items())
            return opened.model(source) if source else None
    return None


def _run_folder(folder: Path) -> Path | None:
    for parent in folder.absolute().parents:
        if parent.name == "stages":
            return parent.parent
    return None


def _model_step(made: Manifest, known: Iterable[tuple[str, Manifest]]) -> str:
    digests = {value for key, value in made.ingredients.items() if key.startswith(_RESULT)}
    for name, manifest in known:
        if manifest.kind == "model" and manifest.digest in digests:
            return name
    return ""
