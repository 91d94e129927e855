"""Runs QDQ files in onnxruntime, tensors of codes kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from nibblefit.errors import InputError, MissingExtraError


def run_onnx(model: onnx.ModelProto, inputs: Mapping[str, npt.NDArray[np.float32]],
             tensors: Sequence[str] = ()) -> dict[str, npt.NDArray[Any]]:  # fmt: skip
    """Return outputs and chosen tensors of a model, with graph optimizations off.

    Samples run one by one where the model's batch is 1.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        InputError: The model cannot be loaded, or the inputs do not fit it.
    """
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    known = {value.name for value in watched.graph.output}
    watched.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in dict.fromkeys(tensors) if name not in known
    )
    session = _session(watched)
    names = [value.name for value in session.get_outputs()]
    one_by_one = session.get_inputs()[0].shape[0] == 1
    count = len(next(iter(inputs.values())))
    parts = [slice(i, i + 1) for i in range(count)] if one_by_one else [slice(None)]
    try:
        found = [session.run(names, {key: value[part] for key, value in inputs.items()})
                 for part in parts]  # fmt: skip
    except Exception as problem:  # onnxruntime raises many classes of its own
        raise _refused(problem) from problem
    return {name: np.concatenate([part[index] for part in found])
            for index, name in enumerate(names)}  # fmt: skip


def _session(model: onnx.ModelProto) -> Any:
    try:
        import onnxruntime
    except ImportError as problem:
        raise MissingExtraError(
            "running ONNX models", "runtime", distribution="nibblefit-vitis"
        ) from problem
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as problem:  # onnxruntime raises many classes of its own
        raise _refused(problem) from problem


def _refused(problem: Exception) -> InputError:
    line = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
    return InputError(f"onnxruntime refuses the model: {line}", hint="export the model again")
