"""Short makers of attributes, and the few attribute sets that many operators share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nibblefit_vitis.xir.graph import Attribute, Kind


def flag(value: bool) -> Attribute:
    """Return a truth value."""
    return Attribute(Kind.BOOL, bool(value))


def number(value: int) -> Attribute:
    """Return an int32."""
    return Attribute(Kind.INT32, int(value))


def real(value: float) -> Attribute:
    """Return a float32."""
    return Attribute(Kind.FLOAT, float(value))


def text(value: str) -> Attribute:
    """Return a text."""
    return Attribute(Kind.STRING, value)


def numbers(values: Iterable[int]) -> Attribute:
    """Return a list of int32."""
    return Attribute(Kind.INT32S, tuple(int(value) for value in values))


def reals(values: Iterable[float]) -> Attribute:
    """Return a list of float32."""
    return Attribute(Kind.FLOATS, tuple(float(value) for value in values))


def raw(value: bytes) -> Attribute:
    """Return bytes."""
    return Attribute(Kind.BYTES, value)


def fix_attributes(position: int, bits: int, *, signed: bool = True) -> Mapping[str, Attribute]:
    """Return the attributes of a ``fix`` operator.

    The rounding is DPU_ROUND for parameters too: the CPU implementation of the vendor's library
    knows no other, and parameters are written already rounded.
    """
    return {
        "fix_point": number(position),
        "bit_width": number(bits),
        "round_mode": text("DPU_ROUND"),
        "if_signed": flag(signed),
    }


def const_attributes(shape: Iterable[int], content: bytes) -> Mapping[str, Attribute]:
    """Return the attributes of a float32 ``const`` operator."""
    return {"shape": numbers(shape), "data_type": text("float32"), "data": raw(content)}


def data_attributes(shape: Iterable[int]) -> Mapping[str, Attribute]:
    """Return the attributes of a float32 ``data`` operator, which is a graph input."""
    return {"shape": numbers(shape), "data_type": text("FLOAT32")}


def window_attributes(kernel: tuple[int, ...], strides: tuple[int, ...], pads: tuple[int, ...],
                      *, ceil_mode: bool = False) -> Mapping[str, Attribute]:  # fmt: skip
    """Return kernel, stride and padding of a window; ours are (height, width) and begins, ends."""
    top, left, bottom, right = pads
    return {
        "kernel": numbers(reversed(kernel)),
        "stride": numbers(reversed(strides)),
        "pad": numbers((left, right, top, bottom)),
        "pad_mode": text("CEIL" if ceil_mode else "FLOOR"),
    }
