"""Layers with several inputs, or several outputs: Eltwise, Concat, Slice, Split, Axpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from nibblefit.ir.ops import Op
from nibblefit.nn.problems import Refused
from nibblefit_tidl.caffe.schema import enum_name
from nibblefit_tidl.caffe.site import Handler, Site, axis_of


def _eltwise(site: Site) -> Sequence[str]:
    settings = site.layer.eltwise_param
    if len(site.inputs) < 2:
        raise Refused("it has fewer than two bottoms", "remove the layer")
    shapes = {site.builder.shape_of(name) for name in site.inputs}
    if len(shapes) > 1:
        raise Refused(f"its bottoms have the shapes {sorted(shapes)}", "make them equal")
    operation = enum_name(settings, "operation")
    if operation == "MAX":
        raise Refused(
            "the graph has no maximum of two tensors",
            "use SUM or Concat and train again, or write max(a, b) as a + ReLU(b - a)",
        )
    if operation == "PROD":
        return (site.add(Op.MUL, site.inputs),)
    factors = [float(f"{value:.7g}") for value in settings.coeff] or [1.0] * len(site.inputs)
    if len(factors) != len(site.inputs):
        raise Refused(f"it has {len(factors)} coefficients for {len(site.inputs)} bottoms",
                      "give one coeff per bottom")  # fmt: skip
    if factors == [1.0, -1.0]:
        return (site.add(Op.SUB, site.inputs),)
    return (site.add(Op.ADD, [_scaled(site, i, f) for i, f in enumerate(factors)]),)


def _scaled(site: Site, index: int, factor: float) -> str:
    if factor == 1:
        return site.inputs[index]
    number = site.constant(f"coeff{index}", np.array(factor))
    return site.add(Op.MUL, [site.inputs[index], number], suffix=f".term{index}")


def _concat(site: Site) -> Sequence[str]:
    settings = site.layer.concat_param
    if settings.HasField("axis") and settings.HasField("concat_dim"):
        raise Refused("it has both axis and concat_dim", "keep axis")
    axis = settings.concat_dim if settings.HasField("concat_dim") else settings.axis
    return (site.add(Op.CONCAT, site.inputs, axis=axis_of(site, int(axis))),)


def _slice(site: Site) -> Sequence[str]:
    settings, tops = site.layer.slice_param, len(site.layer.top)
    named = settings.slice_dim if settings.HasField("slice_dim") else settings.axis
    axis = axis_of(site, int(named))
    size = site.shape[axis - 1]
    points = list(settings.slice_point) or [size * i // tops for i in range(1, tops)]
    if not settings.slice_point and size % tops:
        raise Refused(f"{size} entries do not divide into {tops} tops", "give slice_point")
    bounds = [0, *points, size]
    sizes = [stop - start for start, stop in pairwise(bounds)]
    if len(sizes) != tops or min(sizes) < 1:
        raise Refused(f"its points {points} do not cut {size} entries into {tops} tops",
                      "give rising slice_points, one less than tops")  # fmt: skip
    return site.builder.add_split(site.x, axis, sizes, site.name, source=site.name)


def _split(site: Site) -> Sequence[str]:
    return (site.x,) * len(site.layer.top)


def _axpy(site: Site) -> Sequence[str]:
    """Import ``a·x + y`` with one factor per channel (squeeze-and-excitation networks)."""
    site.expect_inputs(3)
    factor, x, y = site.inputs
    shape = site.builder.shape_of(factor)
    wanted = site.builder.shape_of(x)[:1]
    if shape[:1] != wanted or any(size != 1 for size in shape[1:]):
        raise Refused(f"its factors have the shape {shape}; expected one per channel")
    if len(shape) != 3:
        factor = site.add(Op.RESHAPE, [factor], suffix=".factor", shape=(*wanted, 1, 1))
    product = site.add(Op.MUL, [x, factor], suffix=".product")
    return (site.add(Op.ADD, [product, y]),)


HANDLERS: Mapping[str, Handler] = {
    "Eltwise": _eltwise, "Concat": _concat, "Slice": _slice, "Split": _split, "Axpy": _axpy,
}  # fmt: skip
