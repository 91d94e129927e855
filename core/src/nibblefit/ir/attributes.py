"""Attributes of every operator: names, kinds and defaults, for the float and the quantized graph.

A missing attribute with a default means the default; geometry (strides, pads, dilations,
output_padding) defaults to one, zero, one, zero per spatial axis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nibblefit.fixed.formats import Rounding
from nibblefit.fixed.geometry import Window, window
from nibblefit.fixed.steps import Step
from nibblefit.ir.graph import Attributes
from nibblefit.ir.ops import ELEMENTWISE, Op

COORDINATES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
NEAREST_MODES = ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
SHUFFLE_ORDERS = ("crd", "dcr")

_REQUIRED = object()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of attribute value: how to say it and how to check it."""

    words: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its kind and its default, if it has one."""

    kind: Kind
    default: Any = _REQUIRED

    @property
    def is_required(self) -> bool:
        """Whether there is no default."""
        return self.default is _REQUIRED


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _all_ints(value: Any) -> bool:
    return isinstance(value, tuple) and all(_is_int(item) for item in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _one_of(*words: str) -> Kind:
    return Kind("one of " + ", ".join(words), lambda value: value in words)


INT = Kind("an integer", _is_int)
COUNT = Kind("an integer of 1 or more", lambda v: _is_int(v) and v >= 1)
INTS = Kind("a tuple of integers", _all_ints)
COUNTS = Kind("a tuple of integers of 1 or more", lambda v: _all_ints(v) and min(v, default=1) > 0)
SIZES = Kind("a tuple of integers of 0 or more", lambda v: _all_ints(v) and min(v, default=0) >= 0)
FLAG = Kind("true or false", lambda v: isinstance(v, bool))
NUMBER = Kind("a number", _is_number)
TEXT = Kind("a text", lambda v: isinstance(v, str))
PERCENT = Kind("an integer from 0 to 100", lambda v: _is_int(v) and 0 <= v <= 100)
BOUND = Kind("a number or None", lambda v: v is None or _is_number(v))
INT_BOUND = Kind("an integer or None", lambda v: v is None or _is_int(v))
STEPS = Kind(
    "a tuple of steps", lambda v: isinstance(v, tuple) and all(isinstance(s, Step) for s in v)
)
ROUNDING = _one_of(*(r.value for r in Rounding))
BITS = Kind("an integer from 1 to 63", lambda v: _is_int(v) and 1 <= v <= 63)
WEIGHT_BITS = Kind("an integer from 1 to 20", lambda v: _is_int(v) and 1 <= v <= 20)
ENDS = Kind(
    "a tuple of integers or None",
    lambda v: isinstance(v, tuple) and all(i is None or _is_int(i) for i in v),
)

Table = Mapping[str, Attribute]

_GEOMETRY: Table = {
    "strides": Attribute(COUNTS, ()),
    "pads": Attribute(SIZES, ()),
    "dilations": Attribute(COUNTS, ()),
}
_CONV: Table = {**_GEOMETRY, "groups": Attribute(COUNT, 1)}
_POOL: Table = {"kernel": Attribute(COUNTS), **_GEOMETRY, "ceil_mode": Attribute(FLAG, False)}
_RESIZE: Table = {"sizes": Attribute(COUNTS), "coordinates": Attribute(_one_of(*COORDINATES))}
_NONE: Table = {}
#: Real values become words ⌊x · 2^frac + ½⌋ of `bits` bits, clipped; results are word · 2^−frac.
_WORDS: Table = {"bits": Attribute(BITS, 8), "frac": Attribute(INT, 7)}

#: Attributes that mean the same in both graphs.
SHARED: Mapping[Op, Table] = {
    Op.CONV: _CONV,
    Op.CONV_TRANSPOSE: {**_CONV, "output_padding": Attribute(SIZES, ())},
    Op.LINEAR: _NONE,
    Op.MATMUL: _NONE,
    Op.MAX_POOL: _POOL,
    Op.GLOBAL_AVG_POOL: _NONE,
    Op.GLOBAL_MAX_POOL: _NONE,
    **dict.fromkeys(ELEMENTWISE, _NONE),
    Op.CONCAT: {"axis": Attribute(INT)},
    Op.SLICE: {
        "axes": Attribute(INTS),
        "starts": Attribute(INTS),
        "ends": Attribute(ENDS),
        "strides": Attribute(INTS, ()),
    },
    Op.SPLIT: {"axis": Attribute(INT), "sizes": Attribute(COUNTS)},
    Op.RELU: _NONE,
    Op.ABS: _NONE,
    Op.ARGMAX: {"axis": Attribute(INT), "keepdims": Attribute(FLAG, False)},
    Op.SCALE_OFFSET: _NONE,
    Op.RESIZE_NEAREST: {
        **_RESIZE,
        "nearest_mode": Attribute(_one_of(*NEAREST_MODES), "floor"),
    },
    Op.PIXEL_SHUFFLE: {
        "factor": Attribute(COUNT),
        "order": Attribute(_one_of(*SHUFFLE_ORDERS), "crd"),
    },
    Op.FLATTEN: {"start_axis": Attribute(COUNT, 1)},
    Op.RESHAPE: {"shape": Attribute(COUNTS)},
    Op.TRANSPOSE: {"perm": Attribute(INTS)},
    Op.IDENTITY: _NONE,
}

#: Attributes of the float graph.
FLOAT: Mapping[Op, Table] = {
    **SHARED,
    Op.AVG_POOL: {**_POOL, "count_include_pad": Attribute(FLAG)},
    Op.CLIP: {"lo": Attribute(BOUND), "hi": Attribute(BOUND)},
    Op.LEAKY_RELU: {"slope": Attribute(NUMBER)},
    Op.PRELU: _NONE,
    Op.HARD_SIGMOID: {"alpha": Attribute(NUMBER, 1 / 6), "beta": Attribute(NUMBER, 0.5)},
    Op.HARD_SWISH: _NONE,
    Op.OR: _WORDS,
    Op.XOR: _WORDS,
    Op.SIGMOID: _NONE,
    Op.TANH: _NONE,
    Op.SOFTMAX: {"axis": Attribute(INT)},
    Op.BATCH_NORM: {"epsilon": Attribute(NUMBER), "momentum": Attribute(NUMBER, 0.1)},
    Op.PAD: {"pads": Attribute(SIZES), "value": Attribute(NUMBER, 0)},
    Op.RESIZE_BILINEAR: _RESIZE,
    Op.DROPOUT: {"p": Attribute(NUMBER, 0.5), "whole_channels": Attribute(FLAG, False)},
}

#: Attributes of the quantized graph.
QUANTIZED: Mapping[Op, Table] = {
    **SHARED,
    Op.AVG_POOL: {**_POOL, "count_include_pad": Attribute(FLAG, False)},
    Op.CLIP: {"lo": Attribute(INT_BOUND), "hi": Attribute(INT_BOUND)},
    Op.LEAKY_RELU: {"negative": Attribute(STEPS), "positive": Attribute(STEPS, ())},
    Op.PRELU: {"negative": Attribute(STEPS), "positive": Attribute(STEPS, ())},
    Op.HARD_SIGMOID: {"three": Attribute(INT), "six": Attribute(INT)},
    Op.HARD_SWISH: {"three": Attribute(INT), "six": Attribute(INT), "gate": Attribute(STEPS, ())},
    Op.TABLE: {"lowest": Attribute(INT)},
    Op.SOFTMAX: {
        "axis": Attribute(INT),
        "numerator": Attribute(COUNT),
        "rounding": Attribute(ROUNDING),
    },
    Op.PAD: {"pads": Attribute(SIZES), "value": Attribute(INT, 0)},
    Op.RESIZE_BILINEAR: {**_RESIZE, "weight_bits": Attribute(WEIGHT_BITS)},
    Op.CHOOSE_SHIFT: {
        "bits": Attribute(BITS),
        "signed": Attribute(FLAG),
        "history_first": Attribute(PERCENT, 0),
        "history": Attribute(PERCENT, 0),
        "first_frames": Attribute(INT, 0),
        "margin": Attribute(Kind("an integer of 0 or more", lambda v: _is_int(v) and v >= 0), 0),
        "state": Attribute(TEXT),
    },
    Op.SHIFT_RIGHT: {"rounding": Attribute(ROUNDING)},
}


def problems(op: Op, attributes: Attributes, table: Mapping[Op, Table]) -> list[str]:
    """Return what is wrong with the attributes of one operator, in words; empty if nothing."""
    if op not in table:
        return [f"operator {op.value} does not exist in this kind of graph"]
    known = table[op]
    found = [
        f"attribute '{key}' is unknown to {op.value}" for key in attributes if key not in known
    ]
    for key, attribute in known.items():
        if key not in attributes:
            if attribute.is_required:
                found.append(f"attribute '{key}' is missing; expected {attribute.kind.words}")
        elif not attribute.kind.holds(attributes[key]):
            found.append(
                f"attribute '{key}' is {attributes[key]!r}; expected {attribute.kind.words}"
            )
    return found


def spatial(attributes: Attributes, key: str, axes: int, default: int) -> tuple[int, ...]:
    """Return a geometry attribute with one entry per axis, filled with `default` if absent."""
    return tuple(attributes.get(key) or (default,) * axes)


def window_of(attributes: Attributes, kernel: tuple[int, ...]) -> Window:
    """Return the window geometry stated by the attributes of a convolution or a pool."""
    return window(
        kernel,
        attributes.get("strides"),
        attributes.get("pads"),
        attributes.get("dilations"),
        bool(attributes.get("ceil_mode", False)),
    )
