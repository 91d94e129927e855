"""Checks of one layer as written: what can be told without shapes, weights or other layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nibblefit_maxim.layers import Activation, Operator
from nibblefit_maxim.parts import CONV1D_KERNELS, CONV2D_KERNELS, Part
from nibblefit_maxim.reading.entry import LayerEntry
from nibblefit_maxim.reading.problems import Problems
from nibblefit_maxim.reading.schema import BINARY
from nibblefit_maxim.rules import RULES, Severity

#: Key, rule and message of one problem.
_Wrong = tuple[str, str, str]
#: 1-D kernels stretched by dilation up to this many taps run as 1-D convolutions.
#: Source: ai8x-synthesis ab4f4c0, `izer/izer.py`.
_MAX_STRETCHED_TAPS = 9
_MAX_CONV1D_DILATION = {"MAX78000": 1023, "MAX78002": 2047}
_MAX_POOL_DILATION = 16


def check_entry(entry: LayerEntry, part: Part, problems: Problems) -> frozenset[str]:
    """Record every problem of one layer as written; return the keys that are in error."""
    wrong = set()
    checks: tuple[Callable[[LayerEntry, Part], Iterator[_Wrong]], ...] = (
        _keys, _kernel, _dilation, _pool, _output, _eltwise, _buffer, _defaults,
    )  # fmt: skip
    for check in checks:
        for key, rule, message in check(entry, part):
            if key not in entry.damaged:
                problems.add(entry.line_of(key), rule, f"{entry.title}: {message}")
                if RULES[rule].severity is Severity.ERROR:
                    wrong.add(key)
    return frozenset(wrong)


def _keys(entry: LayerEntry, part: Part) -> Iterator[_Wrong]:
    if "processors" not in entry.given:
        yield "processors", "missing-key", "'processors' is missing"
    if entry.get("out_offset", 0) > part.max_offset:
        yield ("out_offset", "part-limit", (f"'out_offset' is {entry.get('out_offset'):#x}; "
               f"the {part.title} allows up to {part.max_offset:#x}"))  # fmt: skip
    if entry.get("in_skip", 0) and part.device == "MAX78000":
        yield "in_skip", "read-gap", "'read_gap' must be 0 on the MAX78000"
    if entry.get("data_format") == "chw" and entry.index:
        yield "data_format", "bad-value", "only the first layer can read CHW data"
    for key in ("bypass", "calcx4", "readahead"):
        if entry.get(key) and part.device == "MAX78000":
            yield key, "part-limit", f"'{key}' does not exist on the MAX78000"
    if "snoop_sequence" in entry.given:
        message = "'snoop_sequence' is where the device jumps when a snoop condition is met"
        yield "snoop_sequence", "debug-aid", message
    crop = entry.get("in_crop", (0, 0))
    if max(crop) > 0 and min(crop) == 0:
        message = f"'in_crop' is {list(crop)}; with one 0 in it the compiler reads nothing"
        yield "in_crop", "bad-value", message


def _kernel(entry: LayerEntry, _: Part) -> Iterator[_Wrong]:
    if entry.operator is Operator.CONV1D:
        if len(entry.kernel) != 1 or entry.kernel[0] not in CONV1D_KERNELS:
            yield "kernel_size", "kernel-size", f"1-D kernels are 1 to 9; found {entry.kernel}"
    elif entry.kernel and (
        len(entry.kernel) != 2
        or entry.kernel[0] != entry.kernel[1]
        or entry.kernel[0] not in CONV2D_KERNELS
        or (entry.operator is Operator.CONV_TRANSPOSE2D and entry.kernel[0] != 3)
    ):
        yield ("kernel_size", "kernel-size", (f"kernel {entry.kernel} does not exist; use 1x1 or "
               "3x3 (transposed: 3x3)"))  # fmt: skip
    if not entry.kernel and "kernel_size" in entry.given:
        yield "kernel_size", "kernel-size", f"'kernel_size' has no meaning for {entry.operator}"
    if entry.kernel and entry.pad >= max(entry.kernel) and "kernel_size" not in entry.damaged:
        yield ("pad", "pad-size", (f"pad {entry.pad} must be smaller than the kernel "
               f"{entry.kernel}; the default is 1"))  # fmt: skip
    stride = entry.get("stride")
    wanted = 2 if entry.operator is Operator.CONV_TRANSPOSE2D else 1
    if stride is not None and set(stride) != {wanted}:
        yield ("stride", "stride", (f"{entry.operator} has stride {wanted} only; found {stride}; "
               "subsample with pool_stride in the next layer"))  # fmt: skip


def _dilation(entry: LayerEntry, part: Part) -> Iterator[_Wrong]:
    dilation = entry.get("dilation", 1)
    if dilation == 1:
        return
    if entry.operator is not Operator.CONV1D:
        yield "dilation", "dilation", f"{entry.operator} cannot be dilated"
        return
    taps = entry.kernel[0]
    if (taps - 1) * dilation < _MAX_STRETCHED_TAPS:
        return
    if taps > 3 or entry.pad or is_pooling(entry) or entry.get("streaming"):
        yield ("dilation", "dilation", (f"a kernel of {taps} with dilation {dilation} spans more "
               f"than {_MAX_STRETCHED_TAPS} taps; it then needs at most 3 taps, pad 0, no pooling "
               "and no streaming"))  # fmt: skip
    if dilation > _MAX_CONV1D_DILATION[part.device]:
        yield ("dilation", "dilation", (f"dilation {dilation}; the {part.title} has up to "
               f"{_MAX_CONV1D_DILATION[part.device]}"))  # fmt: skip


def is_pooling(entry: LayerEntry) -> bool:
    """Return whether the layer has a pooling window."""
    return "max_pool" in entry.given or "avg_pool" in entry.given


def _pool(entry: LayerEntry, part: Part) -> Iterator[_Wrong]:
    stride = entry.get("pool_stride", (1, 1))
    if stride[0] != stride[1]:
        yield "pool_stride", "pooling", f"pooling strides must be equal; found {stride}"
    if entry.get("flatten") and (is_pooling(entry) or stride != (1, 1)):
        yield "flatten", "flatten", "a flattening layer cannot pool; pool in a layer before it"
    if "pool_dilation" in entry.given:
        dilation = max(entry.given["pool_dilation"])
        if dilation > 1 and not part.has_pool_dilation:
            yield "pool_dilation", "pooling", f"the {part.title} has no pooling dilation"
        if dilation > 1 and entry.operator is Operator.CONV1D:
            yield "pool_dilation", "pool-dilation-1d", f"pooling of 1-D data is dilated {dilation}×"
    if "max_pool" in entry.given and "avg_pool" in entry.given:
        yield "avg_pool", "both-pools", "both max_pool and avg_pool; the average is ignored"
    if not entry.get("pool_first", True) and not (entry.eltwise and is_pooling(entry)):
        yield (
            "pool_first",
            "eltwise",
            "'pool_first: false' needs operands and pooling",
        )
    if not entry.get("pool_first", True) and entry.operands > 2:
        yield ("pool_first", "eltwise", ("at most 2 operands may be pooled afterwards; found "
               f"{entry.operands}"))  # fmt: skip


def _output(entry: LayerEntry, part: Part) -> Iterator[_Wrong]:
    active = entry.activation is not Activation.NONE
    if active and entry.is_wide:
        yield "activate", "activation", "an activation needs 8-bit output; 'output_width' is 32"
    if entry.operator is Operator.PASSTHROUGH and (active or entry.is_wide):
        yield ("activate" if active else "output_width", "activation",
               "a layer without convolution has neither activation nor 32-bit output")  # fmt: skip
    if entry.get("groups", 1) != 1 and not part.has_depthwise:
        yield "groups", "groups", f"the {part.title} has no grouped convolution"
    if entry.get("quantization") == BINARY and not part.has_binary:
        yield "quantization", "binary-weights", f"the {part.title} has no binary weights"


def _eltwise(entry: LayerEntry, _: Part) -> Iterator[_Wrong]:
    if "eltwise" in entry.given and entry.operator in (Operator.PASSTHROUGH, Operator.CONV1D):
        yield "eltwise", "eltwise", f"'eltwise' cannot stand in front of {entry.operator}"
    if "operands" in entry.given and entry.eltwise is None:
        yield "operands", "eltwise", "'operands' needs an element-wise operation"


def _buffer(entry: LayerEntry, _: Part) -> Iterator[_Wrong]:
    if "buffer_shift" in entry.given:
        if entry.operator is not Operator.PASSTHROUGH or entry.eltwise:
            yield "buffer_shift", "data-buffer", "only a passthrough can shift the data buffer"
        elif "in_sequences" not in entry.given:
            yield "buffer_shift", "data-buffer", "in_sequences must name the buffer to be shifted"
    if "buffer_insert" in entry.given and "out_offset" not in entry.given:
        yield "buffer_insert", "data-buffer", "out_offset must say where in the buffer it writes"


def _defaults(entry: LayerEntry, _: Part) -> Iterator[_Wrong]:
    """Yield the defaults that the compiler warns of, or that have led to wrong files."""
    missing = []
    if "op" not in entry.given:
        missing.append(f"'op' (taken as {entry.operator})")
    if entry.operator is Operator.CONV1D:
        missing += [
            f"'{key}' (taken as {value})"
            for key, value in (("kernel_size", entry.kernel[0]), ("pad", entry.pad))
            if key not in entry.given
        ]
    if is_pooling(entry) and "pool_stride" not in entry.given:
        missing.append("'pool_stride' (taken as 1)")
    if "out_offset" not in entry.given:
        missing.append("'out_offset' (taken as 0)")
    missing = [text for text in missing if text.split("'")[1] not in entry.damaged]
    if missing:
        yield "", "implicit-default", "left out: " + ", ".join(missing)
