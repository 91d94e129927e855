"""Runs ONNX models in onnxruntime as they stand: graph optimizations off, one thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx

from nibblefit.errors import InputError, MissingExtraError


def run_onnx(model: onnx.ModelProto | Path | str, inputs: Mapping[str, npt.NDArray[Any]],
             tensors: Sequence[str] = ()) -> dict[str, npt.NDArray[Any]]:  # fmt: skip
    """Return outputs and chosen tensors of a model, by name.

    Args:
        model: The model or its file.
        inputs: By name, batch axis first.
        tensors: Further tensors to return, such as outputs of QuantizeLinear.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        InputError: The model cannot be loaded, or the inputs do not fit it.
    """
    runtime = _runtime()
    watched = onnx.ModelProto()
    watched.CopyFrom(onnx.load(str(model)) if isinstance(model, Path | str) else model)
    known = {value.name for value in watched.graph.output}
    watched.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in dict.fromkeys(tensors) if name not in known
    )
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
            hint="write the file again, and give inputs of the network's shape",
        ) from problem


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as problem:
        raise MissingExtraError("running ONNX models", "runtime") from problem
    return onnxruntime
