"""Limits of a DPU from nothing but its fingerprint, where the family's layout is known.

Source: target factory of Vitis AI 3.5 (b2b2279), which makes targets of the same three families
the same way; the numbers below are its tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from nibblefit_vitis.devices.dpu import After, Allowed, Bank, Convolution, Dpu, Pooling, Window
from nibblefit_vitis.devices.fingerprint import Features, Fingerprint, features

SOURCE = "made from the fingerprint as the target factory of Vitis AI 3.5 does it"
_PADS = (Allowed("0-15"), Allowed("0-255"))
_ALU_SIZES = Allowed("1-256")


def synthesised(fingerprint: Fingerprint) -> Dpu | None:
    """Return the DPU of a fingerprint; None where the layout of its features is not known."""
    make = _LAYOUTS.get((fingerprint.kind, fingerprint.isa))
    return make(fingerprint) if make else None


#: DPUCZDX8G: pixels, channels in and out, by architecture.
_SIZES = ((4, 8), (4, 10), (8, 8), (4, 12), (8, 10), (8, 12), (8, 14), (8, 16), (4, 4), (2, 6),
          (2, 8), (2, 4))  # fmt: skip


def _czdx8g(fingerprint: Fingerprint) -> Dpu | None:
    code = features(fingerprint.features)
    if code.architecture >= len(_SIZES):
        return None
    pixels, channels = _SIZES[code.architecture]
    after = (After.RELU, *([After.LEAKY_RELU] if code.leaky_relu else []), After.RELU6)
    window = Window(Allowed("1-16"), Allowed("1-8"), _rows(pixels, code.weight_parallelism))
    return Dpu(
        name=f"DPUCZDX8G_ISA1_B{2 * pixels * channels * channels}",
        fingerprint=fingerprint, channels_in=channels, channels_out=channels, pixels=pixels,
        convolution=Convolution(window, after, Bank(channels, channels, 2048)),
        depthwise=_alu_depthwise(code, pixels, Bank(1, channels, 2048)),
        pooling=_alu_pooling(code, pixels),
        elementwise=("add", "mult"),
        alone=(After.PRELU, After.LEAKY_RELU, After.HARD_SIGMOID),
        argmax=bool(code.argmax), source=SOURCE,
    )  # fmt: skip


#: DPUCVDX8G: channels out by architecture; depth of the weight banks by index, as powers of two.
_OUT, _WEIGHT_DEPTHS = (16, 32, 64), (14, 13, 13, 12, 12, 14, 13)


def _cvdx8g(fingerprint: Fingerprint) -> Dpu | None:
    code = features(fingerprint.features)
    images, depth = fingerprint.features >> 4 & 0xF, fingerprint.features >> 12 & 0xF
    if code.architecture >= len(_OUT) or depth >= len(_WEIGHT_DEPTHS):
        return None
    pixels, channels, out = 8, 16, _OUT[code.architecture]
    extra = (After.LEAKY_RELU, After.HARD_SIGMOID, After.HARD_SWISH) if code.leaky_relu else ()
    window = Window(Allowed("1-16"), Allowed("1-8"), Allowed("1-8"))
    rows = 1 << _WEIGHT_DEPTHS[depth]
    return Dpu(
        name=f"DPUCVDX8G_ISA3_C{out}B{images}",
        fingerprint=fingerprint, channels_in=channels, channels_out=out, pixels=pixels,
        convolution=Convolution(window, (After.RELU, *extra, After.RELU6), Bank(16, 16, rows)),
        depthwise=_alu_depthwise(code, pixels, Bank(1, channels, rows)),
        pooling=_alu_pooling(code, pixels),
        elementwise=("add", "mult"),
        alone=(After.PRELU, After.LEAKY_RELU, After.HARD_SIGMOID),
        three_d=True, argmax=bool(code.argmax), images=images, source=SOURCE,
    )  # fmt: skip


#: DPUCV2DX8G: pixels, channels in, channels out, by architecture.
_TILES = ((1, 16, 16), (1, 16, 32), (1, 32, 32), (2, 32, 32), (4, 32, 32))


def _cv2dx8g(fingerprint: Fingerprint) -> Dpu | None:
    architecture = fingerprint.features & 0xF
    if architecture >= len(_TILES):
        return None
    pixels, channels, out = _TILES[architecture]
    cores = (1 << architecture) + (fingerprint.features >> 4 & 0xF)
    images = fingerprint.features >> 8 & 0xFF
    after = (After.RELU, After.LEAKY_RELU, After.HARD_SIGMOID, After.HARD_SWISH, After.RELU6)
    bank = Bank(4, channels // 2, 1 << 15)
    alu = Window(_ALU_SIZES, _ALU_SIZES, None, *_PADS)
    return Dpu(
        name=f"DPUCV2DX8G_ISA1_C{cores}B{images}",
        fingerprint=fingerprint, channels_in=channels, channels_out=out, pixels=pixels,
        convolution=Convolution(Window(Allowed("1-16"), Allowed("1-16")), after, bank),
        depthwise=Convolution(alu, after), pooling=Pooling(alu, alu, after=after),
        elementwise=("add", "mult"), elementwise_after=after,
        alone=(After.LEAKY_RELU, After.HARD_SIGMOID),
        argmax=bool(fingerprint.features >> 30 & 1), images=images, source=SOURCE,
    )  # fmt: skip


def _rows(pixels: int, parallelism: int) -> Allowed:
    """Return the limit of stride times rows; weights read at once cost rows."""
    rows = pixels >> parallelism
    return Allowed(f"1-{4 if parallelism == 0 or rows >= 4 else rows}")


def _alu_window(code: Features, pixels: int) -> Window:
    return Window(_ALU_SIZES, _ALU_SIZES, _rows(pixels, code.alu_weight_parallelism), *_PADS)


def _alu_depthwise(code: Features, pixels: int, bank: Bank) -> Convolution:
    leaky = (After.LEAKY_RELU,) if code.depthwise_leaky_relu else ()
    after = (After.RELU, *leaky, After.RELU6)
    return Convolution(_alu_window(code, pixels), after, bank)


def _alu_pooling(code: Features, pixels: int) -> Pooling:
    leaky = (After.LEAKY_RELU,) if code.depthwise_leaky_relu else ()
    window = _alu_window(code, pixels)
    return Pooling(window, window, after=(After.RELU, *leaky, After.RELU6))


_LAYOUTS: Mapping[tuple[int, int], Callable[[Fingerprint], Dpu | None]] = MappingProxyType(
    {(1, 1): _czdx8g, (6, 3): _cvdx8g, (9, 1): _cv2dx8g}
)
