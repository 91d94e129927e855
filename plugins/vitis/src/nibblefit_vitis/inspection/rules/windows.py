"""Convolutions, transposed convolutions, dense layers and pools."""

from __future__ import annotations

import math
from collections.abc import Iterator

from nibblefit_vitis.devices.dpu import Bank, Dpu, Window
from nibblefit_vitis.inspection.layer import Layer, Sort
from nibblefit_vitis.inspection.rules.verdict import Fits, Refusal, Verdict, outside

_SMALLER = "split it into several layers with smaller kernels"
_STEPS = "reach the same size with several layers of smaller strides"
_FEWER = "use fewer channels, or split the layer"


def convolution(layer: Layer, dpu: Dpu) -> Verdict:
    """Judge a convolution, depthwise or not."""
    found = next(_convolution(layer, dpu), None)
    if found is not None:
        return found
    return Fits("depthwise convolution" if layer.is_depthwise else "convolution engine")


def _convolution(layer: Layer, dpu: Dpu) -> Iterator[Refusal]:
    yield from _dimensions(layer, dpu)
    groups = int(layer.facts.get("groups", 1))
    if groups > 1 and not layer.is_depthwise:
        yield Refusal(
            "vitis.groups",
            f"{groups} groups of {layer.facts.get('channels_in')} channels: allowed is 1 group, or "
            "one per channel (depthwise)",
            "use one convolution per group and concatenate, or one group",
        )
    if layer.is_depthwise:
        yield from _depthwise(layer, dpu)
        return
    engine = dpu.convolution
    yield from _window(layer, engine.window)
    yield from _pads_of_kernel(layer)
    yield from _weights(layer, engine.bank, dpu)
    yield from _channels(layer, dpu)


