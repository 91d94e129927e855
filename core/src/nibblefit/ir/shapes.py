"""Shape inference for every operator of both graphs.

Shapes of activations have no batch axis; constants have their full shape. Axis attributes count
the batch axis, so axis 1 is entry 0 of a shape. Elementwise operators and matmul broadcast these
batch-free shapes, so a per-channel constant of an image is (channels, 1, 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from nibblefit.errors import GraphError
from nibblefit.fixed.geometry import transposed_sizes
from nibblefit.ir.attributes import spatial, window_of
from nibblefit.ir.graph import Attributes, Shape
from nibblefit.ir.ops import Op

Shapes = tuple[Shape, ...]
Rule = Callable[[Attributes, Shapes], Shapes]


def infer_shapes(op: Op, attributes: Attributes, input_shapes: Sequence[Shape]) -> Shapes:
    """Return the shapes of all outputs of one operator.

    Raises:
        GraphError: The shapes or attributes do not fit; names expected and found.
    """
    shapes = tuple(tuple(int(size) for size in shape) for shape in input_shapes)
    least, most = _ARITY.get(op, (1, 1))
    if not least <= len(shapes) <= (most or len(shapes)):
        expected = f"{least}" if most == least else f"{least} to {most}" if most else f"{least}+"
        raise GraphError(f"{op.value} has {len(shapes)} inputs; expected {expected}")
    try:
        return _RULES.get(op, _same)(attributes, shapes)
    except KeyError as missing:
        raise GraphError(f"{op.value} lacks the attribute {missing}") from None


#: Smallest and largest number of inputs; None is unbounded.
_ARITY: dict[Op, tuple[int, int | None]] = {
    Op.CONV: (2, 3), Op.CONV_TRANSPOSE: (2, 3), Op.LINEAR: (2, 3), Op.MATMUL: (2, 2),
    Op.ADD: (2, None), Op.SUB: (2, None), Op.MUL: (2, None), Op.OR: (2, None), Op.XOR: (2, None),
    Op.CONCAT: (1, None), Op.PRELU: (2, 2), Op.TABLE: (2, 2), Op.SOFTMAX: (1, 2),
    Op.BATCH_NORM: (5, 5), Op.SCALE_OFFSET: (3, 3), Op.SHIFT_RIGHT: (2, 2),
}  # fmt: skip


def _expect(op: Op, holds: bool, what: str) -> None:
    if not holds:
        raise GraphError(f"{op.value}: {what}")


def _same(_: Attributes, shapes: Shapes) -> Shapes:
    return (shapes[0],)


def _geometry_fits(op: Op, attributes: Attributes, axes: int) -> None:
    for key, length in (("strides", axes), ("pads", 2 * axes), ("dilations", axes),
                        ("output_padding", axes)):  # fmt: skip
        found = attributes.get(key)
        _expect(op, not found or len(found) == length,
                f"{key} is {found}; expected {length} entries for {axes} spatial axes")  # fmt: skip


def _weighted_fits(op: Op, shapes: Shapes, in_channels: int, out_channels: int) -> None:
    x, weights = shapes[:2]
    _expect(op, 2 <= len(x) <= 4 and len(weights) == len(x) + 1,
            f"input {x} and weights {weights} do not fit; expected (channels, 1 to 3 spatial "
            f"axes) and as many kernel axes")  # fmt: skip
    _expect(op, x[0] == in_channels,
            f"input {x} has {x[0]} channels; weights {weights} expect {in_channels}")  # fmt: skip
    _bias_fits(op, shapes, out_channels)


def _bias_fits(op: Op, shapes: Shapes, out_channels: int) -> None:
    _expect(op, len(shapes) < 3 or shapes[2] == (out_channels,),
            f"bias is {shapes[-1]}; expected ({out_channels},)")  # fmt: skip


def _positive(op: Op, sizes: Shape, x: Shape) -> Shape:
    _expect(op, min(sizes, default=1) >= 1,
            f"no window fits into {x}: the output would be {sizes}")  # fmt: skip
    return sizes


def _conv(attributes: Attributes, shapes: Shapes) -> Shapes:
    x, weights = shapes[:2]
    groups = attributes.get("groups", 1)
    _expect(Op.CONV, len(weights) >= 3, f"weights are {weights}; expected (out, in/groups, *k)")
    _weighted_fits(Op.CONV, shapes, weights[1] * groups, weights[0])
    _expect(Op.CONV, weights[0] % groups == 0,
            f"{weights[0]} output channels do not divide into {groups} groups")  # fmt: skip
    _geometry_fits(Op.CONV, attributes, len(x) - 1)
    sizes = window_of(attributes, weights[2:]).output_sizes(x[1:])
    return ((weights[0], *_positive(Op.CONV, sizes, x)),)


def _conv_transpose(attributes: Attributes, shapes: Shapes) -> Shapes:
    op = Op.CONV_TRANSPOSE
    x, weights = shapes[:2]
    groups = attributes.get("groups", 1)
    _expect(op, len(weights) >= 3, f"weights are {weights}; expected (in, out/groups, *k)")
    _weighted_fits(op, shapes, weights[0], weights[1] * groups)
    _expect(op, weights[0] % groups == 0,
            f"{weights[0]} input channels do not divide into {groups} groups")  # fmt: skip
    axes = len(x) - 1
    _geometry_fits(op, attributes, axes)
    strides = spatial(attributes, "strides", axes, 1)
    dilations = spatial(attributes, "dilations", axes, 1)
    extra = spatial(attributes, "output_padding", axes, 0)
    _expect(
        op,
        all(e < max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)),
        f"output_padding {extra} must be below stride {strides} or dilation {dilations}",
    )
    pads = spatial(attributes, "pads", 2 * axes, 0)
    sizes = transposed_sizes(x[1:], weights[2:], strides, pads, dilations, output_padding=extra)
    return ((weights[1] * groups, *_positive(op, sizes, x)),)


def _linear(_: Attributes, shapes: Shapes) -> Shapes:
    x, weights = shapes[:2]
    _expect(Op.LINEAR, len(weights) == 2, f"weights are {weights}; expected (out, in)")
    _expect(Op.LINEAR, len(x) >= 1 and x[-1] == weights[1],
            f"input {x} ends in {x[-1:]}; weights {weights} expect ({weights[1]},)")  # fmt: skip
    _bias_fits(Op.LINEAR, shapes, weights[0])
    return ((*x[:-1], weights[0]),)


def _matmul(_: Attributes, shapes: Shapes) -> Shapes:
    a, b = shapes
    _expect(Op.MATMUL, bool(a) and len(b) >= 2 and a[-1] == b[-2],
            f"operands {a} and {b} do not fit; expected (…, m, k) and (…, k, n)")  # fmt: skip
    lead = _broadcast(Op.MATMUL, (a[:-2], b[:-2]))
    return ((*lead, *a[-2:-1], b[-1]),)


def _broadcast(op: Op, shapes: Sequence[Shape]) -> Shape:
    try:
        return tuple(int(size) for size in np.broadcast_shapes(*shapes))
    except ValueError:
        raise GraphError(
            f"{op.value}: inputs {', '.join(map(str, shapes))} do not broadcast; expected sizes "
            f"equal or 1, aligned at the last axis, batch axis left out"
        ) from None


def _elementwise(op: Op) -> Rule:
    return lambda _, shapes: (_broadcast(op, shapes),)


def _pool(op: Op) -> Rule:
    def rule(attributes: Attributes, shapes: Shapes) -> Shapes:
        x, kernel = shapes[0], tuple(attributes["kernel"])
        _expect(
            op,
            1 <= len(kernel) <= 3 and len(x) == len(kernel) + 1,
            f"kernel {kernel} does not fit input {x}; expected one entry per spatial axis",
        )
        _geometry_fits(op, attributes, len(kernel))
        geometry = window_of(attributes, kernel)
        for pads in (geometry.begins(), geometry.ends()):
            _expect(op, all(p < s for p, s in zip(pads, geometry.spans(), strict=True)),
                    f"pads {geometry.pads} reach the window {geometry.spans()}; a window would "
                    f"hold padding only")  # fmt: skip
        return ((x[0], *_positive(op, geometry.output_sizes(x[1:]), x)),)

    return rule


def _global_pool(_: Attributes, shapes: Shapes) -> Shapes:
    (x,) = shapes
    _expect(Op.GLOBAL_AVG_POOL, len(x) >= 2, f"input is {x}; expected (channels, *spatial)")
    return ((x[0], *(1,) * (len(x) - 1)),)


def _axis(op: Op, axis: int, shape: Shape) -> int:
    """Return the entry of a batch-free shape that an axis attribute names."""
    rank = len(shape) + 1
    entry = (axis + rank if axis < 0 else axis) - 1
    _expect(
        op,
        0 <= entry < len(shape),
        f"axis is {axis}; expected 1 to {rank - 1} (0 is the batch axis) for {shape}",
    )
    return entry


def _concat(attributes: Attributes, shapes: Shapes) -> Shapes:
    entry = _axis(Op.CONCAT, attributes["axis"], shapes[0])
    rests = {shape[:entry] + shape[entry + 1 :] for shape in shapes if len(shape) > entry}
    _expect(
        Op.CONCAT,
        len(rests) == 1 and len({len(shape) for shape in shapes}) == 1,
        f"inputs {', '.join(map(str, shapes))} differ beside axis {attributes['axis']}",
    )
    total = sum(shape[entry] for shape in shapes)
    return ((*shapes[0][:entry], total, *shapes[0][entry + 1 :]),)


def _slice(attributes: Attributes, shapes: Shapes) -> Shapes:
    axes, starts, ends = attributes["axes"], attributes["starts"], attributes["ends"]
    strides = attributes.get("strides") or (1,) * len(axes)
    _expect(Op.SLICE, len(axes) == len(starts) == len(ends) == len(strides) and 0 not in strides,
            f"axes {axes}, starts {starts}, ends {ends}, strides {strides} differ in length "
            f"or hold a stride of 0")  # fmt: skip
    sizes = list(shapes[0])
    for axis, start, end, stride in zip(axes, starts, ends, strides, strict=True):
        entry = _axis(Op.SLICE, axis, shapes[0])
        sizes[entry] = len(range(*slice(start, end, stride).indices(sizes[entry])))
        _expect(Op.SLICE, sizes[entry] > 0,
                f"{start}:{end}:{stride} of axis {axis} of {shapes[0]} is empty")  # fmt: skip
    return (tuple(sizes),)


def _split(attributes: Attributes, shapes: Shapes) -> Shapes:
    (x,), sizes = shapes, attributes["sizes"]
    entry = _axis(Op.SPLIT, attributes["axis"], x)
    _expect(Op.SPLIT, sum(sizes) == x[entry],
            f"sizes {sizes} add up to {sum(sizes)}; axis {attributes['axis']} of {x} has "
            f"{x[entry]}")  # fmt: skip
    return tuple((*x[:entry], size, *x[entry + 1 :]) for size in sizes)


def _per_channel(op: Op) -> Rule:
    def rule(_: Attributes, shapes: Shapes) -> Shapes:
        x = shapes[0]
        for parameter in shapes[1:]:
            fits = len(x) >= 1 and parameter == (x[0],)
            fits |= op is Op.PRELU and parameter == (1,)
            _expect(op, fits, f"parameter is {parameter}; expected one entry per channel of {x}")
        return (x,)

    return rule


def _table(_: Attributes, shapes: Shapes) -> Shapes:
    _expect(Op.TABLE, len(shapes[1]) == 1, f"table is {shapes[1]}; expected one axis")
    return (shapes[0],)


def _softmax(attributes: Attributes, shapes: Shapes) -> Shapes:
    _axis(Op.SOFTMAX, attributes["axis"], shapes[0])
    _expect(Op.SOFTMAX, len(shapes) == 1 or len(shapes[1]) == 1,
            f"table is {shapes[-1]}; expected one axis")  # fmt: skip
    return (shapes[0],)


def _argmax(attributes: Attributes, shapes: Shapes) -> Shapes:
    (x,) = shapes
    entry = _axis(Op.ARGMAX, attributes["axis"], x)
    kept = (1,) if attributes.get("keepdims", False) else ()
    return ((*x[:entry], *kept, *x[entry + 1 :]),)


def _pad(attributes: Attributes, shapes: Shapes) -> Shapes:
    (x,), pads = shapes, attributes["pads"]
    _expect(Op.PAD, len(pads) == 2 * len(x),
            f"pads are {pads}; expected {len(x)} begins and {len(x)} ends for {x}")  # fmt: skip
    return (tuple(pads[i] + size + pads[len(x) + i] for i, size in enumerate(x)),)


def _resize(op: Op) -> Rule:
    def rule(attributes: Attributes, shapes: Shapes) -> Shapes:
        (x,), sizes = shapes, tuple(attributes["sizes"])
        _expect(op, 1 <= len(sizes) <= 3 and len(x) == len(sizes) + 1,
                f"sizes {sizes} do not fit input {x}; expected one per spatial axis")  # fmt: skip
        return ((x[0], *sizes),)

    return rule


def _pixel_shuffle(attributes: Attributes, shapes: Shapes) -> Shapes:
    (x,), factor = shapes, attributes["factor"]
    _expect(Op.PIXEL_SHUFFLE, len(x) == 3 and x[0] % factor**2 == 0,
            f"input is {x}; expected (channels, height, width) with channels a multiple of "
            f"{factor**2}")  # fmt: skip
    return ((x[0] // factor**2, x[1] * factor, x[2] * factor),)


def _flatten(attributes: Attributes, shapes: Shapes) -> Shapes:
    (x,), start = shapes, attributes.get("start_axis", 1) - 1
    _expect(Op.FLATTEN, 0 <= start <= len(x),
            f"start_axis is {start + 1}; expected 1 to {len(x) + 1} for {x}")  # fmt: skip
    return ((*x[:start], math.prod(x[start:])),)


def _reshape(attributes: Attributes, shapes: Shapes) -> Shapes:
    (x,), shape = shapes, tuple(attributes["shape"])
    _expect(
        Op.RESHAPE,
        math.prod(shape) == math.prod(x) and min(shape, default=1) > 0,
        f"{x} has {math.prod(x)} values; expected shape {shape} has {math.prod(shape)}",
    )
    return (shape,)


def _transpose(attributes: Attributes, shapes: Shapes) -> Shapes:
    (x,), perm = shapes, tuple(attributes["perm"])
    _expect(
        Op.TRANSPOSE,
        sorted(perm) == list(range(len(x) + 1)) and perm[0] == 0,
        f"perm is {perm}; expected an order of 0 to {len(x)} with the batch axis first",
    )
    return (tuple(x[axis - 1] for axis in perm[1:]),)


def _shift_right(_: Attributes, shapes: Shapes) -> Shapes:
    _expect(Op.SHIFT_RIGHT, shapes[1] == (1,), f"amount is {shapes[1]}; expected (1,)")
    return (shapes[0],)


_RULES: dict[Op, Rule] = {
    Op.CONV: _conv,
    Op.CONV_TRANSPOSE: _conv_transpose,
    Op.LINEAR: _linear,
    Op.MATMUL: _matmul,
    **{op: _elementwise(op) for op in (Op.ADD, Op.SUB, Op.MUL, Op.OR, Op.XOR)},
    Op.MAX_POOL: _pool(Op.MAX_POOL),
    Op.AVG_POOL: _pool(Op.AVG_POOL),
    Op.GLOBAL_AVG_POOL: _global_pool,
    Op.GLOBAL_MAX_POOL: _global_pool,
    Op.CONCAT: _concat,
    Op.SLICE: _slice,
    Op.SPLIT: _split,
    **{op: _per_channel(op) for op in (Op.PRELU, Op.BATCH_NORM, Op.SCALE_OFFSET)},
    Op.TABLE: _table,
    Op.SOFTMAX: _softmax,
    Op.ARGMAX: _argmax,
    Op.PAD: _pad,
    Op.RESIZE_NEAREST: _resize(Op.RESIZE_NEAREST),
    Op.RESIZE_BILINEAR: _resize(Op.RESIZE_BILINEAR),
    Op.PIXEL_SHUFFLE: _pixel_shuffle,
    Op.FLATTEN: _flatten,
    Op.RESHAPE: _reshape,
    Op.TRANSPOSE: _transpose,
    Op.CHOOSE_SHIFT: lambda _, __: ((1,),),
    Op.SHIFT_RIGHT: _shift_right,
}
