"""Limits of the two devices, as data: one `Part` per chip.

Every number comes from the device tables of the vendor's network compiler (ai8x-synthesis, commit
ab4f4c0, `izer/tornadocnn.py`) unless a comment says otherwise. MAX78000 is called *ai85* and
MAX78002 *ai87* there.
"""

from __future__ import annotations

from dataclasses import dataclass

from nibblefit.errors import RecipeError

#: Processors of the accelerator: four quadrants of sixteen. Same on both devices.
PROCESSORS = 64
PROCESSORS_PER_QUADRANT = 16
QUADRANTS = 4
#: Four neighbouring processors share one data-memory instance.
PROCESSORS_PER_INSTANCE = 4


@dataclass(frozen=True, slots=True)
class Part:
    """What one device can hold.

    Attributes:
        name: Name in recipes.
        device: Value of the compiler's ``--device`` option.
        max_layers: Hardware layers of one network.
        instance_bytes: Bytes of one of the sixteen data-memory instances.
        max_offset: Largest ``out_offset`` the compiler accepts, in bytes.
        max_side: Largest number of rows or columns.
        kernel_words: 72-bit words of weight memory per processor.
        bias_bytes: Bytes of bias memory per quadrant.
        max_channels: Channels per layer, in or out, before flattening.
        has_depthwise: Convolutions with as many groups as channels.
        has_binary: Weights of plus and minus one.
        has_pool_dilation: Pooling windows with gaps.
        can_pool_many_passes: A layer without convolution may pool more than 64 channels.
        has_padded_multipass_conv1d: Padded 1-D convolutions with more than 64 input channels.
        emulates_eltwise: Element-wise combinations of several passes neither pool nor meet an
            operator, except two operands in two passes.
        has_biased_eltwise: A layer may combine operands and have a biased operator.
        max_conv1d_dilation: Largest dilation of a 1-D convolution.
        clock_hertz: Clock of the accelerator in the code that the compiler generates.
        has_read_gap: A layer of one pass may skip words while it reads.
        extra_kernel_words: Further words of the first processor of each quadrant.
    """

    name: str
    device: str
    max_layers: int
    instance_bytes: int
    max_offset: int
    max_side: int
    kernel_words: int
    bias_bytes: int
    max_channels: int
    has_depthwise: bool
    has_binary: bool
    has_pool_dilation: bool
    can_pool_many_passes: bool
    has_padded_multipass_conv1d: bool
    emulates_eltwise: bool
    has_biased_eltwise: bool
    max_conv1d_dilation: int
    clock_hertz: int
    has_read_gap: bool = False
    extra_kernel_words: int = 0

    def kernel_room(self, processor: int) -> int:
        """Words of weight memory of one processor."""
        is_first = processor % PROCESSORS_PER_QUADRANT == 0
        return self.kernel_words + (self.extra_kernel_words if is_first else 0)

    @property
    def title(self) -> str:
        """Name as printed on the chip."""
        return self.name.upper()


MAX78000 = Part(
    name="max78000",
    device="MAX78000",
    max_layers=32,
    instance_bytes=32 * 1024,
    max_offset=0x20000,
    max_side=1024,  # the manual says 1023; the compiler accepts equality
    kernel_words=768,
    bias_bytes=512,
    max_channels=1024,
    has_depthwise=False,
    has_binary=False,
    has_pool_dilation=False,
    can_pool_many_passes=False,
    has_padded_multipass_conv1d=True,
    emulates_eltwise=True,
    has_biased_eltwise=True,
    max_conv1d_dilation=1023,
    clock_hertz=50_000_000,
)

MAX78002 = Part(
    name="max78002",
    device="MAX78002",
    max_layers=128,
    instance_bytes=80 * 1024,
    max_offset=0x50000,
    max_side=2048,
    kernel_words=4096,
    extra_kernel_words=1024,
    bias_bytes=2048,
    max_channels=1024,  # the manual says 2048; the compiler refuses more than 1024
    has_depthwise=True,
    has_binary=True,
    has_pool_dilation=True,
    can_pool_many_passes=True,
    has_padded_multipass_conv1d=False,
    emulates_eltwise=False,
    has_biased_eltwise=False,
    max_conv1d_dilation=2047,
    clock_hertz=200_000_000,
    has_read_gap=True,
)

PARTS: dict[str, Part] = {part.name: part for part in (MAX78000, MAX78002)}

#: Limits shared by both devices; `izer/izer.py` and `izer/backend/max7800x.py` of the compiler.
MAX_PASSES = 16
MAX_PIXEL_PASSES = 1 << 21  # height · width · passes of any layer stays below this
MAX_FLATTEN_PIXELS = 256
MAX_FLATTEN_FEATURES = 16384
MAX_POOL_WINDOW = 16
MAX_POOL_STRIDE = 16
MAX_PAD = 2
CONV1D_KERNELS = range(1, 10)
CONV2D_KERNELS = (1, 3)
MAX_OPERANDS = 16
#: Total output shift, `output_shift + 8 − weight bits`.
SHIFT_RANGE = range(-15, 16)


def part_named(name: str) -> Part:
    """Return the device called `name`; empty means the MAX78000.

    Raises:
        RecipeError: There is no such device.
    """
    wanted = (name or MAX78000.name).lower()
    if wanted not in PARTS:
        raise RecipeError(
            f"target 'maxim' has no part '{name}'", hint="use one of: " + ", ".join(PARTS)
        )
    return PARTS[wanted]
