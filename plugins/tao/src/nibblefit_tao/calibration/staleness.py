"""Whether a calibration cache belongs to a model: TensorRT itself uses a stale one in silence.

Tensors of the model that the cache lacks are no fault: TensorRT runs their layers in a wider type,
and what a fused layer keeps to itself has no scale anyway.
"""

from __future__ import annotations

from pathlib import Path

import onnx

from nibblefit.errors import InputError
from nibblefit.nn.onnx_import.reading import read_model
from nibblefit_tao.calibration.cache import CalibrationCache, header

#: Tensors named in a text.
_SHOWN = 3


def require_fresh(cache: CalibrationCache, model: Path, version: str = "") -> None:
    """Raise unless a cache was made for a model, and for a version of TensorRT if one is given.

    Raises:
        InputError: Says everything that is stale.
    """
    problems = stale(cache, read_model(model)[0], version)
    if problems:
        raise InputError(f"the cache is not for {model}: {'; '.join(problems)}",
                         hint="calibrate that model, or compile it again")  # fmt: skip


def stale(cache: CalibrationCache, model: onnx.ModelProto, version: str = "") -> tuple[str, ...]:
    """Return what shows that a cache was made for something else.

    Args:
        cache: The cache.
        model: The ONNX model.
        version: Of TensorRT, such as ``10.3.0``; empty checks the names only.
    """
    problems = []
    if version:
        wanted = header(version).split("-")[1]
        found = cache.header.split("-")[1] if "-" in cache.header else cache.header
        if found != wanted:
            problems.append(f"its first line is '{cache.header}', TensorRT {version} wants "
                            f"TRT-{wanted} and skips it")  # fmt: skip
    constants = {item.name for item in model.graph.initializer}
    inputs = [item.name for item in model.graph.input if item.name not in constants]
    there = {*inputs, *(name for node in model.graph.node for name in node.output)}
    foreign = [name for name in cache.scales if name not in there]
    if foreign:
        problems.append(f"the model has no {_listed(foreign)}")
    missing = [name for name in inputs if name not in cache.scales]
    if missing:
        problems.append(f"it has no scale for the input {_listed(missing)}")
    return tuple(problems)


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"'{name[:60]}'" for name in names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
