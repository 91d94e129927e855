"""Runs ONNX models in onnxruntime as they stand: graph optimizations off, one thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from nibblefit.errors import InputError, MissingExtraError


def run_onnx(model: onnx.ModelProto | Path | str, inputs: Mapping[str, npt.NDArray[Any]],
             tensors: Sequence[str] = (), *,
             one_by_one: bool = False) -> dict[str, npt.NDArray[Any]]:  # fmt: skip
    """Return outputs and chosen tensors of a model, by name.

    Args:
        model: The model or its file.
        inputs: By name, batch axis first.
        tensors: Further tensors to return, such as outputs of QuantizeLinear.
        one_by_one: Give the model one sample at a time, as one of batch 1 needs it.

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
        found = [session.run(names, part) for part in _parts(inputs, one_by_one)]
    except Exception as problem:  # onnxruntime raises many classes of its own
        line = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise InputError(
            f"onnxruntime refuses the model: {line}",
            hint="write the file again, and give inputs of the network's shape",
        ) from problem
    whole = found[0] if len(found) == 1 else map(np.concatenate, zip(*found, strict=True))
    return dict(zip(names, whole, strict=True))


def _parts(inputs: Mapping[str, npt.NDArray[Any]],
           one_by_one: bool) -> list[dict[str, npt.NDArray[Any]]]:  # fmt: skip
    count = len(next(iter(inputs.values()))) if one_by_one and inputs else 1
    if count == 1:
        return [dict(inputs)]
    return [{name: values[i : i + 1] for name, values in inputs.items()} for i in range(count)]


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as problem:
        raise MissingExtraError("running ONNX models", "runtime") from problem
    return onnxruntime
