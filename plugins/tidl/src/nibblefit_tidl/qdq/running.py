"""Runs QDQ models in onnxruntime, every tensor of codes kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from nibblefit.errors import InputError, MissingExtraError


def run_onnx(model: onnx.ModelProto | Path | str, inputs: Mapping[str, npt.NDArray[Any]],
             tensors: Sequence[str] = ()) -> dict[str, npt.NDArray[Any]]:  # fmt: skip
    """Return outputs and chosen tensors of a model, with graph optimizations off.

    Args:
        model: The model or its file.
        inputs: By name.
        tensors: Further tensors to return, such as outputs of QuantizeLinear.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        InputError: The model cannot be loaded, or the inputs do not fit it.
    """
    runtime = _runtime()
    loaded = onnx.load(str(model)) if isinstance(model, Path | str) else model
    watched = onnx.ModelProto()
    watched.CopyFrom(loaded)
    known = {value.name for value in watched.graph.output}
    for name in dict.fromkeys(tensors):
        if name not in known:
            watched.graph.output.append(onnx.ValueInfoProto(name=name))
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
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
            hint="nibblefit tidl lint says what is wrong with it",
        ) from problem


def codes_of(model: onnx.ModelProto, inputs: Mapping[str, npt.NDArray[np.float32]],
             names: Mapping[str, str]) -> dict[str, npt.NDArray[np.int64]]:  # fmt: skip
    """Return the codes that onnxruntime computes, as int64.

    Args:
        model: A QDQ model.
        inputs: Real inputs by name.
        names: Name in the result → name of a tensor of codes in the model.
    """
    found = run_onnx(model, inputs, tuple(names.values()))
    return {name: found[source].astype(np.int64) for name, source in names.items()}


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as problem:
        raise MissingExtraError(
            "running ONNX models", "runtime", distribution="nibblefit-tidl"
        ) from problem
    return onnxruntime
