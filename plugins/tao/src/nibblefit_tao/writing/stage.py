"""The compile stage and reading back: explicit QDQ first, the older calibration route beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import onnx

from nibblefit.errors import InputError
from nibblefit.ir.graph import Graph
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.ir.store import digest
from nibblefit.nn.onnx_export.entry import to_onnx
from nibblefit.quantization.fold import fold
from nibblefit.quantization.qdq.reading import Meaning, read_qdq
from nibblefit.quantization.qdq.writing import QdqStyle, qdq_model
from nibblefit.results import Artifact, ArtifactFile
from nibblefit.run import Run
from nibblefit.tasks.detection import Detection
from nibblefit.workspace.storage import file_digest, write_file
from nibblefit_tao.calibration.cache import from_ranges, header
from nibblefit_tao.calibration.scales import scales_text
from nibblefit_tao.calibration.staleness import CALIBRATION_KEY
from nibblefit_tao.numerics import LEVELS, numerics_of
from nibblefit_tao.options import TaoOptions
from nibblefit_tao.plan import QAT_PHASE
from nibblefit_tao.writing.detector import detector_text
from nibblefit_tao.writing.readme import command_for, command_text, readme

QDQ, FLOAT, CACHE, SCALES, LABELS = (
    "model_int8_qdq.onnx", "model.onnx", "calibration.cache", "tensor_scales.json", "labels.txt",
)  # fmt: skip
README, COMMANDS, DETECTOR = "README.md", "trtexec.txt", "detector.json"
ROLES: Mapping[str, str] = {
    QDQ: "qdq", FLOAT: "onnx", CACHE: "cache", SCALES: "scales", LABELS: "labels",
    README: "readme", COMMANDS: "commands", DETECTOR: "detector",
}  # fmt: skip
PER_CHANNEL_KEY = "nibblefit.per_channel"
#: TensorRT's importer wants real weights behind a quantizer, and biases that pass none.
STYLE = QdqStyle(float_weights=True, float_bias=True)


def compile_tao(run: Run, graph: QuantizedGraph) -> Artifact:
    """Write everything into the run's folder.

    Raises:
        InputError: The plan handed over no float model.
        UnsupportedError: A layer has no form in ONNX, or a bias no exact one.
    """
    options: TaoOptions = run.options
    if run.reference is None:
        raise InputError("compile needs the float model behind the integers",
                         hint="use this target's own plan")  # fmt: skip
    network = fold(run.reference.graph)
    contents = {**_models(graph, network, options), **_texts(run, graph, network)}
    for name, content in contents.items():
        write_file(run.folder / name, content)
    files = tuple(
        ArtifactFile(ROLES[name], PurePosixPath(name), file_digest(run.folder / name))
        for name in contents
    )
    command = command_for(network, options.tensorrt)
    notes = {"command": command, "tensorrt": options.tensorrt}
    return Artifact(run.recipe.target.name, run.part, digest(graph), files, notes)


def _models(graph: QuantizedGraph, network: Graph, options: TaoOptions) -> dict[str, bytes]:
    """Return both ONNX files and the cache, whose digest they know."""
    cache = from_ranges(tensor_ranges(graph), header(options.tensorrt))
    calibration = {CALIBRATION_KEY: cache.digest()}
    properties = {PER_CHANNEL_KEY: str(options.per_channel).lower(), **calibration}
    quantized = qdq_model(graph, numerics_of(per_channel=options.per_channel), properties, STYLE)
    floats = to_onnx(network)
    onnx.helper.set_model_props(floats, calibration)
    return {
        QDQ: quantized.SerializeToString(deterministic=True),
        FLOAT: floats.SerializeToString(deterministic=True),
        CACHE: cache.text().encode(),
    }


def _texts(run: Run, graph: QuantizedGraph, network: Graph) -> dict[str, bytes]:
    """Return the files that people and programs read."""
    options: TaoOptions = run.options
    ranges, names = tensor_ranges(graph), list(run.data.class_names)
    detection = isinstance(run.task, Detection)
    trained = graph.metadata.get("method") == QAT_PHASE
    texts = {
        SCALES: scales_text(ranges),
        LABELS: "\n".join((["background"] if detection else []) + names) + "\n",
        COMMANDS: command_text(network),
        README: readme(network, options, ranges, detection=detection, trained=trained),
    }
    if isinstance(run.task, Detection):
        texts[DETECTOR] = detector_text(network, run.task, run.recipe.data)
    return {name: text.encode() for name, text in texts.items()}


def read_back(run: Run, artifact: Artifact) -> QuantizedGraph:
    """Return the integers that the QDQ file holds.

    Raises:
        InputError: It is missing or damaged.
    """
    paths = [file.path for file in artifact.files if file.role == "qdq"]
    if len(paths) != 1:
        raise InputError(f"the artifact in {run.artifact_folder} holds {len(paths)} QDQ files, "
                         "expected one", hint="compile again")  # fmt: skip
    return read_integers(run.artifact_folder / paths[0])


def read_integers(path: Path) -> QuantizedGraph:
    """Return the integer graph of a QDQ file of this target."""
    return read_qdq(path, "tao", _meaning_of)


def tensor_ranges(graph: QuantizedGraph) -> dict[str, float]:
    """Return the largest magnitude of every quantized activation: 127 steps of its scale."""
    found = {}
    for name, tensor in graph.tensors.items():
        if name not in graph.constants and len(tensor.format.scale) == 1:
            found[name] = float(tensor.format.scale.values()[0]) * LEVELS
    return found


def _meaning_of(properties: Mapping[str, str]) -> Meaning:
    words = {"true": True, "false": False}
    return Meaning(numerics_of(per_channel=words[properties[PER_CHANNEL_KEY]]), False)
