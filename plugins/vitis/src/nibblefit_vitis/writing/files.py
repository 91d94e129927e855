"""`write_all`: every file of a quantized network, and `read_network`: the way back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import nibblefit
from nibblefit.data.scaling import Scaling
from nibblefit.errors import InputError, UnsupportedError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.store import digest
from nibblefit.results import ArtifactFile
from nibblefit_vitis.formats import NetworkFormats
from nibblefit_vitis.settings import Device, Kind, NetworkSetting
from nibblefit_vitis.simulation.effective import effective
from nibblefit_vitis.writing.arch import arch_for
from nibblefit_vitis.writing.bias_corrections import corrections_bytes
from nibblefit_vitis.writing.compiler import Compilation, input_shape_option
from nibblefit_vitis.writing.folder import Folder
from nibblefit_vitis.writing.onnx_form.writing import onnx_bytes, to_qdq
from nibblefit_vitis.writing.quant_info import quant_info_text
from nibblefit_vitis.writing.readme import Contents, readme_text
from nibblefit_vitis.writing.summary import Summary, summary_of
from nibblefit_vitis.writing.verifying import CHECKSUMS
from nibblefit_vitis.xir.encoding import encode
from nibblefit_vitis.xir.importing.names import names_from
from nibblefit_vitis.xir.importing.network import ReadNetwork, network_of
from nibblefit_vitis.xir.names import cleaned
from nibblefit_vitis.xir.network import Exported, to_xir
from nibblefit_vitis.xir.reading import read_xmodel

QUANT_INFO, BIASES, ARCH = "quant_info.json", "bias_corr.pth", "arch.json"
SUMMARY, SUMMARY_JSON, NAMES, README = (
    "deployment.txt", "deployment.json", "names.json", "README.md",
)  # fmt: skip
#: Where the vendor's compiler puts its results, below the folder.
COMPILED = "compiled"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the files say beside the network itself.

    Attributes:
        arch: Name or fingerprint of the DPU where it is not the part's usual one.
        scaling: From stored values to inputs; None: unknown.
        class_names: In the order of the scores.
        corrections: What was taken off float biases, by name of the bias.
        fast_finetuned: Whether weights were trained after calibration.
        compiler_options: More keys for the compiler's ``--options``.
    """

    arch: str = ""
    scaling: Scaling | None = None
    class_names: tuple[str, ...] = ()
    corrections: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=frozen_mapping)
    fast_finetuned: bool = False
    compiler_options: Mapping[str, str] = field(default_factory=frozen_mapping)


@dataclass(frozen=True, slots=True)
class Written:
    """What stands in the folder.

    Attributes:
        files: In order of writing.
        command: Line that compiles the network; empty where there is no xmodel.
        summary: What a program on the board must know.
        left_out: File → why this network does not have it.
    """

    files: tuple[ArtifactFile, ...]
    command: str
    summary: Summary
    left_out: Mapping[str, str]


class _Network(NamedTuple):
    graph: Graph
    formats: NetworkFormats
    setting: NetworkSetting


