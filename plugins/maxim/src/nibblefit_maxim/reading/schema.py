"""The network YAML's keys: names, aliases and what each value must be.

Source: ai8x-synthesis commit ab4f4c0, `izer/yamlcfg.py`. Unknown and duplicate keys are fatal there
and here. Where the compiler merely warns about a default, the default is taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nibblefit_maxim.layers import Activation, Eltwise, Operator
from nibblefit_maxim.parts import PROCESSORS, QUADRANTS
from nibblefit_maxim.reading.yaml_text import Value

GLOBAL_KEYS = frozenset(
    {"arch", "dataset", "layers", "output_map", "unload", "data_buffer", "snoop", "bias", "weights"}
)
REQUIRED_GLOBAL_KEYS = ("arch", "dataset", "layers")

OPERATORS: Mapping[str, Operator | Eltwise] = {
    "conv1d": Operator.CONV1D,
    "conv2d": Operator.CONV2D,
    "convtranspose2d": Operator.CONV_TRANSPOSE2D,
    "linear": Operator.LINEAR,
    "fc": Operator.LINEAR,
    "mlp": Operator.LINEAR,
    "none": Operator.PASSTHROUGH,
    "passthrough": Operator.PASSTHROUGH,
    **{word: kind for kind in Eltwise for word in (kind.value, f"bitwise{kind.value}")},
    "bitwise_or": Eltwise.OR,
    "bitwise_xor": Eltwise.XOR,
}
RESERVED_NAMES = frozenset({"stop", "input"})
#: Value of `quantization` for weights of plus and minus one.
BINARY = -1


class BadValueError(ValueError):
    """A value does not fit its key; the text says what was expected."""


Reader = Callable[[Any], Any]


def _integer(low: int, high: int | None = None) -> Reader:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadValueError("expected an integer")
        if value < low or (high is not None and value > high):
            limit = f"{low} to {high}" if high is not None else f"{low} or more"
            raise BadValueError(f"expected {limit}")
        return value

    return read


def processor_map(value: Any) -> int:
    """Read a 64-bit map: an integer, or hexadecimal text that may hold dots and underscores."""
    if isinstance(value, str):
        digits = value.replace(".", "").replace("_", "")
        if not re.fullmatch(r"(0[xX])?[0-9a-fA-F]+", digits):
            raise BadValueError("expected a 64-bit map such as 0x000000000000ffff")
        value = int(digits, 16)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << PROCESSORS:
        raise BadValueError("expected a map with at least one of 64 bits set")
    return value


def byte_offset(value: Any) -> int:
    """Read an offset in data memory: whole words, in bytes."""
    offset: int = _integer(0)(value)
    if offset % 4:
        raise BadValueError("expected a multiple of 4 bytes")
    return offset


def _pair(low: int, high: int | None = None) -> Reader:
    one = _integer(low, high)

    def read(value: Any) -> tuple[int, int]:
        if isinstance(value, list):
            if len(value) != 2:
                raise BadValueError("expected one integer or two")
            return one(value[0]), one(value[1])
        return one(value), one(value)

    return read


def _sides(value: Any) -> tuple[int, ...]:
    one = _integer(1)
    return tuple(one(item) for item in value) if isinstance(value, list) else (one(value),)


def _kernel(value: Any) -> tuple[int, ...]:
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    match = re.fullmatch(r"(\d+)x(\d+)", str(value).strip().lower())
    if match is None:
        raise BadValueError("expected a size such as 3x3, or an integer for 1-D")
    return int(match[1]), int(match[2])


def _one_of(words: Mapping[str, Any]) -> Reader:
    def read(value: Any) -> Any:
        word = "none" if value is None else str(value).lower()
        if word not in words:
            raise BadValueError("expected one of " + ", ".join(sorted(words)))
        return words[word]

    return read


def _quantization(value: Any) -> int:
    if isinstance(value, str) and value.lower() in ("bin", "binary"):
        return BINARY
    if isinstance(value, bool) or value not in (1, 2, 4, 8):
        raise BadValueError("expected 1, 2, 4, 8 or binary")
    return int(value)


def _width(value: Any) -> int:
    if isinstance(value, bool) or value not in (8, 32):
        raise BadValueError("expected 8 or 32")
    return int(value)


def _text(value: Any) -> str:
    return str(value)


def _names(value: Any) -> tuple[int | str, ...]:
    items = value if isinstance(value, list) else [value]
    for item in items:
        if isinstance(item, bool) or not isinstance(item, int | str):
            raise BadValueError("expected layer numbers or names")
    if not items:
        raise BadValueError("expected at least one layer")
    return tuple(items)


def _sequence(value: Any) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadValueError("expected a layer's number or name, or 'stop'")
    return value


def _quadrants(value: Any) -> tuple[int, ...]:
    one = _integer(0)
    items = tuple(one(item) for item in (value if isinstance(value, list) else [value]))
    if any(item >= QUADRANTS for item in items):
        raise BadValueError("expected quadrants 0 to 3; others do not exist")
    return items


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a layer: canonical name and reader of its value."""

    name: str
    read: Reader


