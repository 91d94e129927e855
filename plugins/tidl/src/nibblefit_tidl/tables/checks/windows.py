"""Checks of kernels, strides, dilation and padding: convolutions and pools."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

from nibblefit.ir.ops import Op
from nibblefit_tidl.tables.site import Site


def times(sizes: Sequence[int]) -> str:
    """Return sizes as ``3×3``."""
    return "×".join(str(size) for size in sizes)


def _window(site: Site) -> str:
    return f"kernel {times(site.kernel)} with stride {times(sorted(set(site.window.strides)))}"


def _triple(site: Site) -> list[int]:
    """Return kernel and stride as one list; strides that differ stay apart."""
    return [*_plane_kernel(site), *dict.fromkeys(site.window.strides)]


def _plane_kernel(site: Site) -> list[int]:
    """Return the kernel of a 1-D convolution as one row."""
    return [1, *site.kernel] if len(site.kernel) == 1 else list(site.kernel)


def kernel_axes(site: Site, most: int) -> str:
    """Kernels have at most so many axes."""
    return f"a kernel of {len(site.kernel)} axes" if len(site.kernel) > most else ""


def equal_strides(site: Site) -> str:
    """All strides are equal."""
    strides = site.window.strides
    return f"strides {times(strides)}" if len(set(strides)) > 1 else ""


def kernel_stride(site: Site, kernel: Sequence[int], stride: int) -> str:
    """This kernel does not have this stride."""
    found = list(site.kernel) == list(kernel) and set(site.window.strides) == {stride}
    return _window(site) if found else ""


def large_kernel_stride(site: Site, above: int, stride: int) -> str:
    """Large kernels do not have this stride."""
    found = max(site.kernel, default=0) > above and stride in site.window.strides
    return _window(site) if found else ""


def stride_needs_kernel(site: Site, stride: int, kernel: Sequence[int]) -> str:
    """This stride comes with this kernel only."""
    found = stride in site.window.strides and list(site.kernel) != list(kernel)
    return _window(site) if found else ""


def depthwise_window(site: Site, allowed: Sequence[Sequence[int]]) -> str:
    """Depthwise convolutions have one of these kernels and strides."""
    bad = site.is_depthwise and _triple(site) not in [list(each) for each in allowed]
    return f"a depthwise {_window(site)}" if bad else ""


def padding_above_width(site: Site, sides: str) -> str:
    """Padding does not exceed the input's width: at its sides, or anywhere."""
    axes = len(site.kernel)
    pads = site.window.pads
    chosen = (pads[axes - 1], pads[2 * axes - 1]) if sides == "width" else pads
    width = site.shape[-1]
    return f"padding {max(chosen)} of an input {width} wide" if max(chosen) > width else ""


def kernel_among(site: Site, allowed: Sequence[Sequence[int]]) -> str:
    """The kernel is one of these."""
    bad = _plane_kernel(site) not in [list(each) for each in allowed]
    return f"kernel {times(site.kernel)}" if bad else ""


def even_kernel(site: Site) -> str:
    """No side of the kernel is even."""
    return f"kernel {times(site.kernel)}" if any(k % 2 == 0 for k in site.kernel) else ""


def odd_kernel_for_stride(site: Site, stride: int, below: int) -> str:
    """With this stride the kernel is odd and small."""
    bad = stride in site.window.strides and any(k % 2 == 0 or k >= below for k in site.kernel)
    return _window(site) if bad else ""


def dilation_with_stride(site: Site) -> str:
    """Dilated kernels have stride 1."""
    bad = max(site.window.dilations) > 1 and max(site.window.strides) > 1
    return f"dilation {max(site.window.dilations)}, {_window(site)}" if bad else ""


def stride_is_kernel(site: Site) -> str:
    """The stride differs from the kernel."""
    found = site.kernel == tuple(site.window.strides) and max(site.kernel) > 1
    return _window(site) if found else ""


def pool_dilation(site: Site) -> str:
    """Pools have dilation 1."""
    dilated = bool(site.kernel) and max(site.window.dilations) > 1
    return f"dilation {max(site.window.dilations)}" if dilated else ""


def pool_window(site: Site, allowed: Sequence[Sequence[int]]) -> str:
    """Pools are square with one of these kernels and strides."""
    sides = [*dict.fromkeys(site.kernel), *dict.fromkeys(site.window.strides)]
    return "" if sides in [list(each) for each in allowed] else _window(site)


def transposed_window(site: Site, allowed: Sequence[Sequence[int]]) -> str:
    """Transposed convolutions are square with one of these kernels and strides."""
    return pool_window(site, allowed)


def transposed_dilation(site: Site) -> str:
    """Transposed convolutions have dilation 1."""
    return pool_dilation(site)


def groups(site: Site, most: int) -> str:
    """At most so many groups."""
    return f"{site.groups} groups" if site.groups > most else ""


def plane(site: Site, most: int) -> str:
    """A map has at most so many values per channel."""
    sizes = site.shape[1:]
    values = prod(sizes)
    return f"a plane of {times(sizes)} = {values:,} values" if values > most else ""


def input_channels(site: Site, least: int) -> str:
    """The layer reads at least so many channels."""
    return f"{site.shape[0]} input channel" if site.shape[0] < least else ""


def network_channels(site: Site, most: int) -> str:
    """The network's input has at most so many channels."""
    first = site.variables[0] in site.graph.inputs
    return f"an input of {site.shape[0]:,} channels" if first and site.shape[0] > most else ""


def has_bias(site: Site) -> str:
    """The layer has a bias."""
    return "no bias" if site.node.op is Op.LINEAR and len(site.node.inputs) < 3 else ""


CHECKS: Mapping[str, Callable[..., str]] = {
    check.__name__: check
    for check in (
        kernel_axes, equal_strides, kernel_stride, large_kernel_stride, stride_needs_kernel,
        depthwise_window, padding_above_width, kernel_among, even_kernel, odd_kernel_for_stride,
        dilation_with_stride, stride_is_kernel, pool_dilation, pool_window, transposed_window,
        transposed_dilation, groups, plane, input_channels, network_channels, has_bias,
    )
}  # fmt: skip
