"""What one DPU can do: its engines and their limits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nibblefit_vitis.devices.fingerprint import Fingerprint


@dataclass(frozen=True, slots=True)
class Allowed:
    """A set of whole numbers, written as in target definitions: ``1-16`` or ``1,2,3,5,7``."""

    text: str

    def __contains__(self, value: int) -> bool:
        for part in self.text.split(","):
            low, _, high = part.partition("-")
            if int(low) <= value <= int(high or low):
                return True
        return False

    @property
    def highest(self) -> int:
        """The largest number in it."""
        return int(self.text.replace(",", "-").rsplit("-", maxsplit=1)[-1])


@dataclass(frozen=True, slots=True)
class Bank:
    """Memory for parameters.

    Attributes:
        number: Banks side by side.
        width: Values of one row of a bank.
        depth: Rows.
    """

    number: int
    width: int
    depth: int


@dataclass(frozen=True, slots=True)
class Window:
    """Limits of an engine that moves a window over an image.

    Attributes:
        kernel: Sizes in either direction.
        stride: Likewise.
        stride_out_h: Stride times the output rows computed at once; a limit of the compiler's.
            None where the definition has none.
        pad_begin: At the left and the top; None: up to the size of the kernel.
        pad_end: At the right and the bottom.
    """

    kernel: Allowed
    stride: Allowed
    stride_out_h: Allowed | None = None
    pad_begin: Allowed | None = None
    pad_end: Allowed | None = None


class After(StrEnum):
    """Functions that an engine applies to its results."""

    RELU = "relu"
    RELU6 = "relu_six"
    LEAKY_RELU = "leaky_relu"
    PRELU = "prelu"
    HARD_SIGMOID = "hsigmoid"
    HARD_SWISH = "hswish"


@dataclass(frozen=True, slots=True)
class Convolution:
    """The engine for convolutions, or the one for depthwise ones.

    Attributes:
        window: Its limits.
        after: Functions it applies.
        bank: Of its weights; None where the definition states none.
    """

    window: Window
    after: tuple[After, ...]
    bank: Bank | None = None


@dataclass(frozen=True, slots=True)
class Pooling:
    """The engine for pools.

    Attributes:
        largest, average: Limits; None where it does not compute that.
        square: Average pools must have square kernels.
        after: Functions it applies.
    """

    largest: Window | None
    average: Window | None
    square: bool = False
    after: tuple[After, ...] = ()


@dataclass(frozen=True, slots=True)
class Dpu:
    """A DPU.

    Attributes:
        name: Of the target definition, or made from the fingerprint as the runtime does it.
        fingerprint: Must equal the board's.
        channels_in, channels_out, pixels: Computed at once by the convolution engine.
        convolution: Always there.
        depthwise, pooling: None where there is no such engine.
        elementwise: Of ``add``, ``mult``, ``sub``.
        elementwise_after: Functions it applies to sums.
        alone: Functions that it computes as layers of their own.
        three_d: Whether it has three-dimensional convolutions.
        argmax: Whether it finds the largest channel while saving.
        images: Images computed at once.
        doubt: What the definition leaves open; empty if nothing.
        source: Where the limits come from.
    """

    name: str
    fingerprint: Fingerprint
    channels_in: int
    channels_out: int
    pixels: int
    convolution: Convolution
    depthwise: Convolution | None
    pooling: Pooling | None
    elementwise: tuple[str, ...]
    elementwise_after: tuple[After, ...] = (After.RELU,)
    alone: tuple[After, ...] = ()
    three_d: bool = False
    argmax: bool = False
    images: int = 1
    doubt: str = ""
    source: str = ""

    @property
    def operations(self) -> int:
        """Most multiplications and additions per cycle, one image."""
        return 2 * self.pixels * self.channels_in * self.channels_out

    @property
    def most_channels(self) -> int:
        """Largest number of channels of a layer. Source: operator table of Vitis AI's manual."""
        return 256 * self.channels_in
