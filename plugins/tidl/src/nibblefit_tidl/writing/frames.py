"""Calibration frames: real samples, chosen by the run's seed."""

from __future__ import annotations

import numpy as np

from nibblefit.data.source import Split
from nibblefit.errors import InputError
from nibblefit.fixed.formats import IntArray
from nibblefit.fixed.quantize import quantize
from nibblefit.ir.graph import FloatConstant
from nibblefit.ir.numerics import Numerics
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.run import Run
from nibblefit.training.batches import SplitReader
from nibblefit_tidl.writing.folder import Folder

#: Folder of single frames, and the list of their names in it.
FRAMES, LIST = "calibration", "calibration/list.txt"


def calibration_frames(run: Run, count: int) -> FloatConstant:
    """Return at most `count` calibration samples, (count, channels, *spatial), float32.

    Raises:
        InputError: There is none.
    """
    reader = SplitReader(run.calibration_data, Split.TRAIN, run.task)
    chosen = np.sort(np.random.default_rng(run.seed).permutation(len(reader))[:count])
    if not len(chosen):
        raise InputError(
            "there is no sample to calibrate with: the list of calibration frames would be empty",
            hint="check [data] (the training split is empty) and quantize.calibration_samples",
        )
    return np.asarray(reader.read(chosen)[0].numpy(), np.float32)


def frame_codes(graph: QuantizedGraph, numerics: Numerics, frames: FloatConstant) -> IntArray:
    """Return frames as codes of the network's input."""
    form = graph.tensors[graph.inputs[0]].format
    return quantize(frames.astype(np.float64), form, numerics.inputs.rounding)


def add_frames(folder: Folder, frames: FloatConstant, *, pixels: bool = False) -> None:
    """Write every frame as raw little-endian float32, or as bytes, and a list of their paths."""
    kind = "u1" if pixels else "<f4"
    names = [f"{FRAMES}/{index:04d}.bin" for index in range(len(frames))]
    for name, frame in zip(names, frames, strict=True):
        folder.add("frame", name, np.ascontiguousarray(frame, kind).tobytes())
    folder.add("calibration", LIST, "".join(f"{name}\n" for name in names))
