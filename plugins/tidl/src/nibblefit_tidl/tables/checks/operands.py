"""Checks of what a layer reads and how wide it is: operands, axes, signs, limits of a clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nibblefit.ir.ops import Op
from nibblefit_tidl.tables.checks.windows import times
from nibblefit_tidl.tables.site import Site


def variable_inputs(site: Site, most: int) -> str:
    """At most so many inputs are computed by other layers."""
    count = len(site.variables)
    return f"{count} computed inputs" if count > most else ""


def operands(site: Site, most: int) -> str:
    """At most so many inputs."""
    count = len(site.node.inputs)
    return f"{count} inputs" if count > most else ""


def axes(site: Site, most: int) -> str:
    """At most so many axes of an input are larger than 1; the batch is 1."""
    for name in site.variables:
        shape = site.graph.shapes[name]
        if sum(size > 1 for size in shape) > most:
            return f"an input of {times(shape)}"
    return ""


def rank(site: Site, **wanted: int) -> str:
    """The input has exactly so many axes, the batch among them."""
    count = len(site.shape) + 1
    return f"an input of {count} axes" if count != wanted["is"] else ""


def constant_shape(site: Site) -> str:
    """A constant operand is a scalar, or a vector along channels or width."""
    channels = len(site.shape)
    for name in site.constants:
        shape = site.graph.constants[name].shape
        long = [len(shape) - place for place, size in enumerate(shape) if size > 1]
        if len(long) > 1 or (long and long[0] not in (1, channels)):
            return f"a constant of {times(shape)}"
    return ""


def mixed_signs(site: Site) -> str:
    """All operands are signed, or none."""
    signs = {site.never_negative(name) for name in site.variables}
    return "one operand that can be negative and one that cannot" if len(signs) > 1 else ""


def unsigned_of_signed(site: Site) -> str:
    """A product of signed operands is written signed."""
    signed = not any(site.never_negative(name) for name in site.variables)
    readers = site.readers()
    rectified = len(readers) == 1 and (
        readers[0].op is Op.RELU
        or (readers[0].op is Op.CLIP and readers[0].attributes.get("lo") == 0)
    )
    return f"'{readers[0].name}' behind a product of signed tensors" if signed and rectified else ""


def clip_spans_zero(site: Site) -> str:
    """Zero lies within the clip, below its upper limit."""
    low, high = site.node.attributes.get("lo"), site.node.attributes.get("hi")
    bad = (low is not None and low > 0) or (high is not None and high <= 0)
    return f"a clip to {_bound(low)} … {_bound(high)}" if bad else ""


def clip_is(site: Site, low: float, high: float) -> str:
    """The clip has just these limits."""
    found = (site.node.attributes.get("lo"), site.node.attributes.get("hi"))
    return "" if found == (low, high) else f"a clip to {_bound(found[0])} … {_bound(found[1])}"


def bits(site: Site, most: int) -> str:
    """Values are at most so wide."""
    return f"{site.bits} bits" if site.bits > most else ""


def _bound(value: float | None) -> str:
    return "∞" if value is None else f"{value:g}"


CHECKS: Mapping[str, Callable[..., str]] = {
    check.__name__: check
    for check in (
        variable_inputs, operands, axes, rank, constant_shape, mixed_signs, unsigned_of_signed,
        clip_spans_zero, clip_is, bits,
    )
}  # fmt: skip
