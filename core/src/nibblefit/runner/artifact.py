"""The proof that compiled files say the same as the graph they were made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nibblefit.errors import MismatchError, PluginError
from nibblefit.fixed.formats import IntArray
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.results import Artifact
from nibblefit.workspace.storage import file_digest

#: Random inputs run through both graphs, beside the two extreme ones.
_RANDOM_INPUTS = 4


def check_files(artifact: Artifact, folder: Path, owner: str) -> None:
    """Refuse an artifact whose list of files is not what lies in the folder.

    Raises:
        PluginError: A listed file is missing, lies outside or has another digest.
    """
    root = folder.resolve()
    for file in artifact.files:
        path = (root / file.path).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            raise PluginError(
                f"compile of {owner} lists '{file.path}', which is not in the step's folder",
                hint="write every file below run.folder, and list it relative to that",
            )
        if file_digest(path) != file.sha256:
            raise PluginError(f"compile of {owner} lists '{file.path}' with a wrong SHA-256")


def check_read_back(graph: QuantizedGraph, back: QuantizedGraph, owner: str, seed: int) -> None:
    """Check that the graph read back from the files gives the same integers.

    Names inside the graph may have been lost on the way; inputs, outputs and every output code
    must be the same. The judge runs both graphs on the two extreme and on random inputs.

    Raises:
        MismatchError: They differ; names the output, the place and both codes.
    """
    from nibblefit.ir.reference import run
    from nibblefit.ir.store import digest

    if digest(graph) == digest(back):
        return
    _check_ends(graph, back, owner)
    inputs = sample_inputs(graph, seed)
    renamed = {new: inputs[old] for old, new in zip(graph.inputs, back.inputs, strict=True)}
    expected, found = run(graph, inputs).outputs, run(back, renamed).outputs
    for name, other in zip(graph.outputs, back.outputs, strict=True):
        difference = np.argwhere(expected[name] != found[other])
        if len(difference):
            place = tuple(int(i) for i in difference[0])
            raise MismatchError(
                f"the files written by {owner} do not give the compiled graph's integers: output "
                f"'{name}' at {place} is {int(expected[name][place])} in the graph and "
                f"{int(found[other][place])} read back; {len(difference)} of "
                f"{expected[name].size} codes differ",
                hint="a weight, bias or shift was written wrongly; report this to its authors",
            )


def sample_inputs(graph: QuantizedGraph, seed: int) -> dict[str, IntArray]:
    """Return a batch of input codes: all smallest, all largest, then random ones."""
    random = np.random.default_rng(seed)
    inputs = {}
    for name in graph.inputs:
        tensor = graph.tensors[name]
        lo, hi = tensor.format.lo, tensor.format.hi
        codes = random.integers(lo, hi, (2 + _RANDOM_INPUTS, *tensor.shape), endpoint=True)
        codes[0], codes[1] = lo, hi
        inputs[name] = codes.astype(np.int64)
    return inputs


def _check_ends(graph: QuantizedGraph, back: QuantizedGraph, owner: str) -> None:
    for end in ("inputs", "outputs"):
        before = [_face(graph, name) for name in getattr(graph, end)]
        after = [_face(back, name) for name in getattr(back, end)]
        if before != after:
            raise MismatchError(
                f"the files written by {owner} have other {end} than the compiled graph: "
                f"{after} read back, {before} in the graph",
                hint="report this to the plugin's authors",
            )


def _face(graph: QuantizedGraph, name: str) -> tuple[object, ...]:
    tensor = graph.tensors[name]
    return tensor.shape, tensor.format.bits, tensor.format.signed
