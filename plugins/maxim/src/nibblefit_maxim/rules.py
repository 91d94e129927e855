"""Everything that can be wrong with a network description: one rule per way, with its remedy.

The reader refuses a file by these rules, the linter reports them all at once, and the manual's
table is made from them. What the vendor's compiler (ai8x-synthesis ab4f4c0) does with such a file
is part of a rule, because half of them exist for files that it accepts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Severity(StrEnum):
    """How much a rule weighs: errors make a file unusable, warnings and notes do not."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Vendor(StrEnum):
    """What the vendor's compiler does with a file that breaks the rule."""

    REFUSES = "refuses"
    WARNS = "warns"
    ACCEPTS = "accepts"
    UNKNOWN = "–"


@dataclass(frozen=True, slots=True)
class Rule:
    """One way in which a file can be wrong.

    Attributes:
        name: Identifier, stable between releases.
        severity: See `Severity`.
        vendor: See `Vendor`.
        summary: What the rule asks for.
        remedy: What to do when it is broken.
        is_readable: False where the reader cannot follow such a file even though it may be right.
    """

    name: str
    severity: Severity
    vendor: Vendor
    summary: str
    remedy: str
    is_readable: bool = True


_Row: TypeAlias = tuple[str, Vendor, str, str]


def _errors(rows: Iterable[_Row]) -> tuple[Rule, ...]:
    return tuple(_rule(Severity.ERROR, *row) for row in rows)


def _warnings(rows: Iterable[_Row]) -> tuple[Rule, ...]:
    return tuple(_rule(Severity.WARNING, *row) for row in rows)


def _rule(severity: Severity, name: str, vendor: Vendor, summary: str, remedy: str) -> Rule:
    return Rule(name, severity, vendor, summary, remedy)


_TEXT = _errors((
    ("yaml-syntax", Vendor.REFUSES, "the file is YAML: a mapping with arch, dataset and layers",
     "check indentation and colons near that line"),
    ("yaml-alias", Vendor.ACCEPTS, "no YAML aliases", "write the value out"),
    ("unknown-key", Vendor.REFUSES, "every key is known", "correct the spelling, or remove it"),
    ("duplicate-key", Vendor.REFUSES, "no key stands twice, under any of its spellings",
     "keep one of them"),
    ("missing-key", Vendor.REFUSES, "arch, dataset, layers and every layer's processors are there",
     "add the key"),
    ("bad-value", Vendor.REFUSES, "every value fits its key", "write a value of the expected kind"),
    ("layer-name", Vendor.REFUSES, "names are unique and neither 'input' nor 'stop'",
     "rename the layer"),
))  # fmt: skip

_OPERATORS = _errors((
    ("kernel-size", Vendor.REFUSES, "the operator has a kernel of this size",
     "use 1x1 or 3x3 (1-D: 1 to 9); a 2x2 kernel becomes 3x3 by padding it with zeros"),
    ("pad-size", Vendor.REFUSES, "pad is smaller than the kernel",
     "write pad: 0; left out it is 1"),
    ("conv1d-pad-trap", Vendor.ACCEPTS, "1-D and 2-D convolutions do not both leave out pad",
     "write pad in both: left out in a 1-D layer it changes the default of the 2-D ones"),
    ("stride", Vendor.REFUSES, "convolutions have stride 1, transposed ones 2",
     "subsample with pool_stride in the next layer"),
    ("dilation", Vendor.REFUSES, "only 1-D convolutions are dilated, within their limits",
     "use dilation 1, or a 1-D convolution"),
    ("groups", Vendor.REFUSES, "groups are 1, or as many as channels where the part has that",
     "use groups: 1, or the MAX78002 with as many groups as channels"),
    ("pooling", Vendor.REFUSES, "pooling windows, strides and dilation exist on this part",
     "use windows and strides of 1 to 16, equal strides, and no dilation on the MAX78000"),
    ("pooling-size", Vendor.REFUSES, "at least one pooling window fits the data",
     "pool less, or enlarge the input"),
    ("flatten", Vendor.REFUSES, "a flattening layer does not pool and stays within its limits",
     "pool in a layer before it"),
    ("activation", Vendor.REFUSES, "activations stand behind 8-bit convolutions",
     "drop the activation, or use output_width: 8"),
    ("eltwise", Vendor.REFUSES, "element-wise operations have an operator and operands that fit",
     "use operands of equal shape in front of conv2d, linear, convtranspose2d or nothing"),
    ("binary-weights", Vendor.REFUSES, "binary weights exist on this part",
     "use quantization: 1, or the MAX78002"),
    ("read-gap", Vendor.REFUSES, "read_gap is 0 on the MAX78000, and single-pass on the MAX78002",
     "leave gaps with write_gap instead"),
    ("part-limit", Vendor.REFUSES, "layers, channels, sides and passes stay within the part",
     "use fewer or smaller layers, or the MAX78002"),
))  # fmt: skip

