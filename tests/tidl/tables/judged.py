"""Small networks of one layer, and what the tables say about it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit.nn.builder import GraphBuilder
from nibblefit_tidl.classic.numerics import numerics_of as classic_numerics
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.current.numerics import numerics_of
from nibblefit_tidl.devices import DEVICES
from nibblefit_tidl.tables.judging import Judgement, Setting, judge
from nibblefit_tidl.tables.reading import Generation
from nibblefit_tidl.tables.schema import Release


def one(
    op: Op, shape: Sequence[int] = (4, 16, 16), *, weights: Sequence[int] = (), twice: bool = False,
    constants: Sequence[Sequence[int]] = (), **attributes: object,
) -> Graph:  # fmt: skip
    """Return a network of one layer.

    Args:
        op: Its operator.
        shape: Of the network's input.
        weights: Shape of its weights, if it has any.
        twice: It reads the input two times.
        constants: Shapes of further constant operands.
        attributes: Of the operator.
    """
    builder = GraphBuilder("one")
    inputs = [builder.add_input("x", tuple(shape))] * (2 if twice else 1)
    for place, size in enumerate(([weights] if weights else []) + list(constants)):
        values = np.full(tuple(size), 0.1, np.float32)
        inputs.append(builder.add_constant(f"c{place}", values))
    return builder.finish([builder.add(op, inputs, "layer", **attributes)])


def conv(
    kernel: Sequence[int] = (3, 3), stride: int | Sequence[int] = 1, *, groups: int = 1,
    pads: Sequence[int] | None = None, dilation: int = 1, shape: Sequence[int] = (4, 16, 16),
    op: Op = Op.CONV,
) -> Graph:  # fmt: skip
    """Return a network of one convolution."""
    axes = len(kernel)
    strides = (stride,) * axes if isinstance(stride, int) else tuple(stride)
    return one(
        op, shape, weights=(4, shape[0] // groups, *kernel), strides=strides, groups=groups,
        pads=tuple(pads or (0,) * 2 * axes), dilations=(dilation,) * axes,
    )  # fmt: skip


def pool(op: Op, kernel: int, stride: int, **attributes: object) -> Graph:
    """Return a network of one pool."""
    if op is Op.AVG_POOL:
        attributes["count_include_pad"] = True
    return one(op, kernel=(kernel, kernel), strides=(stride, stride), pads=(0,) * 4, **attributes)


def judged(
    graph: Graph, device: str = "tda4vm", release: Release = "11.0", *, bits: int = 8,
    generation: Generation = "current",
) -> Judgement:  # fmt: skip
    """Return what becomes of the last layer of a network."""
    if generation == "classic":
        setting = Setting("classic", "am5749", classic_numerics(ClassicOptions()))
    else:
        numerics = numerics_of(DEVICES[device], 1)
        setting = Setting("current", device, numerics, release, lambda _: bits)
    return judge(graph, setting)[-1]
