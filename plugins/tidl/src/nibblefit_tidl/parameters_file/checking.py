"""What makes a quantization-parameter file unusable, in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from nibblefit.errors import InputError
from nibblefit_tidl.parameters_file.message import (
    CalibType,
    LayerParameters,
    NetworkParameters,
    QuantType,
    TensorParameters,
)

#: Largest and smallest normal float32, which stand for "never seen" in files of the tools.
FLT_MAX, FLT_MIN = 3.4028234663852886e38, 1.1754943508222875e-38
#: Widths of layers. Source: numFeatureBits of the importer; 32 is float emulation.
WIDTHS = (8, 16, 32)
#: More are counted, not listed.
_LISTED = 8


def problems_of(found: NetworkParameters) -> list[str]:
    """Return everything wrong with parameters, each with its place; empty if they are valid.

    Valid are: the number of layers as declared, finite minima and maxima in every tensor, as many
    values as sizes of biases, symmetric, names that are unique.
    """
    return [*_network(found), *(text for layer in found.layers for text in _layer(layer))]


def require_valid(found: NetworkParameters, where: str) -> None:
    """Raise unless parameters are valid.

    Raises:
        InputError: Lists the first problems, and counts the rest.
    """
    problems = problems_of(found)
    if not problems:
        return
    rest = len(problems) - _LISTED
    lines = problems[:_LISTED] + ([f"and {rest} more"] if rest > 0 else [])
    listed = "".join(f"\n  • {line}" for line in lines)
    raise InputError(
        f"{where} holds no usable quantization parameters{listed}",
        hint="delete it and calibrate again: an absent file is written, a present one is read",
    )


def _network(found: NetworkParameters) -> Iterator[str]:
    if found.num_layers != len(found.layers):
        yield f"num_layers is {found.num_layers}, the file has {len(found.layers)} layers"
    if not found.layers:
        yield "there is no layer"
    if found.quant_type is not QuantType.SYMMETRIC:
        yield f"quant_type is {found.quant_type}; the tools read SYMMETRIC files alone"
    if found.calib_type is CalibType.PERCHANNEL and not any(
        len(tensor.scale) > 1 for layer in found.layers for tensor in layer.weights
    ):
        yield "calib_type is PERCHANNEL, no weights have more than one scale"
    names = Counter(layer.layer_name for layer in found.layers)
    for name, count in names.items():
        if not name:
            yield f"{count} layers have no layer_name"
        elif count > 1:
            yield f"{count} layers are called '{name}'"


def _layer(layer: LayerParameters) -> Iterator[str]:
    where = f"layer '{layer.layer_name}'"
    if layer.bit_depth not in WIDTHS:
        yield f"{where}: bit_depth is {layer.bit_depth}; expected 8, 16 or 32"
    if not layer.outputs:
        yield f"{where}: it has no outputs"
    for name in ("outputs", "weights", "bias", "slope"):
        for tensor in getattr(layer, name):
            for problem in _tensor(tensor, valued=name in {"bias", "slope"}):
                yield f"{where}, {name}: {problem}"


def _tensor(tensor: TensorParameters, *, valued: bool) -> Iterator[str]:
    for name in ("min", "max"):
        bound = getattr(tensor, name)
        if bound is None:
            yield f"{name} is missing"
        elif not math.isfinite(bound):
            yield f"{name} is {bound}; expected a finite number"
        elif _never_seen(bound):
            shown = f"{'-' * (bound < 0)}{_never_seen(bound)}"
            yield f"{name} is {shown}: no value was ever seen, the tensor was not calibrated"
    bounds = [bound for bound in (tensor.min, tensor.max) if bound is not None]
    if len(bounds) == 2 and bounds[0] > bounds[1] and not any(map(_never_seen, bounds)):
        yield f"min {bounds[0]:g} is above max {bounds[1]:g}"
    if valued and len(tensor.value) != tensor.size:
        yield f"size is {tensor.size}, there are {len(tensor.value)} values"
    if not all(math.isfinite(value) for value in (*tensor.value, *tensor.scale)):
        yield "a value or a scale is not finite"
    if any(scale <= 0 for scale in tensor.scale):
        yield "a scale is not above 0"


def _never_seen(bound: float) -> str:
    """Return the constant that a bound is, as printed with few digits; empty for other numbers."""
    for name, value in (("FLT_MAX", FLT_MAX), ("FLT_MIN", FLT_MIN)):
        if math.isclose(abs(bound), value, rel_tol=1e-4):
            return name
    return "FLT_MAX" if abs(bound) > FLT_MAX else ""