_ACTIVATIONS = {kind.value: kind for kind in Activation}
_FORMATS = {"hwc": "hwc", "little": "hwc", "chw": "chw", "big": "chw"}
_POOL_SIDE = _pair(1, 16)

#: Every key of a layer under all its spellings.
LAYER_KEYS: Mapping[str, Key] = {
    alias: Key(name, read)
    for name, aliases, read in (
        ("processors", (), processor_map),
        ("output_processors", (), processor_map),
        ("op", ("operation", "operator", "convolution"), _one_of(OPERATORS)),
        ("eltwise", (), _one_of({k: v for k, v in OPERATORS.items() if isinstance(v, Eltwise)})),
        ("operands", (), _integer(1, 16)),
        ("pool_first", (), bool),
        ("max_pool", (), _POOL_SIDE),
        ("avg_pool", (), _POOL_SIDE),
        ("pool_stride", (), _POOL_SIDE),
        ("pool_dilation", (), _POOL_SIDE),
        ("kernel_size", (), _kernel),
        ("pad", (), _integer(0, 2)),
        ("stride", (), _pair(1)),
        ("dilation", (), _integer(1)),
        ("output_pad", (), _pair(0, 1)),
        ("groups", ("conv_groups",), _integer(1)),
        ("activate", ("activation",), _one_of(_ACTIVATIONS)),
        ("output_width", (), _width),
        ("quantization", (), _quantization),
        ("output_shift", (), _integer(-32, 32)),
        ("in_offset", (), byte_offset),
        ("out_offset", (), byte_offset),
        ("in_dim", (), _sides),
        ("in_channels", (), _integer(1)),
        ("out_channels", (), _integer(1)),
        ("in_crop", (), _pair(0)),
        ("in_channel_skip", (), _integer(0)),
        ("in_skip", ("read_gap",), _integer(0)),
        ("in_sequences", (), _names),
        ("write_gap", (), _integer(0)),
        ("flatten", (), bool),
        ("streaming", (), bool),
        ("output", (), bool),
        ("bypass", (), bool),
        ("calcx4", (), bool),
        ("readahead", (), bool),
        ("tcalc", (), bool),
        ("data_format", (), _one_of(_FORMATS)),
        ("name", (), _text),
        ("sequence", (), _integer(0)),
        ("next_sequence", (), _sequence),
        ("simulated_sequence", (), _sequence),
        ("snoop_sequence", (), _sequence),
        ("weight_source", (), _sequence),
        ("bias_group", ("bias_quadrant",), _quadrants),
        ("buffer_shift", (), _integer(1)),
        ("buffer_insert", (), _integer(1)),
    )
    for alias in (name, *aliases)
}


def closest(word: str, words: Mapping[str, Any] | frozenset[str]) -> str:
    """Return a hint naming the known key most like `word`, or an empty text."""
    from difflib import get_close_matches

    found = get_close_matches(word, list(words), n=1)
    return f"; did you mean '{found[0]}'?" if found else ""


def read_value(key: Key, value: Value) -> Any:
    """Return the value of one key.

    Raises:
        BadValueError: The value does not fit.
    """
    if isinstance(value.content, dict):
        raise BadValueError("expected a value, not a mapping")
    return key.read(value.plain())
