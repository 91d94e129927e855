"""DPUs whose features have no published layout: limits from their target definitions.

Source: target definitions of Vitis AI (target factory, ``targets`` and ``expired_targets``). Those
marked with a doubt are known by the line that sums their definition up: channels, pixels, kernel
and stride of convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nibblefit_vitis.devices.dpu import After, Allowed, Bank, Convolution, Dpu, Pooling, Window
from nibblefit_vitis.devices.fingerprint import split

SOURCE = "target definition of Vitis AI"
DOUBT = ("only convolutions are published for this DPU; pools, sums and depthwise convolutions are "
         "judged like those of its family")  # fmt: skip

_RELU, _RELU6 = (After.RELU,), (After.RELU, After.RELU6)
_LEAKY = (After.RELU, After.RELU6, After.LEAKY_RELU)
_HARD = (*_LEAKY, After.HARD_SIGMOID, After.HARD_SWISH)
_ALL = (*_HARD, After.PRELU)


def _window(kernel: str, stride: str) -> Window:
    return Window(Allowed(kernel), Allowed(stride))


def _pools(largest: tuple[str, str], average: tuple[str, str] | None = None) -> Pooling:
    """Return a separate pool engine; its averages want square kernels."""
    mean = _window(*average) if average else None
    return Pooling(_window(*largest), mean, square=True)


def _convolution(
    kernel: str, stride: str, after: tuple[After, ...], bank: Bank | None = None
) -> Convolution:  # fmt: skip
    return Convolution(_window(kernel, stride), after, bank)


_EIGHT = ("1-8", "1-8")
_AHX = _convolution("1-16", "1-4", _LEAKY, Bank(16, 16, 2048))
_VDX = _convolution("1-16", "1-4", _HARD, Bank(128, 64, 512))
_NARROW = Bank(1, 32, 8192)


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Channels in, channels out and pixels at once."""

    channels_in: int
    channels_out: int
    pixels: int


def _dpu(
    name: str, code: int, sizes: _Sizes,
    engines: tuple[Convolution, Convolution | None, Pooling], elementwise: str = "add", *,
    after: tuple[After, ...] = _RELU, alone: tuple[After, ...] = (), images: int = 1,
    doubt: str = "",
) -> Dpu:  # fmt: skip
    return Dpu(
        name, split(code), sizes.channels_in, sizes.channels_out, sizes.pixels, *engines,
        elementwise=tuple(elementwise.split()), elementwise_after=after, alone=alone,
        images=images, doubt=doubt, source=SOURCE,
    )  # fmt: skip


