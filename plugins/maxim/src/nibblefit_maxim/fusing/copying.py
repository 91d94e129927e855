"""Kernels longer than the hardware's, exactly: shifted copies of the input, then one convolution.

A 5×5 kernel is four 3×3 kernels, each over an input shifted by another amount. One layer with
constant weights writes the shifted inputs side by side as channels, and the convolution that reads
them sums all products in one accumulator, so no integer differs from the long kernel's.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from nibblefit.ir.graph import Node, Shape
from nibblefit_maxim.embedding import CopiedKernel, KernelPart
from nibblefit_maxim.fusing.assembly import Assembly
from nibblefit_maxim.fusing.geometry import KernelFit, UnfitError, times
from nibblefit_maxim.fusing.value import Value
from nibblefit_maxim.layers import HardwareLayer, Operator

#: Part of one axis: the first tap of the copying kernel, stored taps, their places.
_AxisPart = tuple[int, slice, slice]


def copied(  # noqa: PLR0917 - what a convolution is made of
    site: Assembly, node: Node, value: Value, operator: Operator, fit: KernelFit, weights: Shape
) -> tuple[Value, KernelFit, CopiedKernel]:
    """Add the layer that copies, for a kernel that only two layers make.

    Args:
        site: The network so far.
        node: The float convolution.
        value: What it reads, ready for an operator.
        operator: Of both layers.
        fit: How the convolution lies in the long kernel.
        weights: Shape of its weights.

    Returns:
        The copies, the fit of the convolution that reads them, and where its weights lie.

    Raises:
        UnfitError: There are too many copies.
    """
    kernel = (fit.kernel[0] // 2 + 1,) * len(fit.kernel)
    parts = _shifted(fit, weights)
    count = _copied_channels(site, value.held_shape[0], len(parts), weights)
    layer = _copying(site.free(f"{node.name}.copies"), operator, value, count, kernel, fit)
    shifts = tuple(tuple(first for first, _, _ in part) for part in parts)
    note = f"kernel {times(weights[2:])} runs as {times(kernel)} over {len(parts)} shifted copies"
    site.layers[layer.name] = replace(layer, copies=shifts, notes=(note,))
    zeros = (0,) * len(kernel)
    return (
        Value((layer.name,), layer.output_shape, layer.output_shape),
        KernelFit(kernel, zeros, fit.dilation, zeros, fit.step, fit.surplus),
        CopiedKernel(
            weights,
            (weights[0], count, *kernel),
            tuple(_joined(part) for part in parts),
            is_grouped=weights[1] < value.held_shape[0],
        ),
    )


def _shifted(fit: KernelFit, weights: Shape) -> list[tuple[_AxisPart, ...]]:
    """Return what each copy serves: its part of every axis."""
    reach = fit.kernel[0] // 2
    axes = [
        _parts(begin, step, taps, reach)
        for begin, step, taps in zip(fit.begin, fit.step, weights[2:], strict=True)
    ]
    return list(product(*axes))


def _copied_channels(site: Assembly, channels: int, copies: int, weights: Shape) -> int:
    """Return how many channels all copies have.

    Raises:
        UnfitError: More than a layer can have.
    """
    count, limit = channels * copies, site.part.max_channels
    if count > limit:
        raise UnfitError(
            f"kernel {times(weights[2:])} takes {copies} shifted copies of {channels} "
            f"channels; {limit} channels is the limit",
            f"use at most {limit // copies} channels, or smaller kernels",
        )
    return count


def _copying(  # noqa: PLR0917 - what a layer is made of
    name: str, operator: Operator, value: Value, channels: int, kernel: Shape, fit: KernelFit
) -> HardwareLayer:
    """Return a layer that passes its input on, before it is said how often and how shifted."""
    sides = zip(value.held_shape[1:], fit.pad, kernel, strict=True)
    shape = (channels, *(size + 2 * pad - (taps - 1) for size, pad, taps in sides))
    return HardwareLayer(
        name, operator, value.sources, value.operand_shape, shape, value.pool, value.eltwise,
        value.pool_first, kernel, fit.pad, (1,) * len(kernel), identity=True,
        sources=(*value.nodes, *value.flattening),
    )  # fmt: skip


def _parts(begin: int, step: int, taps: int, reach: int) -> list[_AxisPart]:
    """Return what one or two copies along an axis serve: taps up to `reach`, and those beyond."""
    if step * (taps - 1) <= reach:
        return [_part(begin, step, 0, taps, min(begin, reach))]
    near = (reach - begin) // step + 1
    return [_part(begin, step, 0, near, 0), _part(begin, step, near, taps, reach)]


def _part(begin: int, step: int, start: int, stop: int, shift: int) -> _AxisPart:
    first = begin + step * start - shift
    end = first + step * (stop - start - 1) + 1
    return shift, slice(start, stop), slice(first, end, step)


def _joined(parts: tuple[_AxisPart, ...]) -> KernelPart:
    return KernelPart(tuple(p[1] for p in parts), tuple(p[2] for p in parts))
