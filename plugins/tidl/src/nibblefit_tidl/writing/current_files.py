"""The compile stage of the current generation: ONNX, configurations, frames, script, README."""

from __future__ import annotations

from pathlib import Path

from nibblefit.errors import InputError
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.ir.store import load_quantized, save_quantized
from nibblefit.results import Artifact
from nibblefit.run import Run
from nibblefit_tidl.configuration.importer import importer_text
from nibblefit_tidl.configuration.provider import options_text
from nibblefit_tidl.current.modes import mode_of
from nibblefit_tidl.current.options import TidlOptions
from nibblefit_tidl.devices import Device, device_named
from nibblefit_tidl.front.stage import frame_run
from nibblefit_tidl.writing.current_readme import current_readme
from nibblefit_tidl.writing.folder import Folder
from nibblefit_tidl.writing.frames import add_frames, calibration_frames
from nibblefit_tidl.writing.front_files import TRAINED, front_files
from nibblefit_tidl.writing.models import MAKERS, Making, NotWritten, WrittenModel
from nibblefit_tidl.writing.preprocessing import pixels_text
from nibblefit_tidl.writing.reference import float_network

SCRIPT, SCALING, README, INTEGERS = "run_model.py", "pixels.json", "README.md", "integers"


def write_current(run: Run, graph: QuantizedGraph) -> Artifact:
    """Write everything that TI's current tools read into the run's folder.

    Raises:
        InputError: There is no calibration frame.
        UnsupportedError: A layer has no form in ONNX.
    """
    options: TidlOptions = run.options
    device = device_named(run.part)
    network = float_network(run)
    count = min(run.recipe.quantize.calibration_samples, options.calibration_frames)
    front = front_files(run, graph)
    frames = calibration_frames(frame_run(run), count)
    making = Making(network, graph, mode_of(device, options), options, len(frames), front)
    made = [maker(making) for maker in MAKERS]
    models = [one for one in made if isinstance(one, WrittenModel)]
    folder = Folder(run.folder)
    for model in models:
        _add_model(folder, model, device)
    add_frames(folder, frames, pixels=front.front is not None)
    channels = network.shapes[network.inputs[0]][0]
    pixels = pixels_text(run, channels)
    if pixels is not None:
        folder.add("pixels", SCALING, pixels)
    folder.add("script", SCRIPT, script_text())
    _add_integers(folder, graph)
    left_out = [one for one in made if isinstance(one, NotWritten)]
    folder.add("readme", README, current_readme(network, models, left_out, device, len(frames),
                                                front=front.front,
                                                pictures=pixels is not None))  # fmt: skip
    notes = {
        "command": f"python {SCRIPT} compile {models[-1].name}",
        "part": device.name,
        "models": tuple(model.name for model in models),
        "frames": len(frames),
    }
    return folder.artifact(graph, run.part, notes)


def read_current_back(run: Run, artifact: Artifact) -> QuantizedGraph:
    """Return the integers of an artifact: from its QDQ form, else from its integer files.

    Raises:
        InputError: A file is missing or damaged.
    """
    roles = {file.role: run.artifact_folder / file.path for file in artifact.files}
    if "qdq" in roles:
        from nibblefit_tidl.qdq.reading import read_qdq

        return read_qdq(roles["qdq"])
    if not (run.artifact_folder / INTEGERS).is_dir():
        raise InputError(f"the integers are missing from {run.artifact_folder}",
                         hint="run the compile stage again")  # fmt: skip
    return load_quantized(run.artifact_folder / INTEGERS)


def script_text() -> str:
    """Return the script that compiles and runs the models, which stands alone."""
    return (Path(__file__).parent / SCRIPT).read_text(encoding="utf-8")


def _add_model(folder: Folder, model: WrittenModel, device: Device) -> None:
    folder.add(model.name, f"{model.name}.onnx", model.content)
    if model.imported is not None:
        folder.add(TRAINED, f"{TRAINED}.onnx", model.imported)
    text = options_text(model.provider, device)
    folder.add(f"{model.name}_options", f"{model.name}_options.json", text)
    if model.importer is not None:
        text = importer_text(model.importer, device=device)
        folder.add(f"{model.name}_import", f"{model.name}_import.txt", text)


def _add_integers(folder: Folder, graph: QuantizedGraph) -> None:
    save_quantized(graph, folder.path / INTEGERS)
    for path in sorted((folder.path / INTEGERS).rglob("*")):
        if path.is_file():
            folder.adopt("integers", path.relative_to(folder.path).as_posix())
