"""Weights kept outside an ONNX file, read without ever leaving the file's folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from nibblefit.errors import InputError

_HINT = "keep the weights file beside the .onnx file, or save the model in one file"


def load_external_data(model: onnx.ModelProto, path: Path) -> None:
    """Read external tensor data into the model.

    Raises:
        InputError: A location leaves the folder, is missing or is too short.
    """
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            tensor.raw_data = _read(tensor, path)
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]
    for node in (*model.graph.node, *(n for f in model.functions for n in f.node)):
        for attribute in node.attribute:
            if any(t.data_location == TensorProto.EXTERNAL for t in _tensors_of(attribute)):
                raise InputError(
                    f"node '{node.name or node.op_type}' of {path} keeps its constant in "
                    f"another file; only initializers may",
                    hint=_HINT,
                )


def _tensors_of(attribute: onnx.AttributeProto) -> list[TensorProto]:
    sparse = (attribute.sparse_tensor, *attribute.sparse_tensors)
    parts = [tensor for entry in sparse for tensor in (entry.values, entry.indices)]
    return [attribute.t, *attribute.tensors, *parts]


def _read(tensor: TensorProto, path: Path) -> bytes:
    facts = {entry.key: entry.value for entry in tensor.external_data}
    where = f"weights '{tensor.name}' of {path}"
    source = _inside(facts.get("location", ""), path, where)
    try:
        offset, length = int(facts.get("offset", 0)), int(facts.get("length", _bytes(tensor)))
    except ValueError as problem:
        raise InputError(
            f"{where} have a damaged place in {source}: {problem}", hint=_HINT
        ) from problem
    if offset < 0 or length != _bytes(tensor) or offset + length > source.stat().st_size:
        raise InputError(
            f"{where} lie at bytes {offset} to {offset + length} of {source}, which has "
            f"{source.stat().st_size}; expected {_bytes(tensor)} bytes",
            hint=_HINT,
        )
    with source.open("rb") as stream:
        stream.seek(offset)
        return stream.read(length)


def _inside(location: str, path: Path, where: str) -> Path:
    folder = path.parent.resolve()
    try:
        source = (folder / location).resolve()
        fits = bool(location) and source.is_relative_to(folder) and source.is_file()
    except (OSError, ValueError):
        fits = False
    if not fits:
        raise InputError(
            f"{where} are said to be in '{location}', which is not a file in {folder}", hint=_HINT
        )
    return source


def _bytes(tensor: TensorProto) -> int:
    kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return int(np.prod(tensor.dims, dtype=np.int64)) * int(np.dtype(kind).itemsize)
