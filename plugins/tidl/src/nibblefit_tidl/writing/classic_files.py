"""The compile stage of the classic generation: Caffe network, configuration, frames, README."""

from __future__ import annotations

import json

import numpy as np

from nibblefit.ir.graph import FloatConstant
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.results import Artifact
from nibblefit.run import Run
from nibblefit_tidl.caffe.writing import write_caffe
from nibblefit_tidl.classic.kernels import kernel_choices
from nibblefit_tidl.classic.numerics import numerics_of
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.configuration.classic import classic_text
from nibblefit_tidl.devices import classic_device_named
from nibblefit_tidl.front.stage import frame_run, front_of
from nibblefit_tidl.writing.classic_config import (
    CONFIG,
    NETWORK,
    SAMPLES,
    WEIGHTS,
    classic_config,
    group_ids,
)
from nibblefit_tidl.writing.classic_readme import classic_readme
from nibblefit_tidl.writing.folder import Folder
from nibblefit_tidl.writing.frames import calibration_frames, frame_codes
from nibblefit_tidl.writing.reference import float_network

#: Ranges that the frames start from, as measured by calibration: tensor → lowest, highest.
RANGES = "ranges.json"
README = "README.md"
#: Frames in the sample file; the importer runs each on the host, slowly.
MOST_FRAMES = 16


def write_classic(run: Run, graph: QuantizedGraph) -> Artifact:
    """Write everything that TI's classic importer reads into the run's folder.

    Raises:
        InputError: There is no calibration frame.
        UnsupportedError: A layer has no form in Caffe; lists all of them.
    """
    options: ClassicOptions = run.options
    network, device = float_network(run), classic_device_named(run.part)
    count = min(MOST_FRAMES, run.recipe.quantize.calibration_samples)
    frames = calibration_frames(frame_run(run), count)
    kernels = kernel_choices(network, options.kernel)
    config = classic_config(network, graph, options, len(frames), kernels,
                            groups=group_ids(network, device, options))  # fmt: skip
    folder = Folder(run.folder)
    write_caffe(network, run.folder / NETWORK, run.folder / WEIGHTS)
    folder.adopt("prototxt", NETWORK)
    folder.adopt("caffemodel", WEIGHTS)
    folder.add("config", CONFIG, classic_text(config))
    folder.add("sample", SAMPLES, _raw(graph, options, frames))
    ranges = {name: list(found) for name, found in graph.metadata["ranges"].items()}
    folder.add("ranges", RANGES, json.dumps(ranges, indent=1) + "\n")
    folder.add(
        "readme",
        README,
        classic_readme(network, graph, config, options, device, front=front_of(run)),
    )
    notes = {"command": f"tidl_model_import.out {CONFIG}", "part": device.name,
             "frames": len(frames)}  # fmt: skip
    return folder.artifact(graph, run.part, notes)


def _raw(graph: QuantizedGraph, options: ClassicOptions, frames: FloatConstant) -> bytes:
    """Return the frames' codes one after the other, planar, one byte a value."""
    codes = frame_codes(graph, numerics_of(options), frames)
    form = graph.tensors[graph.inputs[0]].format
    return codes.astype(np.int8 if form.signed else np.uint8).tobytes()
