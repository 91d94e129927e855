"""What rules ask of ONNX operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import onnx

from nibblefit_vitis.inspection.layer import Shape, Sort

_BY_SORT = {
    Sort.CONVOLUTION: "Conv", Sort.TRANSPOSED: "ConvTranspose", Sort.DENSE: "Gemm",
    Sort.MATMUL: "MatMul Einsum", Sort.MAX_POOL: "MaxPool GlobalMaxPool",
    Sort.AVERAGE_POOL: "AveragePool GlobalAveragePool", Sort.MEAN: "ReduceMean",
    Sort.ADD: "Add Sum", Sort.SUB: "Sub", Sort.MUL: "Mul",
    Sort.ELEMENTWISE: "Div Pow Max Min Abs Neg Sqrt Exp Log Floor Ceil Round Sign Reciprocal Mod "
    "And Or Xor Not Equal Less Greater LessOrEqual GreaterOrEqual Where BitwiseAnd BitwiseOr "
    "BitwiseXor BitShift Mean",
    Sort.CONCAT: "Concat", Sort.RELU: "Relu", Sort.CLIP: "Clip", Sort.LEAKY_RELU: "LeakyRelu",
    Sort.PRELU: "PRelu", Sort.HARD_SIGMOID: "HardSigmoid", Sort.HARD_SWISH: "HardSwish",
    Sort.SIGMOID: "Sigmoid",
    Sort.SMOOTH: "Tanh Gelu Elu Selu Celu Mish Softplus Softsign Erf Swish",
    Sort.SOFTMAX: "Softmax LogSoftmax", Sort.NORM: "BatchNormalization",
    Sort.LIVE_NORM: "LayerNormalization InstanceNormalization GroupNormalization LRN "
    "RMSNormalization LpNormalization MeanVarianceNormalization",
    Sort.PAD: "Pad", Sort.RESIZE: "Resize Upsample",
    Sort.RESHAPE: "Flatten Reshape Squeeze Unsqueeze", Sort.PERMUTE: "Transpose",
    Sort.SLICE: "Slice Split Gather", Sort.SHUFFLE: "DepthToSpace SpaceToDepth",
    Sort.ARGMAX: "ArgMax ArgMin TopK",
    Sort.NOTHING: "Identity Dropout QuantizeLinear DequantizeLinear",
}  # fmt: skip
#: Operator → what it does.
SORTS: Mapping[str, Sort] = MappingProxyType(
    {word: sort for sort, words in _BY_SORT.items() for word in words.split()}
)


@dataclass(frozen=True, slots=True)
class Site:
    """One node with what is known around it.

    Attributes:
        node: The node.
        constants: Values of constant names; None where a value is not known.
        input_shapes: Of its inputs that are not constant, without batch axis.
        shape: Of its first output.
        attributes: As Python values.
    """

    node: onnx.NodeProto
    constants: Mapping[str, Any]
    input_shapes: tuple[Shape, ...]
    shape: Shape
    attributes: Mapping[str, Any]

    def constant(self, place: int) -> Any:
        """Return the value of a constant input; None if there is none, or it is not known."""
        if place >= len(self.node.input):
            return None
        return self.constants.get(self.node.input[place])

    def ints(self, key: str, otherwise: int, count: int) -> tuple[int, ...]:
        """Return a list attribute, or a default for every place."""
        found = self.attributes.get(key)
        return tuple(int(one) for one in found) if found else (otherwise,) * count


Facts: TypeAlias = dict[str, Any]


def _window(site: Site, kernel: tuple[int, ...]) -> Facts:
    axes = len(kernel)
    size = site.input_shapes[0][1:] if site.input_shapes and site.input_shapes[0] else ()
    strides = site.ints("strides", 1, axes)
    dilations = site.ints("dilations", 1, axes)
    pads = site.ints("pads", 0, 2 * axes)
    automatic = site.attributes.get("auto_pad", b"NOTSET")
    if automatic in (b"SAME_UPPER", b"SAME_LOWER") and len(size) == axes:
        total = [max((math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n, 0)
                 for n, k, s, d in zip(size, kernel, strides, dilations)]  # fmt: skip
        small, large = [one // 2 for one in total], [one - one // 2 for one in total]
        pads = tuple([*small, *large] if automatic == b"SAME_UPPER" else [*large, *small])
    return {"kernel": kernel, "strides": strides, "dilations": dilations, "pads": pads}


def _convolution(site: Site) -> Facts:
    weights = site.constant(1)
    groups = int(site.attributes.get("group", 1))
    shape = None if weights is None else tuple(weights.shape)
    kernel = tuple(shape[2:]) if shape else tuple(site.attributes.get("kernel_shape", ()))
    found = _window(site, kernel) if kernel else {}
    found["groups"] = groups
    before = site.input_shapes[0] if site.input_shapes else None
    if shape is not None and len(shape) > 2:
        transposed = site.node.op_type == "ConvTranspose"
        found["channels_in"] = shape[0] if transposed else shape[1] * groups
        found["channels_out"] = shape[1] * groups if transposed else shape[0]
    elif before:
        found["channels_in"] = before[0]
    if "output_padding" in site.attributes:
        found["output_padding"] = site.ints("output_padding", 0, len(kernel))
    return found


def _dense(site: Site) -> Facts:
    """Return the facts of a product with constant weights, which is a dense layer."""
    weights = site.constant(1)
    if weights is None or getattr(weights, "ndim", 0) != 2:
        return {"computed": True} if site.node.op_type == "Gemm" else {}
    first, second = weights.shape
    if site.attributes.get("transB"):
        first, second = second, first
    return {"sort": Sort.DENSE, "channels_in": first, "channels_out": second, "computed": False}


def _pool(site: Site) -> Facts:
    before = site.input_shapes[0] if site.input_shapes else None
    if site.node.op_type.startswith("Global"):
        if not before:
            return {}
        return _window(site, tuple(before[1:]))
    return _window(site, tuple(site.attributes.get("kernel_shape", ())))


def _operands(site: Site) -> Facts:
    """Return the facts of a constant operand; a quotient by one is a product."""
    for place, name in enumerate(site.node.input):
        if name not in site.constants:
            continue
        constant = site.constant(place)
        found: Facts = {"constant": None if constant is None else tuple(constant.shape)}
        single = constant is not None and constant.size == 1
        value = float(constant.reshape(-1)[0]) if single else None
        if site.node.op_type == "Div":
            if place == 0 or value == 0.0:
                return {}
            found["sort"] = Sort.MUL
            value = None if value is None else 1.0 / value
        return found if value is None else {**found, "value": value}
    return {}


def _clip(site: Site) -> Facts:
    low, high = (site.constant(1), site.constant(2))
    low = site.attributes.get("min") if low is None else float(low)
    high = site.attributes.get("max") if high is None else float(high)
    if low == 0.0:
        return {"sort": {6.0: Sort.RELU6, None: Sort.RELU}.get(high, Sort.CLIP)}
    return {}


def _leaky(site: Site) -> Facts:
    return {"slope": float(site.attributes.get("alpha", 0.01))}


def _hard(site: Site) -> Facts:
    return {"alpha": float(site.attributes.get("alpha", 0.2)),
            "beta": float(site.attributes.get("beta", 0.5))}  # fmt: skip


def _mean(site: Site) -> Facts:
    """Return the facts of a mean: over a whole image it is a pool."""
    axes = site.attributes.get("axes", site.constant(1))
    before = site.input_shapes[0] if site.input_shapes else None
    if axes is None or before is None:
        return {}
    rank = len(before) + 1
    found = tuple(sorted(int(axis) % rank for axis in axes))
    if found == tuple(range(2, rank)) and rank > 2:
        return {"sort": Sort.AVERAGE_POOL, **_window(site, tuple(before[1:]))}
    return {"axes": found}


def _pad(site: Site) -> Facts:
    mode = site.attributes.get("mode", b"constant")
    pads = site.attributes.get("pads", site.constant(1))
    found: Facts = {"mode": mode.decode() if isinstance(mode, bytes) else str(mode)}
    before = site.input_shapes[0] if site.input_shapes else None
    if before:
        found["channels_in"] = before[0]
    if pads is not None:
        half = len(pads) // 2
        found["pads"] = tuple(int(one) for one in (*pads[2:half], *pads[half + 2 :]))
    return found


def _resize(site: Site) -> Facts:
    mode = site.attributes.get("mode", b"nearest")
    sort = {b"nearest": Sort.NEAREST, b"linear": Sort.BILINEAR}.get(mode, Sort.RESIZE)
    coordinates = site.attributes.get("coordinate_transformation_mode", b"half_pixel")
    found: Facts = {"sort": sort, "coordinates": coordinates.decode()}
    before = site.input_shapes[0] if site.input_shapes else None
    if before and site.shape and len(before) == len(site.shape):
        found["factors"] = tuple(new / old for old, new in zip(before[1:], site.shape[1:]))
    return found


def _reshape(site: Site) -> Facts:
    before = site.input_shapes[0] if site.input_shapes else None
    if not before:
        return {}
    return {"reorders": len(before) > 1 and before[0] > 1 and math.prod(before[1:]) > 1}


def _axis(site: Site) -> Facts:
    axis = int(site.attributes.get("axis", 1))
    rank = len(site.shape) + 1 if site.shape else 4
    return {"axis": axis % rank}


FACTS: Mapping[str, Callable[[Site], Facts]] = MappingProxyType({
    "Conv": _convolution, "ConvTranspose": _convolution, "Gemm": _dense, "MatMul": _dense,
    "MaxPool": _pool, "AveragePool": _pool, "GlobalMaxPool": _pool, "GlobalAveragePool": _pool,
    **dict.fromkeys(("Add", "Sum", "Sub", "Mul", "Div"), _operands), "Clip": _clip,
    "LeakyRelu": _leaky, "HardSigmoid": _hard, "ReduceMean": _mean, "Pad": _pad,
    "Resize": _resize, "Upsample": _resize, "Flatten": _reshape, "Reshape": _reshape,
    "Squeeze": _reshape, "Unsqueeze": _reshape, "Concat": _axis,
})  # fmt: skip
