"""Shapes of ONNX tensors, node by node, as far as they follow from the file.

onnx's own inference ends the whole process at some contradicting attributes; here they end in an
unknown shape. Shapes count the batch axis, whose size may be None like that of any other axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from types import MappingProxyType
from typing import Any, TypeAlias

Size: TypeAlias = int | None
Full: TypeAlias = tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known around one node.

    Attributes:
        shapes: Of its inputs, in their order; None for those that are not known or left out.
        values: Values of its constant inputs, in the same order; None for all others.
        attributes: As Python values.
        outputs: How many outputs it has.
    """

    shapes: tuple[Full | None, ...]
    values: tuple[Any, ...]
    attributes: Mapping[str, Any]
    outputs: int

    @property
    def first(self) -> Full:
        """Shape of the first input; raises LookupError if it is not known."""
        if not self.shapes or self.shapes[0] is None:
            raise LookupError
        return self.shapes[0]

    def numbers(self, key: str, place: int) -> list[int]:
        """Return whole numbers of an attribute, else of an input; raises LookupError."""
        found = self.attributes.get(key)
        if found is None and place < len(self.values):
            found = self.values[place]
        if found is None:
            raise LookupError(key)
        return [int(one) for one in found]


def output_shapes(word: str, known: Known) -> list[Full | None]:
    """Return the shapes of a node's outputs; None for those that are not known."""
    rule = _RULES.get(word)
    if rule is None:
        return [None] * known.outputs
    try:
        found = rule(known)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
        return [None] * known.outputs
    shapes = found if isinstance(found, list) else [found]
    sound = [one if one is None or all(size is None or size >= 0 for size in one) else None
             for one in shapes]  # fmt: skip
    return [*sound, *[None] * known.outputs][: known.outputs]


def _same(known: Known) -> Full:
    return known.first


def _broadcast(known: Known) -> Full:
    found: list[Size] = []
    shapes = [shape for shape in known.shapes if shape is not None]
    if len(shapes) != len(known.shapes):
        raise LookupError
    for sizes in zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1):
        known_sizes = {size for size in sizes if size is not None and size != 1}
        if len(known_sizes) > 1:
            raise ValueError(sizes)
        found.append(known_sizes.pop() if known_sizes else None if None in sizes else 1)
    return tuple(reversed(found))


def _list(known: Known, key: str, otherwise: int, count: int) -> list[int]:
    found = known.attributes.get(key)
    return [int(one) for one in found] if found else [otherwise] * count