def write_all(folder: Path, graph: Graph, formats: NetworkFormats, setting: NetworkSetting,
              part: str, *, deployment: Deployment | None = None) -> Written:  # fmt: skip
    """Write xmodel, ``quant_info.json``, ONNX, ``arch.json``, summary and README, at batch 1.

    A form that the network does not have (such as an xmodel of float scales) is left out and named.

    Args:
        folder: Where to; it is made.
        graph: Prepared float graph, biases corrected, batch norms folded.
        formats: Aligned.
        setting: As calibrated.
        part: Board or DPU.
        deployment: What else there is to say.

    Raises:
        InputError: The part or the DPU is unknown.
        WorkspaceError: A file cannot be written.
    """
    given, place, left_out = deployment or Deployment(), Folder(folder), dict[str, str]()
    network = _Network(graph, formats, setting)
    arch = arch_for(part, given.arch)
    stem = f"{cleaned(graph.name) or 'network'}_int"
    exported = _add_xmodel(place, f"{stem}.xmodel", left_out, network)
    _add_quant_info(place, graph, formats, setting, given)
    if given.corrections:
        place.add("bias_corrections", BIASES, corrections_bytes(graph, given.corrections))
    _add_onnx(place, f"{stem}.onnx", left_out, network)
    place.add("arch", ARCH, arch.text())
    for name in (*left_out, BIASES, NAMES):
        place.drop_older(name)
    command = _command(graph, stem, given) if exported is not None else ""
    notes = [f"{name} is missing: {reason}" for name, reason in left_out.items()]
    summary = summary_of(
        graph, formats, part, arch, xmodel_names=_end_names(graph, exported),
        rounding=effective(setting, graph.inputs[0], Kind.INPUT).round_mode,
        scaling=given.scaling, class_names=given.class_names, notes=notes,
    )  # fmt: skip
    contents = Contents(stem, command, summary, bool(given.corrections), frozen_mapping(left_out))
    _add_words(place, contents)
    return Written(tuple(place.files), command, summary, frozen_mapping(left_out))


def _add_words(place: Folder, contents: Contents) -> None:
    """Write what is for people and programs, and at last the digests of everything."""
    place.add("summary", SUMMARY, contents.summary.as_text())
    place.add("summary", SUMMARY_JSON, contents.summary.as_json())
    place.add("readme", README, readme_text(contents))
    place.add("checksums", CHECKSUMS, json.dumps(place.checksums(), indent=1) + "\n")


def read_network(folder: Path) -> ReadNetwork | None:
    """Return the network that a folder's xmodel states, under our names; None: it has none.

    Raises:
        InputError: A file is damaged.
    """
    found = sorted(folder.glob("*_int.xmodel"))
    if not found:
        return None
    path = folder / NAMES
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"{path} cannot be read", hint="run the compile stage again") from problem
    return network_of(read_xmodel(found[0]), names_from(text, str(path)), str(found[0]))


def _add_xmodel(place: Folder, name: str, left_out: dict[str, str],
                network: _Network) -> Exported | None:  # fmt: skip
    try:
        exported = to_xir(*network)
    except UnsupportedError as problem:
        left_out[name] = problem.what
        return None
    place.add("xmodel", name, encode(exported.graph))
    place.add("names", NAMES, exported.names.as_json())
    return exported


def _add_onnx(place: Folder, name: str, left_out: dict[str, str], network: _Network) -> None:
    try:
        place.add("onnx", name, onnx_bytes(to_qdq(*network)))
    except UnsupportedError as problem:
        left_out[name] = problem.what


def _add_quant_info(place: Folder, graph: Graph, formats: NetworkFormats,
                    setting: NetworkSetting, given: Deployment) -> None:  # fmt: skip
    text = quant_info_text(
        graph, formats, fast_finetuned=given.fast_finetuned,
        bias_corrected=bool(given.corrections), version=f"nibblefit-{nibblefit.__version__}",
        graph_md5=hashlib.md5(digest(graph).encode(), usedforsecurity=False).hexdigest(),
        as_scales=setting.device in (Device.CPU, Device.GPU),
    )  # fmt: skip
    place.add("quant_info", QUANT_INFO, text)


def _command(graph: Graph, stem: str, given: Deployment) -> str:
    shape = input_shape_option(graph.shapes[graph.inputs[0]])
    options = {"input_shape": shape, **given.compiler_options}
    name = stem.removesuffix("_int")
    return Compilation(f"{stem}.xmodel", ARCH, COMPILED, name, options).command()


def _end_names(graph: Graph, exported: Exported | None) -> tuple[str, ...]:
    """Return the names of inputs and outputs in the xmodel."""
    if exported is None:
        return ()
    data = [op.name for op in exported.graph.operators if op.kind == "data"]
    return (*data[: len(graph.inputs)], *exported.names.outputs)
