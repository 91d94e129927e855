"""What the user does with the files, in words and as commands.

Source of the options: TensorRT developer guide, command-line program trtexec, and "Migrating
trtexec usage" from 8.x to 10.x and from 10.x to 11.x: 11 types every network strongly and knows
neither precisions nor calibration caches any more.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from nibblefit.ir.graph import Graph
from nibblefit_tao.options import TaoOptions

#: Batch sizes of the engine: least, best, most.
_BATCHES = (1, 8, 16)
#: First version that a line of `commands` is for, newest first; the last line is for caches.
_SINCE = (11, 10, 0)
_TEXT = """# {name}: files for TensorRT

| file | what it is |
|---|---|
| `model_int8_qdq.onnx` | explicit quantizers: the one to deploy; ONNX Runtime runs it too |
| `model.onnx` | the same network in float, batch norm folded |
| `calibration.cache` | {count} ranges for `model.onnx`, TensorRT {tensorrt} |
| `tensor_scales.json` | the same ranges as JSON |
| `labels.txt` | class names in the order of the outputs |
| `trtexec.txt` | the commands below |
{detector}
{lines}Both models have operator set 17, which TensorRT knows from 8.5 on. What has no quantizer
stays in float32 with TensorRT 10 and later; `--int8 --fp16` in place of `--stronglyTyped` lets
TensorRT 10 choose half precision for it.

{heads}TensorRT 11 reads no caches. Up to 10 it takes none whose first line is for another
version (the "calibration table does not match"), and trtexec then calibrates on noise or fails:
`nibblefit tao cache calibration.cache --tensorrt VERSION --out new.cache` writes it for yours. The
line names EntropyCalibration2 whatever the method was, since that is what trtexec asks for. Caches
belong to a network, not to a GPU.
The ranges come from {origin}.
`nibblefit tao cache calibration.cache --for model.onnx` tells whether a cache is stale, also one
from an earlier training of the same network.
"""
_DETECTOR = "| `detector.json` | anchors, and what else runs behind a detector's engine |\n"
_HEADS = """The outputs are maps of locations and class scores for each head; decoding and
suppression run behind the engine, no plugin is needed. `detector.json` holds the numbers:

* A head lists its anchors by row, column and entry of `anchors`, widths and heights in pixels. The
  centre of row r and column c lies at ((c + offset) * step[1], (r + offset) * step[0]).
* Channels are listed anchor by anchor: 4 locations, and a score for each of `classes`. With t the
  locations times `variances`, a box's centre is anchor centre + t[0:2] * anchor size, its size
  anchor size * exp(t[2:4]).
* `activation` makes scores of each anchor probabilities. Of each class but the background the best
  `candidates` boxes of at least `least_score` count, less those that a better one that stays
  overlaps by more than `largest_overlap`. The best `most_boxes` of all classes are the result.
* A byte u goes in as range[0] + u / 256 * (range[1] - range[0]), less `mean`, divided by `std`.

"""


def commands(network: Graph) -> dict[str, str]:
    """Return the command lines by what they are for, newest TensorRT first, then by cache."""
    name = network.inputs[0]
    shape = "x".join(map(str, network.shapes[name]))
    words = ("--minShapes", "--optShapes", "--maxShapes")
    shapes = " ".join(
        f"{word}={shlex.quote(f'{name}:{count}x{shape}')}"
        for word, count in zip(words, _BATCHES, strict=True)
    )
    quantized, save = f"trtexec --onnx=model_int8_qdq.onnx {shapes}", "--saveEngine=model.engine"
    return {
        "TensorRT 11": f"{quantized} {save}",
        "TensorRT 10": f"{quantized} --stronglyTyped {save}",
        "TensorRT 8.5 to 9": f"{quantized} --int8 --fp16 {save}",
        "TensorRT 8.5 to 10, by calibration cache (deprecated since 10.1)": (
            f"trtexec --onnx=model.onnx {shapes} --int8 --fp16 --calib=calibration.cache {save}"
        ),
    }


def command_for(network: Graph, tensorrt: str) -> str:
    """Return the command line for a version of TensorRT, such as ``10.3.0``."""
    major = int(tensorrt.partition(".")[0])
    return next(
        line
        for since, line in zip(_SINCE, commands(network).values(), strict=False)
        if major >= since
    )


def command_text(network: Graph) -> str:
    """Return the command lines as a file, a comment before each."""
    return "".join(f"# {words}\n{line}\n" for words, line in commands(network).items())


def readme(network: Graph, options: TaoOptions, ranges: Mapping[str, float], *,
           detection: bool, trained: bool = False) -> str:  # fmt: skip
    """Return the text that lies beside the files.

    Args:
        network: The folded float network.
        options: Of the target.
        ranges: Largest magnitude by tensor.
        detection: The outputs are a detector's.
        trained: The ranges come from quantized training.
    """
    origin = (
        "quantized training, so calibrating again would undo part of it"
        if trained
        else "real samples; there is no way here to calibrate on noise"
    )
    lines = "".join(f"{words}:\n\n    {line}\n\n" for words, line in commands(network).items())
    heads = _HEADS if detection else ""
    return _TEXT.format(
        name=network.name, count=len(ranges), tensorrt=options.tensorrt, lines=lines, heads=heads,
        origin=origin, detector=_DETECTOR if detection else "",
    )  # fmt: skip
