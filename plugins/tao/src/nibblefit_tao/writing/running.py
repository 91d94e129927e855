"""Runs ONNX models in onnxruntime as they stand: graph optimizations off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from nibblefit.errors import InputError, MissingExtraError


def run_onnx(model: onnx.ModelProto, inputs: Mapping[str, npt.NDArray[np.float32]],
             tensors: Sequence[str] = ()) -> dict[str, npt.NDArray[Any]]:  # fmt: skip
    """Return outputs and chosen tensors of a model, by name.

    Args:
        model: The model.
        inputs: By name, batch axis first.
        tensors: Further tensors to return.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        InputError: The model cannot be loaded, or the inputs do not fit it.
    """
    runtime = _runtime()
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    known = {value.name for value in watched.graph.output}
    for name in dict.fromkeys(tensors):
        if name not in known:
            watched.graph.output.append(onnx.ValueInfoProto(name=name))
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(watched.SerializeToString(), options,
                                           providers=["CPUExecutionProvider"])  # fmt: skip
        names = [value.name for value in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))
    except Exception as problem:  # onnxruntime raises many classes of its own
        line = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise InputError(
            f"onnxruntime refuses the model: {line}",
            hint="compile again, and give inputs of the network's shape",
        ) from problem


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as problem:
        raise MissingExtraError(
            "running ONNX models", "runtime", distribution="nibblefit-tao"
        ) from problem
    return onnxruntime
