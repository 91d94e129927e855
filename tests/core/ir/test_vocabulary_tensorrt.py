"""TensorRT-style float scales written in steps, against float32 rounding in exact fractions.

Symmetric int8, per-channel weight scales, half-even; the order of float32 operations is data.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from tests.core.fixed.exact import clamp, conv_nd, float32, rounded
from tests.core.ir.build import Quantized

from nibblefit.fixed.formats import Accumulator, Format, Rounding, Scale
from nibblefit.fixed.steps import (
    AddFloat32,
    Clamp,
    DivFloat32,
    MulFloat32,
    RoundFloat32,
    float_param,
)
from nibblefit.ir.legal import check_quantized
from nibblefit.ir.ops import Op
from nibblefit.ir.reference import run

OUT = (RoundFloat32(Rounding.HALF_EVEN), Clamp(-128, 127))


def test_convolution_with_per_channel_float_scales():
    """clamp(rint(float32(acc) · s[c] + b[c])), each operation rounded to float32."""
    rng = np.random.default_rng(11)
    weights = rng.integers(-127, 128, (3, 2, 2, 2))
    scales = (rng.uniform(1e-4, 5e-3, 3)).astype(np.float32)
    offsets = rng.uniform(-20, 20, 3).astype(np.float32)
    net = Quantized()
    net.input("x", (2, 4, 4), Format(8, True, Scale.real(0.02)))
    net.constant("w", weights, Format(8, True, Scale.real(*scales.tolist()), axis=0))
    column = lambda values: float_param(values.reshape(3, 1, 1))  # noqa: E731
    net.node(Op.CONV, ["x", "w"], "y", Format(8), accumulator=Accumulator(32),
             steps=(MulFloat32(column(scales)), AddFloat32(column(offsets)), *OUT))  # fmt: skip
    graph = net.graph()
    check_quantized(graph)
    images = rng.integers(-128, 128, (5, 2, 4, 4))
    found = run(graph, {"x": images}).outputs["y"]
    for n, image in enumerate(images):
        sums = conv_nd(image.tolist(), weights.tolist(), [0, 0, 0], strides=(1, 1),
                       pads=(0, 0, 0, 0), dilations=(1, 1), groups=1, sizes_out=(3, 3))  # fmt: skip
        for (c, *place), acc in sums.items():
            product = float32(float32(Fraction(acc)) * Fraction(float(scales[c])))
            total = float32(product + Fraction(float(offsets[c])))
            assert found[(n, c, *place)] == clamp(rounded(total, Rounding.HALF_EVEN), -128, 127)


def test_residual_addition_dequantizes_both_inputs():
    """Each input is scaled in float32 first; the sum is exact in integers only after rounding.

    a·sa and b·sb are brought to one integer grid of 2^-16 of the output step.
    """
    sa, sb = np.float32(0.7312), np.float32(1.618)
    grid = float_param(2.0**16)
    net = Quantized()
    net.input("a", (200,))
    net.input("b", (200,))
    to_grid = lambda s: (MulFloat32(float_param(s)), MulFloat32(grid),  # noqa: E731
                         RoundFloat32(Rounding.HALF_EVEN))  # fmt: skip
    net.node(Op.ADD, ["a", "b"], "y", Format(8), input_steps=(to_grid(sa), to_grid(sb)),
             steps=(DivFloat32(grid), *OUT))  # fmt: skip
    a, b = np.random.default_rng(12).integers(-128, 128, (2, 1, 200))
    found = run(net.graph(), {"a": a, "b": b}).outputs["y"][0].tolist()
    for p, q, y in zip(a[0].tolist(), b[0].tolist(), found, strict=True):
        parts = [
            rounded(float32(Fraction(v) * Fraction(float(s))) * 2**16, Rounding.HALF_EVEN)
            for v, s in ((p, sa), (q, sb))
        ]
        total = float32(Fraction(sum(parts))) / 2**16
        assert y == clamp(rounded(total, Rounding.HALF_EVEN), -128, 127)