_NETWORK = _errors((
    ("sample", Vendor.REFUSES, "the sample is int64 of C,H,W or C,L, with values of −128 to 127",
     "save it with numpy as int64, channels first, without batch axis"),
    ("in-sequences", Vendor.REFUSES, "in_sequences and the like name layers that have run before",
     "name earlier layers by number or name, or 'input'"),
    ("data-buffer", Vendor.REFUSES, "one rolling buffer, read, shifted and filled where it lies",
     ("write name, processors, channels, dim and offset of the buffer, and for each layer that "
     "uses it in_sequences, offsets, in_dim and in_channels")),
    ("shape", Vendor.REFUSES, "shapes fit together", "correct in_dim, in_channels or flatten"),
    ("concat-shape", Vendor.ACCEPTS, "members of a concatenation have equal rows and columns",
     "pool or reshape members first; the compiler would join their pixels one by one instead"),
    ("concat-multiple", Vendor.ACCEPTS,
     "members of a concatenation, the last excepted, have channels in multiples of 4",
     "use a multiple of 4; two members cannot share a 32-bit word"),
    ("checkpoint-arch", Vendor.REFUSES, "arch equals the checkpoint's",
     "take the checkpoint of this network, or correct arch"),
    ("checkpoint-layers", Vendor.REFUSES, "as many layers with weights as the checkpoint has",
     ("look for a missing layer, for op: passthrough written as a convolution, or take the right "
     "checkpoint; its order is that in which modules were registered")),
    ("checkpoint-shape", Vendor.REFUSES, "the checkpoint's weights have the layer's shape",
     "correct kernel_size or the order of layers, or take the right checkpoint"),
    ("checkpoint-unreadable", Vendor.REFUSES, "the checkpoint holds epoch, state_dict and tensors",
     "save epoch, state_dict and arch only, with torch.save"),
    ("batch-norm", Vendor.REFUSES, "batch norm is folded into the weights",
     "use the checkpoint that quantization-aware training writes (qat_best), after folding"),
    ("weights-float", Vendor.REFUSES, "weights are integers",
     "quantize the checkpoint first: `nibblefit maxim import` does"),
    ("weights-width", Vendor.REFUSES, "weights fit their bits",
     "correct quantization, or quantize the checkpoint again"),
    ("weights-zero", Vendor.ACCEPTS, "some weight of every layer is not zero",
     "quantize the checkpoint; small float weights become zeros otherwise"),
    ("bias-width", Vendor.REFUSES, "bias codes fit 8 bits", "quantize the checkpoint again"),
    ("shift-range", Vendor.REFUSES, "output_shift + 8 − bits is −15 to 15",
     "correct output_shift; weights that need more are far too large or too small"),
))  # fmt: skip

_PLACEMENT = _errors((
    ("input-map", Vendor.REFUSES,
     "processors has one bit per channel that the layer reads in a pass",
     "set that many bits; above 64 channels: channels per pass, rounded up to a multiple of 4"),
    ("output-map", Vendor.REFUSES,
     "output_processors, or the next layer's processors, has as many bits as channels are written",
     "correct output_processors here, or processors of the layer that reads it"),
    ("output-map-reader", Vendor.ACCEPTS,
     "a layer reads on the processors that its input was written to",
     "make processors equal to the output map of the layer it reads"),
    ("passthrough-map", Vendor.REFUSES,
     "a layer without operator writes, per quadrant, to as many processors as it reads, packed",
     "use the input map, moved to the first processor of each quadrant"),
    ("depthwise-map", Vendor.REFUSES, "output maps of depthwise layers start at a multiple of 4",
     "move the map"),
    ("chw-instance", Vendor.REFUSES, "CHW data has one channel per group of four processors",
     "use every fourth processor, such as 0x0000000000000111"),
    ("quadrant-0", Vendor.REFUSES, "some layer uses processors 0 to 15", "move one layer's map"),
    ("bias-group", Vendor.REFUSES, "bias groups are quadrants that the network uses",
     "name a quadrant with processors, or leave the key out"),
    ("data-size", Vendor.REFUSES, "input and output end inside the data memory",
     "lower the offset, pool earlier, or stream the first layers"),
    ("write-gap-size", Vendor.ACCEPTS, "output with its gaps ends inside the data memory",
     "lower out_offset or write_gap"),
    ("overwrites-input", Vendor.ACCEPTS, "a layer does not overwrite what it reads",
     "move out_offset to another half of the memory; the compiler sees this in plain chains only"),
    ("overwrites-live", Vendor.ACCEPTS, "data that a later layer reads stays intact",
     "move out_offset away from data that is still needed, such as that of skip connections"),
    ("reads-unwritten", Vendor.ACCEPTS, "every word that a layer reads was written",
     "correct in_offset, in_sequences, processors, or the writer's out_offset and write_gap"),
    ("reads-other", Vendor.ACCEPTS, "every word read holds the data that the network means",
     "correct in_offset and in_sequences, and for operands write_gap and the order of writers"),
    ("weight-memory", Vendor.REFUSES, "weights fit the processors' weight memories",
     "move maps to emptier processors, use fewer bits, or fewer channels"),
    ("bias-memory", Vendor.REFUSES, "biases fit the quadrants' bias memories",
     "use biases in fewer layers, or spread them with bias_group"),
    ("streaming-order", Vendor.REFUSES, "streaming layers come first, at most eight",
     "stream from layer 0 on, without a gap"),
    ("streaming-fifo", Vendor.REFUSES, "a streaming network's input comes through the FIFO",
     "call compiler and linter with --fifo"),
    ("fifo-map", Vendor.REFUSES, "the FIFO's data arrives on the processors it feeds",
     "use processors 0, 16, 32, 48 (CHW) or 0-3, 16-19, 32-35, 48-51 (HWC)"),
    ("streaming-buffers", Vendor.REFUSES, "rolling buffers of streaming layers do not overlap",
     "move in_offset of the later layer"),
    ("streaming-kind", Vendor.REFUSES, "this layer can stream on this part",
     "see the manual of the part for what may stream"),
))  # fmt: skip

