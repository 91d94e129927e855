"""Hardware layers: what the accelerator does in one pass, as plain values.

A layer reads its operands, pools and combines them (in either order), runs one operator, shifts,
rounds and clips, applies an activation, and writes. Automatic fusing (`nibblefit_maxim.fuse`) makes
layers from a float graph, the quantizer gives them integers, the planner gives them memory, and
the reader makes them from vendor files.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import prod

from nibblefit.fixed.formats import IntArray
from nibblefit.ir.graph import Shape
from nibblefit_maxim.embedding import CopiedKernel, Embedding


class Operator(StrEnum):
    """What a layer computes; the value is the vendor's word."""

    CONV1D = "conv1d"
    CONV2D = "conv2d"
    CONV_TRANSPOSE2D = "convtranspose2d"
    LINEAR = "linear"
    PASSTHROUGH = "passthrough"


class Eltwise(StrEnum):
    """How operands are combined, left to right."""

    ADD = "add"
    SUB = "sub"
    OR = "or"
    XOR = "xor"


class Activation(StrEnum):
    """What follows rounding and clipping."""

    NONE = "none"
    RELU = "relu"
    ABS = "abs"


class PoolKind(StrEnum):
    """What a pooling window returns."""

    MAX = "max"
    AVG = "avg"


@dataclass(frozen=True, slots=True)
class Pool:
    """A pooling window. A window of one with a larger stride is plain subsampling.

    An average is truncated toward zero, or, if `is_rounded`, rounded half away from zero, which
    the compiler's flag ``--avg-pool-rounding`` chooses for the 2-D pools of a whole network.
    """

    kind: PoolKind
    window: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    is_rounded: bool = False


@dataclass(frozen=True, slots=True)
class HardwareLayer:
    """One layer of the accelerator.

    Attributes:
        name: Name of the layer.
        operator: See `Operator`.
        inputs: Tensors it reads: the operands of `eltwise`, or, without one, the members of a
            concatenation (one input: no concatenation).
        input_shape: Shape of one operand before pooling, (channels, *spatial).
        output_shape: Shape of what it writes.
        pool: Pooling in front of the operator.
        eltwise: Combination of the operands.
        pool_first: Each operand is pooled, then they are combined; else the other way round.
        kernel: Taps per axis; empty for linear and passthrough.
        pad: Zeros on each side, per axis.
        dilation: Distance of taps, per axis.
        groups: 1, or the number of channels (depthwise).
        flatten: (channels, *spatial) becomes features in that order.
        activation: See `Activation`.
        wide: The 32-bit accumulator is written as it is.
        weight, bias: Names of the constants, empty if there is none.
        is_normed: A batch norm follows, which folding turns into weights and a bias.
        identity: It hands its input on unchanged and has no weights of its own: a 1×1
            convolution or linear layer inserted where the hardware needs an operator; with more
            padding than its kernel takes up, it adds a frame of zeros; transposed, it repeats
            every position twice along both axes; with `copies`, it lays shifted copies of its
            input side by side.
        sources: Names of the float nodes it covers.
        output: Name of the tensor it writes, the float tensor of the last covered node; empty:
            the layer's own name.
        embedding: How the stored weights become the hardware's; None: they are the same.
        copies: Taps of an identity layer's kernel, one per copy of its input that it writes, the
            channels of the first copy first; empty: one copy of the middle.
        packed: Operands that lie side by side in the one input tensor, as a network's input can.
        notes: What was rewritten to make the layer, as sentences for reports.
    """

    name: str
    operator: Operator
    inputs: tuple[str, ...]
    input_shape: Shape
    output_shape: Shape
    pool: Pool | None = None
    eltwise: Eltwise | None = None
    pool_first: bool = True
    kernel: tuple[int, ...] = ()
    pad: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    flatten: bool = False
    activation: Activation = Activation.NONE
    wide: bool = False
    weight: str = ""
    bias: str = ""
    is_normed: bool = False
    identity: bool = False
    sources: tuple[str, ...] = ()
    output: str = ""
    embedding: Embedding | CopiedKernel | None = None
    copies: tuple[tuple[int, ...], ...] = ()
    packed: int = 0
    notes: tuple[str, ...] = ()

    @property
    def tensor(self) -> str:
        """Name of the tensor it writes."""
        return self.output or self.name

    @property
    def has_weights(self) -> bool:
        """Whether the layer multiplies."""
        return self.operator is not Operator.PASSTHROUGH

    @property
    def identity_bits(self) -> int:
        """Width of the constant weights of an identity layer; many copies take many weights."""
        return 2 if self.copies else 8

    @property
    def in_channels(self) -> int:
        """Channels of one operand, before flattening."""
        return self.input_shape[0]

    @property
    def out_channels(self) -> int:
        """Channels or features written."""
        return self.output_shape[0]

    @property
    def input_pixels(self) -> int:
        """Positions of one operand before pooling."""
        return prod(self.input_shape[1:])

    @property
    def output_pixels(self) -> int:
        """Positions written."""
        return prod(self.output_shape[1:])

    @property
    def operands(self) -> int:
        """Values read per channel and position."""
        return (self.packed or len(self.inputs)) if self.eltwise else 1

    def describe(self) -> str:
        """Return one line such as ``max pool 2×2 + conv2d 3×3 + relu``."""
        words = [f"{self.eltwise}"] if self.eltwise and not self.pool_first else []
        if self.pool:
            words.append(f"{self.pool.kind} pool {_times(self.pool.window)}")
        if self.eltwise and self.pool_first:
            words.append(f"{self.eltwise}")
        if self.flatten:
            words.append("flatten")
        kind = "identity" if self.identity else str(self.operator)
        if self.copies:
            kind = f"{len(self.copies)} shifted copies by {self.operator}"
        words.append(f"{kind} {_times(self.kernel)}".strip())
        if self.activation is not Activation.NONE:
            words.append(str(self.activation))
        if self.wide:
            words.append("32-bit output")
        return " + ".join(words)


def _times(sizes: tuple[int, ...]) -> str:
    return "×".join(str(size) for size in sizes)


@dataclass(frozen=True, slots=True)
class IntegerLayer:
    """A hardware layer with its integers.

    Attributes:
        layer: The layer.
        weights: Codes, (out, in/groups, *kernel), (in, out, *kernel) for transposed convolutions
            in torch's meaning, (out, in) for linear; None for passthrough.
        bias: int8 codes, (out,); they join the accumulator times 128.
        weight_bits: 1, 2, 4 or 8.
        weight_frac: Fractional bits of the weights; the codes' real value is code · 2^−frac.
        in_frac, out_frac: Fractional bits of the 8-bit input and output; 7 where the activation
            threshold is zero.
        is_binary: Weights are plus and minus one (MAX78002).
    """

    layer: HardwareLayer
    weights: IntArray | None = None
    bias: IntArray | None = None
    weight_bits: int = 8
    weight_frac: int = 7
    in_frac: int = 7
    out_frac: int = 7
    is_binary: bool = False

    @property
    def right_shift(self) -> int:
        """Bits by which the accumulator moves right to become an output code; may be negative."""
        return self.in_frac + self.weight_frac - self.out_frac

    @property
    def total_shift(self) -> int:
        """The hardware's shift: output = accumulator · 2^shift / 128."""
        return 7 - self.right_shift

    @property
    def output_shift(self) -> int:
        """The shift as the vendor's files state it, relative to the weight width."""
        return self.total_shift - (8 - self.weight_bits)

    @property
    def threshold(self) -> int:
        """Activation threshold relative to the producer's, as the vendor's files state it."""
        return self.in_frac - self.out_frac
