"""What this plugin adds to ``model.source``: Caffe is read, other front ends are refused."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from nibblefit.data.options import read_options
from nibblefit.hooks import ModelFormat, ModelRequest, RefusedFormat
from nibblefit.ir.graph import Graph


class CaffeArguments(BaseModel):
    """The recipe's ``[model.arguments]`` for a prototxt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    phase: Literal["test", "train"] = Field(
        default="test", description="Which layers count where a file has several phases."
    )
    missing: Literal["refuse", "fill"] = Field(
        default="refuse",
        description="Layers that the caffemodel lacks are refused, or drawn by their fillers.",
    )
    end: Literal["file", "scores"] = Field(
        default="file",
        description="Where the network ends: as in the file, or before its last softmax or argmax, "
        "as training wants it.",
    )


def _read_caffe(request: ModelRequest) -> Graph:
    from nibblefit_tidl.caffe.entry import import_caffe

    arguments = read_options(
        CaffeArguments, request.arguments, request.source.name, key="model.arguments"
    )
    missing = "fill" if request.match == "by_name" else arguments.missing
    network = import_caffe(
        request.source, request.weights, input_shape=request.input_shape,
        phase=arguments.phase, missing=missing, end=arguments.end, seed=request.seed,
    )  # fmt: skip
    request.notes.extend(network.notes)
    return network.graph


_TF = "python -m tf2onnx.convert"

MODEL_FORMATS: tuple[ModelFormat | RefusedFormat, ...] = (
    ModelFormat((".prototxt",), "Caffe network; weights: its .caffemodel", _read_caffe),
    RefusedFormat(
        (".caffemodel",),
        "the weights of a Caffe network",
        "set model.source to the .prototxt and model.weights to this file",
    ),
    RefusedFormat(
        (".pb",),
        "a TensorFlow graph",
        f"convert it: `{_TF} --graphdef net.pb --inputs input:0 --outputs logits:0 "
        "--inputs-as-nchw input:0 --opset 17 --output net.onnx` (pip install tf2onnx tensorflow; "
        "a TF-Slim checkpoint is frozen to .pb first), then model.source = 'net.onnx'",
    ),
    RefusedFormat(
        (".h5", ".hdf5", ".keras"),
        "a Keras model",
        "convert it: load it in TensorFlow, write `model.export('net')`, then "
        f"`{_TF} --saved-model net --opset 17 --output net.onnx` (pip install tf2onnx), and set "
        "model.source = 'net.onnx'",
    ),
    RefusedFormat(
        (".tflite",),
        "a TFLite model",
        f"convert the float model: `{_TF} --tflite net.tflite --opset 17 --output net.onnx` "
        "(pip install tf2onnx), then model.source = 'net.onnx'; a quantized one has lost its "
        "weights: start from the float network",
    ),
)
