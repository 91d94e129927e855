"""Random nodes: one function per family of operators, each appending to a builder."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from nibblefit.conformance.random_builder import Builder, channel_parameters
from nibblefit.conformance.random_steps import formats, step_tuples
from nibblefit.fixed.formats import Format, Rounding
from nibblefit.fixed.steps import Add, Clamp, ShiftLeft, ShiftRight, Steps, int_param
from nibblefit.ir.graph import Shape
from nibblefit.ir.ops import Op

#: Largest number of values in one image of any tensor that a recipe may enlarge.
_LARGEST = 1 << 11


def _geometry(
    b: Builder, sizes: Shape, kernel: Shape, below_kernel: bool = False
) -> dict[str, Any]:
    """Draw strides, dilations and pads with which at least one window fits."""
    strides, dilations, begins, ends = [], [], [], []
    for size, taps in zip(sizes, kernel, strict=True):
        strides.append(b.draw(st.integers(1, 3)))
        dilations.append(b.draw(st.integers(1, 2)))
        span = (taps - 1) * dilations[-1] + 1
        most = span - 1 if below_kernel else 3
        begins.append(b.draw(st.integers(0, most)))
        ends.append(b.draw(st.sampled_from((begins[-1], b.draw(st.integers(0, most))))))
        if size + begins[-1] + ends[-1] < span:
            dilations[-1] = 1
    return {"strides": tuple(strides), "dilations": tuple(dilations), "pads": (*begins, *ends)}


def _kernel(b: Builder, sizes: Shape) -> Shape:
    return tuple(b.draw(st.integers(1, min(size, 3))) for size in sizes)


def _zero_point(b: Builder, name: str) -> Steps:
    number = b.number(name)
    if b.draw(st.booleans()):
        return ()
    return (Add(-b.draw(st.integers(number.lo, number.hi))),)


def _weight_format(b: Builder) -> Format:
    bits = b.draw(st.sampled_from((8, 8, 4, 2, 16)))
    return Format(bits, b.draw(st.sampled_from((True, True, False))) or bits > 8)


def _bias(b: Builder, channels: int, inputs: list[str], steps: list[Steps]) -> None:
    kind = b.draw(st.sampled_from(("none", "constant", "constant", "shifted")))
    if kind != "none":
        inputs.append(b.constant((channels,), Format(b.draw(st.sampled_from((8, 16, 24))))))
        steps.append((ShiftLeft(7),) if kind == "shifted" else ())


def _sum_shift(b: Builder, x: str, weights: str, terms: int) -> int:
    bits = b.number(x).bits + b.number(weights).bits + terms.bit_length() // 2 - 9
    return max(bits, 0)


def _conv(b: Builder, x: str) -> None:
    channels, *sizes = b.shape(x)
    groups = b.draw(st.sampled_from([g for g in (1, 1, 2, channels) if channels % g == 0]))
    out = groups * b.draw(st.integers(1, max(1, 12 // groups)))
    kernel = _kernel(b, tuple(sizes))
    weights = b.constant((out, channels // groups, *kernel), _weight_format(b))
    attributes = {**_geometry(b, tuple(sizes), kernel), "groups": groups}
    inputs, steps = [x, weights], [_zero_point(b, x), ()]
    _bias(b, out, inputs, steps)
    shift = _sum_shift(b, x, weights, channels // groups * math.prod(kernel))
    b.add(Op.CONV, tuple(inputs), attributes, shift=shift, input_steps=tuple(steps))


def _conv_transpose(b: Builder, x: str) -> None:
    channels, *sizes = b.shape(x)
    groups = b.draw(st.sampled_from([g for g in (1, 2) if channels % g == 0]))
    per_group, kernel = b.draw(st.integers(1, 3)), _kernel(b, tuple(sizes))
    strides = tuple(b.draw(st.integers(1, 3)) for _ in sizes)
    pads = tuple(b.draw(st.integers(0, (k - 1) // 2)) for k in kernel) * 2
    extra = tuple(b.draw(st.integers(0, s - 1)) for s in strides)
    weights = b.constant((channels, per_group, *kernel), _weight_format(b))
    inputs, steps = [x, weights], [_zero_point(b, x), ()]
    _bias(b, groups * per_group, inputs, steps)
    attributes = {"strides": strides, "pads": pads, "groups": groups, "output_padding": extra}
    b.add(Op.CONV_TRANSPOSE, tuple(inputs), attributes,
          shift=_sum_shift(b, x, weights, channels), input_steps=tuple(steps))  # fmt: skip


def _linear(b: Builder, x: str) -> None:
    inside, out = b.shape(x)[-1], b.draw(st.integers(1, 8))
    weights = b.constant((out, inside), _weight_format(b))
    inputs, steps = [x, weights], [_zero_point(b, x), ()]
    _bias(b, out, inputs, steps)
    b.add(Op.LINEAR, tuple(inputs), shift=_sum_shift(b, x, weights, inside),
          input_steps=tuple(steps))  # fmt: skip


def _bias_tensor(b: Builder, x: str) -> None:
    """Add a layer whose bias is computed, (batch, out)."""
    flat = b.add(Op.FLATTEN, (x,), result=b.number(x), steps=())
    out = b.draw(st.integers(1, 4))
    bias = b.add(Op.LINEAR, (flat, b.constant((out, b.shape(flat)[0]), Format(4))))
    if len(b.shape(x)) < 2:
        b.add(Op.LINEAR, (x, b.constant((out, b.shape(x)[-1]), Format(8)), bias))
        return
    kernel = (1,) * (len(b.shape(x)) - 1)
    b.add(Op.CONV, (x, b.constant((out, b.shape(x)[0], *kernel), Format(8)), bias))


def _matmul(b: Builder, x: str) -> None:
    depth = b.shape(x)[-1]
    weights = b.constant((depth, b.draw(st.integers(1, 5))), Format(8))
    b.add(Op.MATMUL, (x, weights))


def _self_product(b: Builder, x: str) -> None:
    turned = b.add(Op.TRANSPOSE, (x,), {"perm": (0, 2, 1)}, result=b.number(x), steps=())
    b.add(Op.MATMUL, (x, turned), shift=b.number(x).bits)


def _pool(b: Builder, x: str) -> None:
    sizes = b.shape(x)[1:]
    kernel = _kernel(b, sizes)
    attributes = {"kernel": kernel, **_geometry(b, sizes, kernel, below_kernel=True),
                  "ceil_mode": b.draw(st.booleans())}  # fmt: skip
    if not _fits(attributes, sizes):
        attributes.update(dilations=(1,) * len(sizes), pads=(0,) * (2 * len(sizes)))
    if b.draw(st.booleans()):
        b.add(Op.MAX_POOL, (x,), attributes, result=b.number(x), steps=())
    else:
        b.add(Op.AVG_POOL, (x,), attributes, shift=2)


def _fits(attributes: Mapping[str, Any], sizes: Shape) -> bool:
    half = len(sizes)
    return all(
        (k - 1) * d + 1 <= size + attributes["pads"][i] + attributes["pads"][half + i]
        for i, (size, k, d) in enumerate(
            zip(sizes, attributes["kernel"], attributes["dilations"], strict=True)
        )
    )


def _global_pool(b: Builder, x: str) -> None:
    op = b.draw(st.sampled_from((Op.GLOBAL_AVG_POOL, Op.GLOBAL_MAX_POOL)))
    if op is Op.GLOBAL_MAX_POOL:
        b.add(op, (x,), result=b.number(x), steps=())
    else:
        b.add(op, (x,), shift=4)


def _combine(b: Builder, x: str) -> None:
    op = b.draw(st.sampled_from((Op.ADD, Op.ADD, Op.SUB, Op.MUL, Op.OR, Op.XOR)))
    same = [name for name in b.activations() if b.shape(name) == b.shape(x)]
    others = [b.draw(st.sampled_from(same)) for _ in range(b.draw(st.integers(1, 2)))]
    if b.draw(st.sampled_from((False, False, True))):
        others[0] = b.constant((b.shape(x)[0], *(1,) * (len(b.shape(x)) - 1)), Format(8))
    inputs = (x, *others) if op is not Op.MUL else (x, others[0])
    aligned: tuple[Steps, ...] = tuple(_aligned(b) for _ in inputs)
    shift = b.number(x).bits if op is Op.MUL else 1
    b.add(op, inputs, shift=shift, input_steps=b.draw(st.sampled_from(((), aligned))))


def _aligned(b: Builder) -> Steps:
    kind = b.draw(st.sampled_from(("none", "left", "right", "offset")))
    match kind:
        case "left":
            return (ShiftLeft(b.draw(st.integers(0, 4))),)
        case "right":
            rounding = b.draw(st.sampled_from(list(Rounding)))
            return (ShiftRight(b.draw(st.integers(0, 3)), rounding),)
        case "offset":
            return (Add(b.draw(st.integers(-200, 200))),)
        case _:
            return ()


def _concat(b: Builder, x: str) -> None:
    axis = b.draw(st.integers(1, len(b.shape(x))))
    same = [name for name in b.activations() if b.shape(name) == b.shape(x)]
    inputs = (x, b.draw(st.sampled_from(same)))
    b.add(Op.CONCAT, inputs, {"axis": axis}, shift=0)


def _rectify(b: Builder, x: str) -> None:
    channels = channel_parameters(b.shape(x), Op.IDENTITY)
    result = b.draw(formats())
    sides = {side: b.draw(step_tuples(result, channels, 4)) for side in ("negative", "positive")}
    ends: Steps = (Clamp(result.lo, result.hi),)
    three = b.draw(st.integers(0, 300))
    gate = (ShiftRight(2, Rounding.HALF_UP), Clamp(0, 255))
    gated = {"three": three, "six": 2 * three}
    choices: list[Callable[[], str]] = [
        lambda: b.add(Op.RELU, (x,), shift=1),
        lambda: b.add(Op.CLIP, (x,), {"lo": -3, "hi": three}, shift=1),
        lambda: b.add(Op.ABS, (x,), shift=1),
        lambda: b.add(Op.LEAKY_RELU, (x,), sides, result=result, steps=ends),
        lambda: b.add(Op.PRELU, (x, b.constant(b.shape(x)[:1], Format(8))), sides, result=result,
                      steps=ends),
        lambda: b.add(Op.HARD_SIGMOID, (x,), gated, shift=1),
        lambda: b.add(Op.HARD_SWISH, (x,), {**gated, "gate": gate}, shift=8),
        lambda: b.add(Op.IDENTITY, (x,), shift=1),
    ]  # fmt: skip
    b.draw(st.sampled_from(choices))()


def _table(b: Builder, x: str) -> None:
    number = b.number(x)
    size = min(number.hi - number.lo + 1, 64)
    lowest = max(number.lo, -(size // 2))
    inside: Steps = (Clamp(lowest, lowest + size - 1),)
    table = b.constant((size,), Format(8))
    b.add(Op.TABLE, (x, table), {"lowest": lowest}, shift=0, input_steps=(inside, ()))


def _softmax(b: Builder, x: str) -> None:
    table = b.keep(f"c{len(b.constants)}", np.array([255, 94, 35, 13, 5, 2, 1, 0]), Format(16))
    attributes = {"axis": b.draw(st.integers(1, len(b.shape(x)))), "numerator": 1 << 8,
                  "rounding": b.draw(st.sampled_from(list(Rounding))).value}  # fmt: skip
    b.add(Op.SOFTMAX, (x, table), attributes, shift=0)


def _argmax(b: Builder, x: str) -> None:
    axis = b.draw(st.integers(1, len(b.shape(x))))
    b.add(Op.ARGMAX, (x,), {"axis": axis, "keepdims": True}, result=Format(16), steps=())


def _scale_offset(b: Builder, x: str) -> None:
    channels = b.shape(x)[:1]
    scale, offset = b.constant(channels, Format(8)), b.constant(channels, Format(16))
    b.add(Op.SCALE_OFFSET, (x, scale, offset), shift=b.number(x).bits)


def _pad(b: Builder, x: str) -> None:
    pads = tuple(b.draw(st.integers(0, 2)) for _ in range(2 * len(b.shape(x))))
    b.add(Op.PAD, (x,), {"pads": pads, "value": b.draw(st.integers(-5, 300))}, shift=1)


def _resize(b: Builder, x: str) -> None:
    sizes = tuple(b.draw(st.integers(1, 9 if len(b.shape(x)) < 4 else 4)) for _ in b.shape(x)[1:])
    where = b.draw(st.sampled_from(
        ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")))  # fmt: skip
    if b.draw(st.booleans()):
        b.add(Op.RESIZE_BILINEAR, (x,), {"sizes": sizes, "coordinates": where, "weight_bits": 5},
              shift=5 * len(sizes))  # fmt: skip
        return
    mode = b.draw(st.sampled_from(("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")))
    b.add(Op.RESIZE_NEAREST, (x,), {"sizes": sizes, "coordinates": where, "nearest_mode": mode},
          result=b.number(x), steps=())  # fmt: skip


def _move(b: Builder, x: str) -> None:
    shape, number = b.shape(x), b.number(x)
    order = tuple(b.draw(st.permutations(range(1, len(shape) + 1))))
    start = b.draw(st.integers(0, shape[0] - 1))
    stride = b.draw(st.sampled_from((1, 2, -1)))
    cut = {"axes": (1,), "starts": (start,), "ends": (None,), "strides": (stride,)}
    choices: list[tuple[Op, dict[str, Any]]] = [
        (Op.FLATTEN, {"start_axis": b.draw(st.integers(1, len(shape)))}),
        (Op.RESHAPE, {"shape": tuple(reversed(shape))}),
        (Op.TRANSPOSE, {"perm": (0, *order)}),
        (Op.SLICE, cut),
    ]
    if shape[0] > 1:
        choices.append((Op.SPLIT, {"axis": 1, "sizes": (1, shape[0] - 1)}))
    if len(shape) == 3 and shape[0] % 4 == 0:
        order_of = b.draw(st.sampled_from(("crd", "dcr")))
        choices.append((Op.PIXEL_SHUFFLE, {"factor": 2, "order": order_of}))
    op, attributes = b.draw(st.sampled_from(choices))
    b.add(op, (x,), attributes, result=number, steps=())


def _runtime_shift(b: Builder, x: str) -> None:
    """Add the pair of nodes that shifts each frame by an amount chosen from the frames so far."""
    state = f"s{len(b.states)}"
    b.states[state] = np.asarray(int_param([0, 0, 0]))
    attributes = {
        "bits": b.draw(st.integers(3, 8)), "signed": True, "history_first": 50, "history": 90,
        "first_frames": 2, "margin": b.draw(st.sampled_from((0, 20))), "state": state,
    }  # fmt: skip
    amount = b.add(Op.CHOOSE_SHIFT, (x,), attributes, result=Format(6, signed=False), steps=())
    rounding = b.draw(st.sampled_from(list(Rounding))).value
    b.add(Op.SHIFT_RIGHT, (x, amount), {"rounding": rounding}, result=Format(8),
          steps=(Clamp(-128, 127),))  # fmt: skip


def _is_small(shape: Shape) -> bool:
    return len(shape) > 0 and math.prod(shape) <= _LARGEST


def _is_spatial(shape: Shape) -> bool:
    return _is_small(shape) and 2 <= len(shape) <= 4


#: Which shapes a recipe takes, and the recipe; common layers stand there more than once.
RECIPES: tuple[tuple[Callable[[Shape], bool], Callable[[Builder, str], None]], ...] = (
    (_is_spatial, _conv), (_is_spatial, _conv), (_is_spatial, _conv), (_is_spatial, _pool),
    (_is_spatial, _conv_transpose), (_is_spatial, _global_pool), (_is_spatial, _resize),
    (_is_small, _linear), (_is_small, _bias_tensor), (_is_small, _matmul),
    (lambda shape: _is_small(shape) and len(shape) == 2, _self_product),
    (lambda shape: len(shape) > 0, _combine), (lambda shape: len(shape) > 0, _combine),
    (_is_small, _concat), (lambda shape: len(shape) > 0, _rectify), (lambda _: True, _table),
    (lambda shape: len(shape) > 0, _softmax), (lambda shape: len(shape) > 0, _argmax),
    (lambda shape: len(shape) > 0, _scale_offset), (_is_small, _pad),
    (lambda shape: len(shape) > 0, _move), (lambda shape: len(shape) > 0, _runtime_shift),
)  # fmt: skip
