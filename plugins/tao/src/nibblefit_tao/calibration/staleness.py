"""Whether a calibration cache belongs to a model: TensorRT itself uses a stale one in silence.

Tensors of the model that the cache lacks are no fault: TensorRT runs their layers in a wider type,
and what a fused layer keeps to itself has no scale anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx

from nibblefit.errors import InputError
from nibblefit.nn.onnx_import.reading import read_model
from nibblefit_tao.calibration.cache import CalibrationCache, header

#: Property of a model that was compiled with a cache: the cache's digest. Names alone cannot tell
#: the caches of two trainings of one network apart.
CALIBRATION_KEY = "nibblefit.calibration"
#: First major version without calibration. Source: "Migrating from TensorRT 10.x to 11.x".
_WITHOUT_CACHES = 11
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


def require_version(cache: CalibrationCache, version: str) -> None:
    """Raise unless a version of TensorRT takes a cache.

    Raises:
        InputError: It does not, or reads none.
    """
    for problem in _of_version(cache, version):
        raise InputError(problem, hint="build from the model with quantizers")


def stale(cache: CalibrationCache, model: onnx.ModelProto, version: str = "") -> tuple[str, ...]:
    """Return what shows that a cache was made for something else.

    Args:
        cache: The cache.
        model: The ONNX model.
        version: Of TensorRT, such as ``10.3.0``; empty checks the names only.
    """
    problems = [*_of_version(cache, version)] if version else []
    constants = {item.name for item in model.graph.initializer}
    inputs = [item.name for item in model.graph.input if item.name not in constants]
    there = {*inputs, *(name for node in model.graph.node for name in node.output)}
    foreign = [name for name in cache.scales if name not in there]
    if foreign:
        problems.append(f"the model has no {_listed(foreign)}")
    missing = [name for name in inputs if name not in cache.scales]
    if missing:
        problems.append(f"it has no scale for the input {_listed(missing)}")
    stated = {item.key: item.value for item in model.metadata_props}.get(CALIBRATION_KEY)
    if stated not in (None, cache.digest()) and not foreign:
        problems.append("its scales are not those that the model was compiled with")
    return tuple(problems)


def _of_version(cache: CalibrationCache, version: str) -> Iterator[str]:
    wanted = header(version).split("-")[1]
    found = cache.header.split("-")[1] if "-" in cache.header else cache.header
    if int(version.partition(".")[0]) >= _WITHOUT_CACHES:
        yield f"TensorRT {version} reads no caches, only quantizers in the model"
    elif found != wanted:
        yield (f"its first line is '{cache.header}', TensorRT {version} wants TRT-{wanted} and "
               "skips it")  # fmt: skip


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"'{name[:60]}'" for name in names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
