"""Conv and ConvTranspose."""

from __future__ import annotations

from collections.abc import Mapping

from nibblefit.ir.ops import Op
from nibblefit.nn.onnx_import.handlers.geometry import pads, per_axis, split_pads
from nibblefit.nn.onnx_import.site import Handler, Site
from nibblefit.nn.problems import Refused


def _inputs(site: Site) -> list[str]:
    inputs = [site.activation(0), site.weight(1, "weight")]
    if site.has(2):
        inputs.append(site.weight(2, "bias"))
    return inputs


def _kernel(site: Site) -> tuple[int, ...]:
    kernel = tuple(site.array(1, "weight").shape[2:])
    if not kernel or len(kernel) + 1 != len(site.shape()):
        raise Refused(f"weights with kernel {kernel} do not fit input {site.shape()}")
    return kernel


def _conv(site: Site) -> str:
    kernel = _kernel(site)
    strides = per_axis(site, "strides", len(kernel), 1)
    dilations = per_axis(site, "dilations", len(kernel), 1)
    return site.add(
        Op.CONV, _inputs(site), strides=strides, pads=pads(site, kernel, strides, dilations),
        dilations=dilations, groups=int(site.attribute("group", 1)),
    )  # fmt: skip


def _conv_transpose(site: Site) -> str:
    kernel = _kernel(site)
    axes = len(kernel)
    strides = per_axis(site, "strides", axes, 1)
    dilations = per_axis(site, "dilations", axes, 1)
    extra = per_axis(site, "output_padding", axes, 0)
    return site.add(
        Op.CONV_TRANSPOSE, _inputs(site), strides=strides,
        pads=_transposed_pads(site, kernel, strides, dilations, extra), dilations=dilations,
        groups=int(site.attribute("group", 1)), output_padding=extra,
    )  # fmt: skip


def _transposed_pads(
    site: Site, kernel: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...],
    extra: tuple[int, ...],
) -> tuple[int, ...]:  # fmt: skip
    """Return begins and ends; see the ONNX operator ConvTranspose for the formulas."""
    mode, wanted = site.attribute("auto_pad", "NOTSET"), site.attribute("output_shape")
    if not wanted and mode in {"NOTSET", "VALID"}:
        return pads(site, kernel, strides, dilations)
    sizes = site.shape()[1:]
    targets = [int(v) for v in wanted] if wanted else [n * s for n, s in zip(sizes, strides)]
    totals = [
        (size - 1) * stride + more + (k - 1) * dilation + 1 - target
        for size, k, stride, dilation, more, target in zip(
            sizes, kernel, strides, dilations, extra, targets[-len(kernel) :]
        )
    ]
    if min(totals) < 0:
        raise Refused(
            f"output size {targets} is larger than the kernel reaches", "use output_padding"
        )
    return split_pads(totals, "SAME_UPPER" if mode == "SAME_UPPER" else "SAME_LOWER")


HANDLERS: Mapping[str, Handler] = {"Conv": _conv, "ConvTranspose": _conv_transpose}
