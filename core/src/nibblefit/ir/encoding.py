"""Graphs, formats and steps as JSON-like values and back.

Decoding trusts nothing: whatever has the wrong type or range raises one of `DECODE_ERRORS`, which
the store turns into one clear InputError.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from nibblefit.errors import GraphError
from nibblefit.fixed.formats import Accumulator, Format, Overflow, Rounding, Scale
from nibblefit.fixed.steps import STEP_TYPES, Step, Steps
from nibblefit.ir.graph import frozen_mapping

DECODE_ERRORS = (
    KeyError, ValueError, TypeError, AttributeError, OverflowError, IndexError, RecursionError,
)  # fmt: skip

T = TypeVar("T")
Sequence_ = Callable[[Any], Any]


def encode_value(value: Any) -> Any:
    """Return a JSON value for None, bool, int, float, str, steps, sequences and mappings of them.

    Numbers that are not finite become ``{"$float": "nan"}``, steps ``{"$step": …}``.

    Raises:
        GraphError: The value has no JSON form.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, Step):
        return {"$step": encode_step(value)}
    if isinstance(value, list | tuple):
        return [encode_value(item) for item in value]
    if isinstance(value, Mapping):
        bad = [key for key in value if not isinstance(key, str) or key.startswith("$")]
        if bad:
            raise GraphError(f"a stored mapping has the key {bad[0]!r}; expected text without $")
        return {key: encode_value(item) for key, item in value.items()}
    raise GraphError(
        f"a {type(value).__name__} cannot be stored with a graph",
        hint="keep metadata to numbers, text, sequences and mappings",
    )


def decode_value(value: Any, sequence: type[list[Any]] | type[tuple[Any, ...]] = list) -> Any:
    """Return what `encode_value` was given; sequences come back as `sequence`."""
    if isinstance(value, list):
        return sequence(decode_value(item, sequence) for item in value)
    if not isinstance(value, dict):
        return value
    if set(value) == {"$float"}:
        return float(value["$float"])
    if set(value) == {"$step"}:
        return decode_step(value["$step"])
    return {expect(key, str): decode_value(item, sequence) for key, item in value.items()}


def decode_attributes(value: Any) -> Mapping[str, Any]:
    """Return attributes as a read-only mapping; sequences are tuples."""
    return frozen_mapping(expect(decode_value(expect(value, dict), tuple), dict))


def encode_steps(steps: Steps) -> list[Any]:
    """Return a JSON list of steps."""
    return [encode_step(step) for step in steps]


def decode_steps(value: Any) -> Steps:
    """Return the steps of a JSON list."""
    return tuple(decode_step(item) for item in expect(value, list))


def encode_step(step: Step) -> dict[str, Any]:
    """Return a step as its name and parameters; arrays keep their type and shape."""
    found: dict[str, Any] = {"name": type(step).__name__}
    for item in fields(step):  # type: ignore[arg-type]
        value = getattr(step, item.name)
        found[item.name] = encode_array(value) if isinstance(value, np.ndarray) else (
            encode_value(value)
        )  # fmt: skip
    return found


def decode_step(value: Any) -> Step:
    """Return the step that `encode_step` was given."""
    kind = STEP_TYPES[expect(value, dict)["name"]]
    parameters: dict[str, Any] = {}
    for item in fields(kind):  # type: ignore[arg-type]
        raw = value[item.name]
        parameters[item.name] = (
            Rounding(raw) if item.name == "rounding"
            else decode_array(raw) if isinstance(raw, dict)
            else raw if isinstance(raw, bool) and item.name == "signed"
            else None if raw is None else integer(raw)
        )  # fmt: skip
    return kind(**parameters)


def encode_array(array: npt.NDArray[Any]) -> dict[str, Any]:
    """Return a small int64 or float32 array as type, shape and values."""
    values = [encode_value(value) for value in array.reshape(-1).tolist()]
    return {"dtype": array.dtype.name, "shape": list(array.shape), "values": values}


def decode_array(value: Any) -> npt.NDArray[Any]:
    """Return the read-only array that `encode_array` was given."""
    dtype = {"int64": np.int64, "float32": np.float32}[value["dtype"]]
    check: Callable[[Any], Any] = integer if dtype is np.int64 else number
    values = [check(decode_value(item)) for item in expect(value["values"], list)]
    shape = [integer(size) for size in value["shape"]]
    array = np.array(values, dtype=dtype).reshape(shape)
    array.flags.writeable = False
    return array


def encode_format(fmt: Format) -> dict[str, Any]:
    """Return a number format as a JSON mapping."""
    scale = {"frac": list(fmt.scale.frac)} if fmt.scale.frac is not None else {
        "steps": list(fmt.scale.steps or ())
    }  # fmt: skip
    return {
        "bits": fmt.bits,
        "signed": fmt.signed,
        "scale": scale,
        "zero_point": list(fmt.zero_point),
        "axis": fmt.axis,
    }


def decode_format(value: Any) -> Format:
    """Return the number format that `encode_format` was given."""
    raw = value["scale"]
    scale = (
        Scale(frac=tuple(integer(f) for f in raw["frac"])) if "frac" in raw
        else Scale(steps=tuple(float(number(s)) for s in raw["steps"]))
    )  # fmt: skip
    axis = None if value["axis"] is None else integer(value["axis"])
    zero_point = tuple(integer(z) for z in value["zero_point"])
    signed = expect(value["signed"], bool)
    return Format(integer(value["bits"]), signed, scale, zero_point, axis)


def encode_accumulator(accumulator: Accumulator | None) -> Any:
    """Return an accumulator as a JSON mapping, None as null."""
    if accumulator is None:
        return None
    return {"bits": accumulator.bits, "overflow": accumulator.overflow.value}


def decode_accumulator(value: Any) -> Accumulator | None:
    """Return the accumulator that `encode_accumulator` was given."""
    if value is None:
        return None
    return Accumulator(integer(value["bits"]), Overflow(value["overflow"]))


def expect(value: Any, kind: type[T]) -> T:
    """Return the value if it has the type; TypeError otherwise."""
    if not isinstance(value, kind):
        raise TypeError(f"found {type(value).__name__}, expected {kind.__name__}")
    return value


def integer(value: Any) -> int:
    """Return the value if it is an int; TypeError otherwise."""
    if isinstance(value, bool):
        raise TypeError("found true or false, expected a whole number")
    return expect(value, int)


def number(value: Any) -> float:
    """Return the value if it is an int or a float; TypeError otherwise."""
    return value if isinstance(value, float) else integer(value)


def texts(value: Any) -> tuple[str, ...]:
    """Return a tuple of texts; TypeError for anything else."""
    return tuple(expect(item, str) for item in expect(value, list))


def sizes(value: Any) -> tuple[int, ...]:
    """Return a tuple of ints; TypeError for anything else."""
    return tuple(integer(item) for item in expect(value, list))