_MODEL = (
    Rule("not-modelled", Severity.WARNING, Vendor.UNKNOWN,
         "every way of reading data has a documented meaning",
         "read the data in another way; what follows from this layer is not checked", False),
)  # fmt: skip

_DOUBTS = _warnings((
    ("implicit-default", Vendor.WARNS, "keys whose defaults surprise are written out",
     "write op, pad, kernel_size, pool_stride and out_offset explicitly"),
    ("both-pools", Vendor.ACCEPTS, "a layer pools by maximum or by average", "keep one of the two"),
    ("pool-dilation-1d", Vendor.ACCEPTS, "1-D pooling is not dilated",
     "use pool_dilation 1; the compiler's simulation of 1-D pooling ignores it"),
    ("checkpoint-surplus", Vendor.ACCEPTS, "the checkpoint has no weights beyond the last layer",
     "look for a layer that is missing from the file, or take the right checkpoint"),
    ("checkpoint-unnamed", Vendor.WARNS, "the checkpoint names its arch",
     "make sure that it belongs to this network"),
    ("narrow-map", Vendor.WARNS, ("output maps of layers with 1, 2 or 4-bit weights start at a "
     "multiple of 4"), "move the output map to a multiple of 4"),
    ("streaming-bias", Vendor.WARNS, "streaming layers on the MAX78000 have no bias",
     "fold the bias away, or verify this layer on the device"),
    ("partial-channels", Vendor.REFUSES,
     "a layer reads all channels of its input, or the compiler is called with --reshape-inputs",
     "call the compiler with --reshape-inputs, or read all channels"),
    ("split-operands", Vendor.ACCEPTS,
     "operands come from layers of their own, or lie side by side in the network's input",
     ("write each operand with a layer of its own; the compiler splits one layer's output by "
     "channels, while the device reads every second word")),
    ("overlap-data", Vendor.WARNS, "data is overwritten while it is read, as --overlap-data allows",
     "make sure that every word is read before it is overwritten"),
))  # fmt: skip

_NOTES = (
    Rule("debug-aid", Severity.NOTE, Vendor.ACCEPTS,
         "snooping only watches; the graph is what runs if no condition is met",
         "nothing to do; write simulated_sequence for the way that a met condition takes"),
    Rule("input-unknown", Severity.NOTE, Vendor.UNKNOWN, "the shape of the input is known",
         "give --sample FILE.npy or --input-shape 1,28,28; without it, shapes and memory are not "
         "checked"),
    Rule("checkpoint-absent", Severity.NOTE, Vendor.UNKNOWN, "the checkpoint is known",
         "give --checkpoint; without it, channel counts are taken from the processor maps"),
    Rule("not-followed", Severity.NOTE, Vendor.UNKNOWN, "every layer could be followed",
         "correct the findings of the layers before it, then lint again"),
)  # fmt: skip

#: Every rule by name, in the order of the manual.
RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (*_TEXT, *_OPERATORS, *_NETWORK, *_PLACEMENT, *_MODEL, *_DOUBTS, *_NOTES)
}
