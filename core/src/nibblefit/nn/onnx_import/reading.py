"""Read and check an ONNX file; whatever is wrong with the bytes ends in one `InputError`."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import checker, inliner

from nibblefit.errors import InputError, UnsupportedError, unreadable
from nibblefit.nn.onnx_import.external import load_external_data

OLDEST_OPSET = 11
_STANDARD = frozenset({"", "ai.onnx"})


def read_model(path: Path) -> tuple[onnx.ModelProto, int]:
    """Return the checked model, functions inlined and weights loaded, and its opset.

    Raises:
        InputError: The file is missing, damaged or inconsistent.
        UnsupportedError: Its opset is older or newer than what is understood.
    """
    model = _parsed(path)
    opset = _opset(model, path)
    load_external_data(model, path)
    try:
        checker.check_model(model)
        if model.functions:
            model = inliner.inline_local_functions(model)
    except Exception as problem:
        # The checker raises a class of its own, and plain RuntimeErrors from C++ as well.
        first = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise InputError(
            f"{path} breaks the ONNX standard: {first}", hint="export the network again"
        ) from problem
    return model, opset


def _parsed(path: Path) -> onnx.ModelProto:
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise unreadable(path, problem) from problem
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, RecursionError) as problem:
        raise InputError(
            f"{path} is not an ONNX file or is damaged: {problem}",
            hint="copy it again, or export the network again",
        ) from problem
    if not model.graph.node:
        raise InputError(f"{path} holds no network", hint="export the network again")
    return model


def _opset(model: onnx.ModelProto, path: Path) -> int:
    found = [entry.version for entry in model.opset_import if entry.domain in _STANDARD]
    newest = onnx.defs.onnx_opset_version()
    if not found:
        raise InputError(f"{path} names no ONNX opset", hint="export the network again")
    if not OLDEST_OPSET <= found[0] <= newest:
        raise UnsupportedError(
            f"{path} uses ONNX opset {found[0]}; expected {OLDEST_OPSET} to {newest}",
            hint="convert it with onnx.version_converter.convert_version(model, 17), "
            "or export it with opset_version=17",
        )
    return int(found[0])
