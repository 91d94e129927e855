"""What the user does with the files, in words and as commands.

Source of the options: TensorRT developer guide, command-line program trtexec.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from nibblefit.ir.graph import Graph
from nibblefit_tao.options import TaoOptions

#: Batch sizes of the engine: least, best, most.
_BATCHES = (1, 8, 16)
_TEXT = """# {name}: files for TensorRT

| file | what it is |
|---|---|
| `model_int8_qdq.onnx` | explicit quantizers: the one to deploy; ONNX Runtime runs it too |
| `model.onnx` | the same network in float, batch norm folded |
| `calibration.cache` | {count} ranges for `model.onnx`, TensorRT {tensorrt} |
| `tensor_scales.json` | the same ranges as JSON |
| `labels.txt` | class names in the order of the outputs |
| `trtexec.txt` | the commands below |

TensorRT 10:

    {best}

TensorRT 8 and 9:

    {older}

By calibration cache, which TensorRT has deprecated since 10.1:

    {implicit}

{heads}
A cache is skipped without a word if its first line is for another version of TensorRT: set
`target.tensorrt` to yours and compile again. Caches belong to a network, not to a GPU. The ranges
come from {origin}.
`nibblefit tao cache calibration.cache --for model.onnx` tells whether a cache is stale.
"""


def commands(network: Graph) -> tuple[str, str, str]:
    """Return command lines for TensorRT 10, for 8 and 9, and for a calibration cache."""
    name = network.inputs[0]
    shape = "x".join(map(str, network.shapes[name]))
    words = ("--minShapes", "--optShapes", "--maxShapes")
    shapes = " ".join(
        f"{word}={shlex.quote(f'{name}:{count}x{shape}')}"
        for word, count in zip(words, _BATCHES, strict=True)
    )
    return (
        f"trtexec --onnx=model_int8_qdq.onnx {shapes} --stronglyTyped --saveEngine=model.engine",
        f"trtexec --onnx=model_int8_qdq.onnx {shapes} --int8 --fp16 --saveEngine=model.engine",
        (
            f"trtexec --onnx=model.onnx {shapes} --int8 --fp16 --calib=calibration.cache "
            "--saveEngine=model.engine"
        ),
    )


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
        else "training samples; there is no way here to calibrate on noise"
    )
    best, older, implicit = commands(network)
    heads = (
        "The outputs are maps of locations and class scores for each level; anchors, decoding and "
        "suppression of overlaps run behind the engine. No plugin is needed.\n"
        if detection
        else ""
    )
    return _TEXT.format(
        name=network.name, count=len(ranges), tensorrt=options.tensorrt, best=best, older=older,
        implicit=implicit, heads=heads, origin=origin,
    )  # fmt: skip