def _depthwise(layer: Layer, dpu: Dpu) -> Iterator[Refusal]:
    engine = dpu.depthwise
    if engine is None:
        yield Refusal("vitis.engine", f"{dpu.name} has no engine for depthwise convolutions",
                      "use a full convolution, or another DPU")  # fmt: skip
        return
    yield from _window(layer, engine.window)
    yield from _pads(layer, engine.window)
    kernel = layer.facts.get("kernel")
    if kernel and engine.bank:
        rows = math.prod(kernel) * -(-dpu.channels_in // engine.bank.width)
        yield from _rows(rows, engine.bank)
    yield from _channels(layer, dpu)


def transposed(layer: Layer, dpu: Dpu) -> Verdict:
    """Judge a transposed convolution: it runs as convolutions of kernel // stride."""
    found = next(_transposed(layer, dpu), None)
    return found or Fits("transposed convolution")


def _transposed(layer: Layer, dpu: Dpu) -> Iterator[Refusal]:
    yield from _dimensions(layer, dpu)
    groups = int(layer.facts.get("groups", 1))
    if groups > 1 and not layer.is_depthwise:
        yield Refusal("vitis.groups", f"{groups} groups: allowed is 1 group, or one per channel",
                      "use one layer per group and concatenate")  # fmt: skip
    engine = dpu.depthwise if layer.is_depthwise else dpu.convolution
    if engine is None:
        yield Refusal("vitis.engine", f"{dpu.name} has no engine for depthwise convolutions",
                      "use a full convolution, or another DPU")  # fmt: skip
        return
    kernel, strides = layer.facts.get("kernel", ()), layer.facts.get("strides", ())
    for size, stride in zip(kernel, strides):
        part = size // stride
        whole = size % stride == 0 or part + 1 in engine.window.kernel
        if part not in engine.window.kernel or not whole:
            yield Refusal(
                "vitis.kernel",
                f"kernel {size} with stride {stride}: kernel // stride, and one more where it "
                f"leaves a remainder, must be in {engine.window.kernel.text}",
                "make the kernel a multiple of the stride, such as 4 with stride 2",
            )
            return
    padding = tuple(layer.facts.get("output_padding", ()))
    if any(padding):
        shown = "×".join(map(str, padding))
        yield Refusal("vitis.output_padding", f"output padding {shown}: allowed is 0",
                      "choose kernel and pads so that no output padding is needed: kernel 4, "
                      "stride 2, pad 1")  # fmt: skip
    yield from _channels(layer, dpu)


def dense(layer: Layer, dpu: Dpu) -> Verdict:
    """Judge a dense layer: the compiler makes a 1×1 convolution of it."""
    if layer.facts.get("computed"):
        return Refusal("vitis.operator", "its weights are computed by another layer",
                       "use constant weights")  # fmt: skip
    before = layer.input_shapes[0] if layer.input_shapes else None
    if before is not None and len(before) != 1:
        return Refusal("vitis.dimensions", f"it works on the last axis of {len(before)} axes: "
                       "allowed is one axis", "use a 1×1 convolution instead")  # fmt: skip
    found = next(_channels(layer, dpu), None) or next(
        _weights(layer, dpu.convolution.bank, dpu, (1, 1)), None)  # fmt: skip
    if found is not None:
        return Refusal(found.rule, found.reason, "use a convolution with a kernel as large as the "
                       "image instead of flattening, or pool before")  # fmt: skip
    return Fits("convolution engine, as a 1×1 convolution")


def pool(layer: Layer, dpu: Dpu) -> Verdict:
    """Judge a pool."""
    found = next(_pool(layer, dpu), None)
    return found or Fits("pool")


def _pool(layer: Layer, dpu: Dpu) -> Iterator[Refusal]:
    largest = layer.sort is Sort.MAX_POOL
    engine = dpu.pooling
    window = None if engine is None else engine.largest if largest else engine.average
    if window is None or engine is None:
        yield Refusal("vitis.engine", f"{dpu.name} has no engine for {layer.sort.value}s",
                      "use a convolution with a stride")  # fmt: skip
        return
    kernel = layer.facts.get("kernel")
    if kernel is not None and len(kernel) != 2:
        yield Refusal("vitis.dimensions", f"{len(kernel)} spatial axes: allowed are 2",
                      "add an axis of size 1 to the whole network")  # fmt: skip
        return
    if engine.square and not largest and kernel and len(set(kernel)) > 1:
        yield Refusal("vitis.kernel", f"kernel {kernel[0]}×{kernel[1]}: averages want a square one "
                      f"on {dpu.name}", "use a square kernel")  # fmt: skip
    yield from _window(layer, window)
    if any(step != 1 for step in layer.facts.get("dilations", ())):
        yield Refusal("vitis.dilation", "a pool with dilation", "use a pool without dilation")
    yield from _pads(layer, window)


def _dimensions(layer: Layer, dpu: Dpu) -> Iterator[Refusal]:
    if layer.facts.get("computed") or not layer.facts.get("kernel"):
        yield Refusal("vitis.operator", "its weights are not constant", "use constant weights")
        return
    axes = len(layer.facts["kernel"])
    if axes != 2 and not (axes == 3 and dpu.three_d):
        remedy = ("add an axis of size 1 to the whole network" if axes == 1
                  else "use a DPUCVDX8G, or two-dimensional layers")  # fmt: skip
        yield Refusal("vitis.dimensions", f"{axes} spatial axes: allowed are 2"
                      f"{' and 3' * dpu.three_d}", remedy)  # fmt: skip


def _window(layer: Layer, window: Window) -> Iterator[Refusal]:
    kernel, strides = layer.facts.get("kernel"), layer.facts.get("strides")
    if not kernel:
        return
    yield from outside("vitis.kernel", "kernel", kernel, window.kernel, _SMALLER)
    before = layer.input_shapes[0] if layer.input_shapes else None
    # A kernel as large as the image makes one step, whatever its stride.
    if strides and not (before is not None and tuple(kernel) == tuple(before[1:])):
        yield from outside("vitis.stride", "stride", strides, window.stride, _STEPS)


def _pads_of_kernel(layer: Layer) -> Iterator[Refusal]:
    """Yield pads that reach beyond the kernel."""
    kernel, pads = layer.facts.get("kernel", ()), layer.facts.get("pads", ())
    dilations = layer.facts.get("dilations") or (1,) * len(kernel)
    most = [(size - 1) * step for size, step in zip(kernel, dilations)]
    for pad, limit in zip(pads, (*most, *most)):
        if not 0 <= pad <= limit:
            yield Refusal("vitis.pad", f"pad {pad}: allowed is 0 to {limit}, (kernel - 1) times "
                          "dilation", "pad with a layer of its own")  # fmt: skip


def _pads(layer: Layer, window: Window) -> Iterator[Refusal]:
    """Yield pads that the engine does not have: limits of its own, else those of the kernel."""
    if window.pad_begin is None or window.pad_end is None:
        yield from _pads_of_kernel(layer)
        return
    pads = layer.facts.get("pads", ())
    half = len(pads) // 2
    remedy = "pad with a layer of its own"
    yield from outside("vitis.pad", "pad at left and top", pads[:half], window.pad_begin, remedy)
    yield from outside("vitis.pad", "pad at right and bottom", pads[half:], window.pad_end, remedy)


def _weights(
    layer: Layer, bank: Bank | None, dpu: Dpu, kernel: tuple[int, ...] = ()
) -> Iterator[Refusal]:  # fmt: skip
    """Yield if the weights of as many filters as run at once fill more rows than there are."""
    kernel = kernel or layer.facts.get("kernel", ())
    channels = layer.facts.get("channels_in")
    if bank is None or not kernel or not channels:
        return
    rows = math.prod(kernel) * -(-channels // bank.width) * -(-dpu.channels_out // bank.number)
    yield from _rows(rows, bank)


def _rows(rows: int, bank: Bank) -> Iterator[Refusal]:
    if rows > bank.depth:
        yield Refusal(
            "vitis.weights",
            f"weights too large for the parameter buffer: {rows} rows, it has {bank.depth}",
            "use a smaller kernel or fewer input channels",
        )


def _channels(layer: Layer, dpu: Dpu) -> Iterator[Refusal]:
    most = dpu.most_channels
    dilation = max((*layer.facts.get("dilations", ()), 1))
    before, after = layer.facts.get("channels_in"), layer.facts.get("channels_out")
    if before and dilation * before > most:
        times = f" times dilation {dilation}" if dilation > 1 else ""
        yield Refusal("vitis.channels", f"{before} input channels{times}: at most {most}, 256 "
                      f"times the {dpu.channels_in} computed at once", _FEWER)  # fmt: skip
    if after and after > most:
        yield Refusal("vitis.channels", f"{after} output channels: at most {most}", _FEWER)