_CLOUD, _TILES, _WIDE = _Sizes(16, 16, 8), _Sizes(8, 16, 16), _Sizes(64, 128, 8)
_LIST = (
    _dpu("DPUCAHX8H_ISA2", 0x020200000010002A, _CLOUD, (_AHX, None, _pools(_EIGHT, _EIGHT))),
    _dpu("DPUCAHX8H_ISA2_DWC", 0x020200000010002B, _CLOUD,
         (_AHX, _convolution("1,2,3,5,7", "1-4", _RELU6, Bank(1, 16, 2048)),
          _pools(_EIGHT, _EIGHT))),
    _dpu("DPUCAHX8H_ISA2_ELP2", 0x020200000000002E, _CLOUD, (_AHX, None, _pools(_EIGHT, _EIGHT))),
    *(_dpu(name, code, _Sizes(32, 64, 4),
           (_convolution("1-16", "1-4", _RELU6, Bank(64, 32, 4096)),
            _convolution("3", "1-2", _RELU6, Bank(1, 64, 4096)),
            _pools(("2,3,5,7,8", "1-8"), ("2,3,5,7,8", "1-8"))), doubt=doubt)
      for name, code, doubt in (("DPUCAHX8L_ISA0", 0x030000000000001D, ""),
                                ("DPUCAHX8L_ISA0_SP", 0x030000000000101D, DOUBT))),
    _dpu("DPUCZDI4G_ISA0_B4096_DEMO_SSD", 0x0400002003220206, _CLOUD,
         (_convolution("1-7", "1-4", _RELU, Bank(16, 16, 2048)), None, _pools(("2-8", "1-4")))),
    _dpu("DPUCZDI4G_ISA0_B8192D8_DEMO_SSD", 0x0400002003220207, _Sizes(32, 16, 8),
         (_convolution("1-7", "1-4", _RELU, Bank(16, 32, 2048)), None, _pools(("2-8", "1-4")))),
    *(_dpu(name, code, _WIDE,
           (_VDX, _convolution("1-8", "1-4", _RELU6, _NARROW),
            _pools(("1-128", "1-128"), ("1-128", "1-128"))), "add mult",
           after=(After.RELU, After.HARD_SIGMOID), doubt=doubt)
      for name, code, doubt in (("DPUCVDX8H_ISA1_F2W4_4PE", 0x05010000001E082F, ""),
                                ("DPUCVDX8H_ISA1_F2W2_8PE", 0x0501000000140FEE, DOUBT))),
    _dpu("DPUCVDX8H_ISA1_F2W4_6PE_aieDWC", 0x0501000000160C2F, _WIDE,
         (_VDX, _convolution("1-8", "1-4", _RELU6, _NARROW), _pools(_EIGHT, _EIGHT))),
    _dpu("DPUCVDX8H_ISA1_F2W4_6PE_aieMISC", 0x05010000001E082E, _WIDE,
         (_VDX, None, _pools(("1-128", "1-128"), ("1-128", "1-128"))), "add mult",
         after=(After.RELU, After.HARD_SIGMOID)),
    _dpu("DPUCADF8H_ISA0", 0x0700000000000000, _CLOUD,
         (_convolution("1-16", "1-8", _RELU), None, _pools(_EIGHT, _EIGHT)), images=4,
         doubt=DOUBT),
    _dpu("AMD_AIE2_1x4_Overlay", 0x0800020500FFFFFE, _TILES,
         (_convolution("1-8", "1-2", _RELU6), _convolution("1-8", "1-2", _RELU6),
          _pools(("1-8", "1-2"), ("1-32", "1-2")))),
    _dpu("AMD_AIE2_4x5_Overlay", 0x080000000020C23F, _WIDE,
         (_convolution("1-16", "1-4", _LEAKY, Bank(128, 64, 512)),
          _convolution("3,5", "1-4", _RELU6, _NARROW), _pools(_EIGHT, _EIGHT))),
    *(_dpu(name, code, _TILES,
           (_convolution("1-8", "1-2", _ALL),
            _convolution("1-9", "1-2", (*_RELU6, After.HARD_SIGMOID, After.HARD_SWISH)),
            _pools(("1-32", "1-32"), ("1-32", "1-16"))), "add mult sub",
           alone=(After.HARD_SIGMOID,))
      for name, code in (("AMD_AIE2_5x4_Overlay", 0x08000205001C5E05),
                         ("AMD_AIE2_Nx4_Overlay", 0x08000205000C5E05))),
    _dpu("V70_2x3_Overlay", 0x080000000020C242, _TILES,
         (_convolution("1-8", "1-2", _RELU6), _convolution("1,2,3,5", "1-2", _RELU6),
          _pools(("1-8", "1-2"), ("1-8", "1-2")))),
    _dpu("DPUCZDX8G_ISA0_B4096_MAX_BG2", 0x01000020F6014407, _CLOUD,
         (_convolution("1-16", "1-8", _LEAKY, Bank(16, 16, 2048)),
          _convolution("1-16", "1-8", _RELU6, Bank(1, 16, 2048)),
          _pools(_EIGHT, ("2-8", "1-8")))),
)  # fmt: skip

#: Name → DPU.
PUBLISHED: Mapping[str, Dpu] = MappingProxyType({one.name: one for one in _LIST})