def _slid(known: Known, kernel: Sequence[int], channels: Size) -> Full:
    """Return the shape after moving a window over every spatial axis."""
    before, axes = known.first, len(kernel)
    if len(before) != axes + 2:
        raise ValueError(kernel)
    strides, dilations = _list(known, "strides", 1, axes), _list(known, "dilations", 1, axes)
    pads = _list(known, "pads", 0, 2 * axes)
    automatic = known.attributes.get("auto_pad", b"NOTSET")
    up = bool(known.attributes.get("ceil_mode", 0))
    sizes: list[Size] = []
    for axis, size in enumerate(before[2:]):
        if size is None:
            sizes.append(None)
        elif automatic in (b"SAME_UPPER", b"SAME_LOWER"):
            sizes.append(math.ceil(size / strides[axis]))
        else:
            room = size + pads[axis] + pads[axis + axes] - dilations[axis] * (kernel[axis] - 1) - 1
            sizes.append((-(-room // strides[axis]) if up else room // strides[axis]) + 1)
    return (before[0], channels, *sizes)


def _conv(known: Known) -> Full:
    weights = known.shapes[1]
    if weights is None:
        raise LookupError
    return _slid(known, [int(size or 0) for size in weights[2:]], weights[0])


def _transposed(known: Known) -> Full:
    weights, before = known.shapes[1], known.first
    if weights is None:
        raise LookupError
    kernel = [int(size or 0) for size in weights[2:]]
    axes, groups = len(kernel), int(known.attributes.get("group", 1))
    strides, dilations = _list(known, "strides", 1, axes), _list(known, "dilations", 1, axes)
    pads, more = _list(known, "pads", 0, 2 * axes), _list(known, "output_padding", 0, axes)
    if "output_shape" in known.attributes or known.attributes.get("auto_pad", b"") != b"":
        raise LookupError
    sizes = [
        None if size is None else (size - 1) * strides[axis] - pads[axis] - pads[axis + axes]
        + dilations[axis] * (kernel[axis] - 1) + 1 + more[axis]
        for axis, size in enumerate(before[2:])
    ]  # fmt: skip
    return (before[0], None if weights[1] is None else weights[1] * groups, *sizes)


def _pool(known: Known) -> list[Full | None]:
    found = _slid(known, known.numbers("kernel_shape", 99), known.first[1])
    return [found, found]


def _global(known: Known) -> Full:
    return (*known.first[:2], *(1 for _ in known.first[2:]))


def _gemm(known: Known) -> Full:
    second = known.shapes[1]
    if second is None:
        raise LookupError
    rows = known.first[1 if known.attributes.get("transA") else 0]
    return (rows, second[0 if known.attributes.get("transB") else 1])


def _matmul(known: Known) -> Full:
    first, second = known.first, known.shapes[1]
    if second is None or len(first) < 2 or len(second) < 2:
        raise LookupError
    outer = Known((first[:-2], second[:-2]), (), {}, 1)
    return (*_broadcast(outer), first[-2], second[-1])


def _product(sizes: Sequence[Size]) -> Size:
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


def _flatten(known: Known) -> Full:
    axis = int(known.attributes.get("axis", 1))
    return (_product(known.first[:axis]), _product(known.first[axis:]))


def _reshape(known: Known) -> Full:
    before, wanted = known.first, known.numbers("shape", 1)
    found: list[Size] = [before[place] if size == 0 else size for place, size in enumerate(wanted)]
    if -1 not in found:
        return tuple(found)
    place = found.index(-1)
    rest = [size for other, size in enumerate(found) if other != place]
    left = list(before)
    if before[0] is None and (rest and rest[0] is None and place > 0):
        rest, left = rest[1:], left[1:]  # the open batch axis stays as it is
    total, known_part = _product(left), _product(rest)
    found[place] = None if total is None or not known_part else total // known_part
    return tuple(found)


def _transpose(known: Known) -> Full:
    order = known.attributes.get("perm") or range(len(known.first))[::-1]
    return tuple(known.first[int(axis)] for axis in order)


def _concat(known: Known) -> Full:
    shapes = [shape for shape in known.shapes if shape is not None]
    if len(shapes) != len(known.shapes):
        raise LookupError
    axis = int(known.attributes["axis"]) % len(shapes[0])
    sizes = [shape[axis] for shape in shapes]
    joined = None if None in sizes else sum(size for size in sizes if size is not None)
    return (*shapes[0][:axis], joined, *shapes[0][axis + 1 :])


def _pad(known: Known) -> Full:
    pads, before = known.numbers("pads", 1), known.first
    half = len(pads) // 2
    if half != len(before):
        raise LookupError
    return tuple(None if size is None else size + pads[axis] + pads[axis + half]
                 for axis, size in enumerate(before))  # fmt: skip


def _resize(known: Known) -> Full:
    if len(known.values) > 3 and known.values[3] is not None:
        sizes = known.numbers("", 3)
        return (known.first[0], *sizes[1:]) if len(sizes) == len(known.first) else tuple(sizes)
    scales = known.attributes.get("scales")
    for place in (2, 1):
        if scales is None and place < len(known.values) and known.values[place] is not None:
            scales = known.values[place]
    if scales is None or len(scales) != len(known.first):
        raise LookupError
    return tuple(None if size is None else math.floor(size * float(scale))
                 for size, scale in zip(known.first, scales))  # fmt: skip


def _squeeze(known: Known) -> Full:
    before = known.first
    axes = {axis % len(before) for axis in known.numbers("axes", 1)}
    return tuple(size for axis, size in enumerate(before) if axis not in axes)


def _unsqueeze(known: Known) -> Full:
    axes = known.numbers("axes", 1)
    rank = len(known.first) + len(axes)
    places = {axis % rank for axis in axes}
    if len(places) != len(axes):
        raise ValueError(axes)
    rest = iter(known.first)
    return tuple(1 if axis in places else next(rest) for axis in range(rank))


def _reduced(known: Known) -> Full:
    axes = {axis % len(known.first) for axis in known.numbers("axes", 1)}
    keeps = bool(known.attributes.get("keepdims", 1))
    return tuple(1 if axis in axes else size for axis, size in enumerate(known.first)
                 if keeps or axis not in axes)  # fmt: skip


def _arg(known: Known) -> Full:
    axis = int(known.attributes.get("axis", 0)) % len(known.first)
    keeps = bool(known.attributes.get("keepdims", 1))
    return (*known.first[:axis], *([1] if keeps else []), *known.first[axis + 1 :])


def _split(known: Known) -> list[Full | None]:
    axis = int(known.attributes.get("axis", 0)) % len(known.first)
    whole = known.first[axis]
    try:
        sizes: list[int] = known.numbers("split", 1)
    except LookupError:
        if whole is None:
            raise
        size = -(-whole // known.outputs)
        sizes = [min(size, whole - place * size) for place in range(known.outputs)]
    return [(*known.first[:axis], size, *known.first[axis + 1 :]) for size in sizes]


def _slice(known: Known) -> Full:
    starts, ends = known.numbers("starts", 1), known.numbers("ends", 2)
    found = list(known.first)
    axes = known.values[3] if len(known.values) > 3 and known.values[3] is not None else range(
        len(starts))  # fmt: skip
    steps = known.values[4] if len(known.values) > 4 and known.values[4] is not None else [
        1] * len(starts)  # fmt: skip
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        size = found[int(axis)]
        if size is not None:
            found[int(axis)] = len(range(size)[start : end : int(step)])
    return tuple(found)


def _depth_to_space(known: Known) -> Full:
    block = int(known.attributes["blocksize"])
    batch, channels, *sizes = known.first
    return (batch, None if channels is None else channels // block**2,
            *(None if size is None else size * block for size in sizes))  # fmt: skip


_KEEPING = (
    "Relu LeakyRelu PRelu Clip Sigmoid Tanh HardSigmoid HardSwish Elu Selu Celu Mish Gelu Softplus "
    "Softsign Erf Swish Softmax LogSoftmax BatchNormalization InstanceNormalization Identity "
    "LayerNormalization GroupNormalization LRN Dropout Cast Abs Neg Sqrt Exp Log Floor Ceil Round "
    "Sign Reciprocal QuantizeLinear DequantizeLinear LpNormalization MeanVarianceNormalization"
)
_JOINING = "Add Sub Mul Div Pow Max Min Sum Mean Mod And Or Xor Equal Less Greater Where"
_RULES: Mapping[str, Callable[[Known], Full | list[Full | None]]] = MappingProxyType({
    **dict.fromkeys(_KEEPING.split(), _same), **dict.fromkeys(_JOINING.split(), _broadcast),
    "Conv": _conv, "ConvTranspose": _transposed, "MaxPool": _pool, "AveragePool": _pool,
    "GlobalAveragePool": _global, "GlobalMaxPool": _global, "Gemm": _gemm, "MatMul": _matmul,
    "Flatten": _flatten, "Reshape": _reshape, "Transpose": _transpose, "Concat": _concat,
    "Pad": _pad, "Resize": _resize, "Upsample": _resize, "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze, "ReduceMean": _reduced, "ReduceSum": _reduced, "ReduceMax": _reduced,
    "ArgMax": _arg, "ArgMin": _arg, "Split": _split, "Slice": _slice,
    "DepthToSpace": _depth_to_space,
})  # fmt: skip
