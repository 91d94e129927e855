"""One quantized and one float graph that use every operator, for tests of whole graphs."""

from __future__ import annotations

import numpy as np
from tests.core.ir.build import Float, Quantized

from nibblefit.fixed.formats import Accumulator, Format, Rounding, Scale
from nibblefit.fixed.steps import (
    Add,
    AddFloat32,
    Clamp,
    DivFloat32,
    Divide,
    Lookup,
    Mul,
    MulFloat32,
    RoundFloat32,
    ShiftLeft,
    ShiftRight,
    Wrap,
    float_param,
    int_param,
)  # fmt: skip
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph

INT8 = Format(8, True, Scale.power_of_two(4))
CLAMP = Clamp(-128, 127)
HALF_UP = Rounding.HALF_UP


def quantized(seed: int = 0) -> QuantizedGraph:
    """Return a legal quantized graph over all operators and all steps."""
    rng = np.random.default_rng(seed)
    codes = lambda *shape: rng.integers(-20, 20, shape)  # noqa: E731
    net = Quantized("everything")
    net.input("x", (4, 6, 6), INT8)
    net.constant("w", codes(8, 2, 3, 3), INT8)
    net.constant("b", codes(8), INT8)
    per_channel = int_param(np.arange(1, 9).reshape(8, 1, 1))
    net.node(Op.CONV, ["x", "w", "b"], "conv", INT8,
             attributes={"groups": 2, "pads": (1, 1, 1, 1)},
             input_steps=((Add(3),), (), (ShiftLeft(4),)), accumulator=Accumulator(32),
             steps=(Mul(per_channel), ShiftRight(9, HALF_UP), CLAMP),
             layer="first")  # fmt: skip
    net.node(Op.RELU, ["conv"], "relu", INT8, layer="first")
    pool = {"kernel": (2, 2), "strides": (2, 2)}
    net.node(Op.MAX_POOL, ["relu"], "max", INT8, attributes=pool)
    net.node(Op.AVG_POOL, ["relu"], "avg", INT8, attributes={**pool, "pads": (0, 0, 1, 1),
             "ceil_mode": True}, steps=(Divide(4, Rounding.TOWARD_ZERO),))  # fmt: skip
    net.node(Op.SLICE, ["avg"], "cut", INT8,
             attributes={"axes": (2, 3), "starts": (0, 0), "ends": (3, 3)})  # fmt: skip
    for op in (Op.ADD, Op.SUB, Op.MUL, Op.OR, Op.XOR):
        net.node(op, ["max", "cut"], op.value, INT8, steps=(Wrap(8),))
    net.node(Op.CONCAT, ["add", "sub"], "concat", INT8, attributes={"axis": 1})
    net.node(Op.SPLIT, ["concat"], "split", INT8, attributes={"axis": 1, "sizes": (4, 12)},
             outputs=("left", "right"))  # fmt: skip
    net.node(Op.PIXEL_SHUFFLE, ["left"], "shuffled", INT8, attributes={"factor": 2})
    net.node(Op.PIXEL_SHUFFLE, ["left"], "deep", INT8, attributes={"factor": 2, "order": "dcr"})
    net.constant("wt", codes(1, 2, 2, 2), INT8)
    net.node(Op.CONV_TRANSPOSE, ["shuffled", "wt"], "up", INT8, attributes={"strides": (2, 2)},
             steps=(MulFloat32(float_param(0.01)), AddFloat32(float_param(0.5)),
                    DivFloat32(float_param(2.0)), RoundFloat32(Rounding.HALF_EVEN),
                    CLAMP))  # fmt: skip
    net.node(Op.RESIZE_NEAREST, ["up"], "near", INT8,
             attributes={"sizes": (6, 6), "coordinates": "asymmetric"})  # fmt: skip
    net.node(Op.RESIZE_BILINEAR, ["near"], "smooth", INT8, attributes={"sizes": (4, 5),
             "coordinates": "half_pixel", "weight_bits": 7},
             steps=(ShiftRight(14, HALF_UP),))  # fmt: skip
    net.node(
        Op.PAD, ["smooth"], "padded", INT8, attributes={"pads": (0, 0, 1, 0, 1, 1), "value": -3}
    )
    net.node(Op.TRANSPOSE, ["padded"], "turned", INT8, attributes={"perm": (0, 2, 3, 1)})
    net.node(Op.FLATTEN, ["turned"], "flat", INT8)
    net.node(Op.RESHAPE, ["flat"], "square", INT8, attributes={"shape": (5, 14)})
    net.constant("m", codes(14, 3), INT8)
    net.node(Op.MATMUL, ["square", "m"], "product", INT8, steps=(ShiftRight(8, HALF_UP), CLAMP))
    net.constant("scale", codes(8), INT8)
    net.constant("offset", codes(8), INT8)
    net.node(Op.SCALE_OFFSET, ["mul", "scale", "offset"], "scaled", INT8,
             steps=(ShiftRight(4, HALF_UP), CLAMP))  # fmt: skip
    half = (ShiftRight(1, HALF_UP),)
    net.node(Op.CLIP, ["scaled"], "clip", INT8, attributes={"lo": -100, "hi": None})
    net.node(Op.LEAKY_RELU, ["clip"], "leaky", INT8, attributes={"negative": half, "positive": ()})
    net.constant("slope", codes(8), INT8)
    net.node(Op.PRELU, ["leaky", "slope"], "prelu", INT8,
             attributes={"negative": (ShiftRight(5, HALF_UP),), "positive": half})  # fmt: skip
    net.node(Op.ABS, ["prelu"], "abs", INT8, steps=(CLAMP,))
    net.node(Op.HARD_SIGMOID, ["prelu"], "gate", INT8, attributes={"three": 48, "six": 96})
    net.node(Op.HARD_SWISH, ["prelu"], "swish", INT8,
             attributes={"three": 48, "six": 96, "gate": half},
             steps=(ShiftRight(7, HALF_UP), CLAMP))  # fmt: skip
    table = np.clip(np.arange(-128, 128) ** 3 // 9999, -128, 127)
    net.constant("cubes", table, INT8)
    net.node(Op.TABLE, ["swish", "cubes"], "table", INT8, attributes={"lowest": -128})
    net.node(Op.IDENTITY, ["table"], "lookup", INT8, steps=(Lookup(int_param(table), -128),))
    net.node(Op.GLOBAL_AVG_POOL, ["lookup"], "mean", INT8, steps=(Divide(9, HALF_UP),))
    net.node(Op.GLOBAL_MAX_POOL, ["abs"], "top", INT8)
    net.node(Op.ADD, ["mean", "top", "gate"], "sum", Format(16))
    net.node(Op.FLATTEN, ["sum"], "vector", Format(16))
    net.constant("wl", codes(5, 72), INT8)
    net.constant("bl", codes(5), INT8)
    net.node(Op.LINEAR, ["vector", "wl", "bl"], "wide", Format(32), accumulator=Accumulator(32))
    net.states["range"] = np.zeros(3, dtype=np.int64)
    net.node(Op.CHOOSE_SHIFT, ["wide"], "amount", INT8, attributes={"bits": 8, "signed": True,
             "history": 30, "margin": 10, "state": "range"})  # fmt: skip
    net.node(Op.SHIFT_RIGHT, ["wide", "amount"], "logits", INT8,
             attributes={"rounding": "half_up"}, steps=(CLAMP,))  # fmt: skip
    net.constant("exp", [255 >> (i // 8) for i in range(256)], Format(8, False))
    net.node(Op.SOFTMAX, ["logits", "exp"], "shares", Format(8, False),
             attributes={"axis": 1, "numerator": 255, "rounding": "half_up"})  # fmt: skip
    net.node(Op.ARGMAX, ["shares"], "class", Format(8, False), attributes={"axis": 1})
    return net.graph("class", "product", "deep", metadata=frozen_mapping({"note": "all operators"}))


def floating(seed: int = 0) -> Graph:
    """Return a legal float graph over all float operators."""
    rng = np.random.default_rng(seed)
    net = Float()
    net.input("x", (4, 6, 6))
    net.constant("w", rng.normal(size=(8, 2, 3, 3)))
    net.constant("b", rng.normal(size=8))
    net.node(Op.CONV, ["x", "w", "b"], "conv", groups=2, pads=(1, 1, 1, 1))
    for name in ("gamma", "beta", "mean"):
        net.constant(name, rng.normal(size=8))
    net.constant("variance", rng.uniform(0.5, 2, 8))
    net.node(Op.BATCH_NORM, ["conv", "gamma", "beta", "mean", "variance"], "bn", epsilon=1e-5)
    net.constant("slope", rng.normal(size=8))
    net.node(Op.PRELU, ["bn", "slope"], "prelu")
    net.node(Op.LEAKY_RELU, ["prelu"], "leaky", slope=0.1)
    net.node(Op.HARD_SIGMOID, ["leaky"], "hsig")
    net.node(Op.HARD_SWISH, ["hsig"], "hswish")
    net.node(Op.SIGMOID, ["hswish"], "sigmoid")
    net.node(Op.TANH, ["sigmoid"], "tanh")
    net.node(Op.DROPOUT, ["tanh"], "dropout")
    net.node(Op.AVG_POOL, ["dropout"], "avg", kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1),
             ceil_mode=True, count_include_pad=True)  # fmt: skip
    net.node(Op.CLIP, ["avg"], "clip", lo=0.1, hi=6.0)
    net.node(Op.RESIZE_BILINEAR, ["clip"], "smooth", sizes=(5, 5), coordinates="half_pixel")
    net.node(Op.GLOBAL_AVG_POOL, ["smooth"], "pooled")
    net.node(Op.FLATTEN, ["pooled"], "flat")
    net.constant("wl", rng.normal(size=(5, 8)))
    net.node(Op.LINEAR, ["flat", "wl"], "logits")
    net.node(Op.SOFTMAX, ["logits"], "shares", axis=1)
    return net.graph()
