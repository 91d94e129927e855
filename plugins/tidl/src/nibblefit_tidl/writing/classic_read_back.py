"""Reads the classic files again: Caffe network, configuration and ranges into integers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nibblefit.errors import InputError
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.quantization.assign import calibrated_tensors
from nibblefit.quantization.fold import fold
from nibblefit.quantization.histogram import Histogram
from nibblefit.quantization.units import units
from nibblefit.results import Artifact
from nibblefit.run import Run
from nibblefit_tidl.caffe.entry import import_caffe
from nibblefit_tidl.classic.numerics import numerics_of
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.classic.quantize import quantize_folded
from nibblefit_tidl.configuration.classic import read_classic
from nibblefit_tidl.configuration.files import read_text

_NEEDED = ("prototxt", "caffemodel", "config", "ranges")


def read_classic_back(run: Run, artifact: Artifact) -> QuantizedGraph:
    """Return the integer graph that the files of an artifact say.

    The network and its weights come from the Caffe files, widths and rounding from the import
    configuration, what the first frame starts with from the ranges. What the files cannot hold
    because the application sets it at run time (history, margin) comes from the run's options.

    Raises:
        InputError: A file is missing or not what it should be.
    """
    paths = {file.role: run.artifact_folder / file.path for file in artifact.files}
    for role in _NEEDED:
        if role not in paths or not paths[role].is_file():
            raise InputError(f"the {role} file is missing from {run.artifact_folder}",
                             hint="run the compile stage again")  # fmt: skip
    config = read_classic(paths["config"])
    options: ClassicOptions = run.options.model_copy(
        update={"parameter_bits": config.num_param_bits, "round_add": config.quant_round_add}
    )
    network = fold(import_caffe(paths["prototxt"], paths["caffemodel"]).graph)
    parts = units(network, numerics_of(options))
    ranges = read_ranges(paths["ranges"])
    missing = [name for name in calibrated_tensors(network, parts) if name not in ranges]
    if missing:
        raise InputError(f"{paths['ranges'].name} has no range of tensor '{missing[0]}'",
                         hint="the files belong to different runs; compile again")  # fmt: skip
    histograms = {name: _histogram(*found) for name, found in ranges.items()}
    return quantize_folded(network, options, histograms, metadata={"part": artifact.part})[0]


def read_ranges(path: Path) -> dict[str, tuple[float, float]]:
    """Return tensor → (lowest, highest).

    Raises:
        InputError: It is no JSON object of pairs.
    """
    try:
        values: Any = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path.name}:{error.lineno}: not readable as JSON: {error.msg}",
                         hint="compile again") from error  # fmt: skip
    pairs = values.items() if isinstance(values, Mapping) else [("", None)]
    found = {}
    for name, pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2
                and all(isinstance(end, int | float) and np.isfinite(end) for end in pair)
                and pair[0] <= pair[1]):  # fmt: skip
            raise InputError(f"{path.name}: '{name}' is no pair of lowest and highest value",
                             hint="compile again")  # fmt: skip
        found[name] = (float(pair[0]), float(pair[1]))
    return found


def _histogram(lowest: float, highest: float) -> Histogram:
    histogram = Histogram()
    histogram.extend_range(lowest, highest)
    histogram.add(torch.tensor([lowest, highest], dtype=torch.float64))
    return histogram
