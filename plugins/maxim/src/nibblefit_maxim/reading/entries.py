"""From YAML values to layer entries: one typed record per layer, defaults filled in as the compiler
does, and every problem collected with its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nibblefit.errors import InputError
from nibblefit_maxim.layers import Activation, Eltwise, Operator
from nibblefit_maxim.parts import CONV1D_KERNELS, CONV2D_KERNELS, Part
from nibblefit_maxim.reading.schema import (
    BINARY,
    GLOBAL_KEYS,
    LAYER_KEYS,
    REQUIRED_GLOBAL_KEYS,
    RESERVED_NAMES,
    BadValueError,
    closest,
    processor_map,
    read_value,
)
from nibblefit_maxim.reading.yaml_text import Problems, Value, parse

#: Keys that only the compiler's code generation or another device feature reads; what they do to
#: the data flow is not modelled, so files that use them are refused by name.
UNMODELLED_KEYS = frozenset(
    {
        "in_crop", "in_channel_skip", "weight_source", "buffer_shift", "buffer_insert",
        "next_sequence", "simulated_sequence", "snoop_sequence", "sequence",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LayerEntry:
    """One layer as written; `given` holds the canonical keys that were present.

    `kernel` is empty for linear and passthrough. `quantization` None means "from the checkpoint".
    """

    index: int
    line: int
    given: Mapping[str, Any]
    lines: Mapping[str, int]
    name: str
    operator: Operator
    eltwise: Eltwise | None
    operands: int
    kernel: tuple[int, ...]
    pad: int

    def get(self, key: str, default: Any = None) -> Any:
        """Return a key's value, or the default."""
        return self.given.get(key, default)

    def line_of(self, key: str) -> int:
        """Return the line of a key, or where the layer begins."""
        return self.lines.get(key, self.line)

    @property
    def processors(self) -> int:
        """Input map."""
        return int(self.given["processors"])

    @property
    def activation(self) -> Activation:
        """Activation, none if not written."""
        return Activation(self.given.get("activate", Activation.NONE))

    @property
    def is_wide(self) -> bool:
        """Whether the layer writes 32 bits."""
        return int(self.given.get("output_width", 8)) == 32

    @property
    def title(self) -> str:
        """How messages call the layer."""
        return f"layer {self.index}" + (f" ('{self.name}')" if "name" in self.given else "")


@dataclass(frozen=True, slots=True)
class NetworkEntry:
    """A whole file as written."""

    file: str
    arch: str
    dataset: str
    layers: tuple[LayerEntry, ...]
    output_map: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def read_entries(text: str, file: str, part: Part) -> NetworkEntry:
    """Parse a network YAML into entries, checking everything that needs no weights.

    Args:
        text: Contents of the file.
        file: Its name, for messages.
        part: Device whose limits count.

    Raises:
        InputError: Every problem, each with its line.
    """
    problems = Problems(file)
    root = parse(text, problems)
    if not isinstance(root.content, dict):
        raise InputError(
            f"{file}:{root.line}: expected keys such as arch, dataset and layers",
            hint="see the vendor's manual, or let nibblefit write the file",
        )
    entries = root.content
    for key, value in entries.items():
        if key not in GLOBAL_KEYS:
            problems.add(value.line, f"unknown key '{key}'{closest(key, GLOBAL_KEYS)}")
        elif key in ("data_buffer", "snoop"):
            problems.add(value.line, f"'{key}' is not supported by this reader")
    for key in REQUIRED_GLOBAL_KEYS:
        if key not in entries:
            problems.add(0, f"key '{key}' is missing")
    layers = _layers(entries.get("layers"), part, problems)
    output_map = None
    if "output_map" in entries:
        try:
            output_map = processor_map(entries["output_map"].plain())
        except BadValueError as error:
            problems.add(entries["output_map"].line, f"'output_map': {error}")
    problems.raise_if_any("correct the file; unknown or doubled keys are fatal for the compiler")
    return NetworkEntry(
        file,
        str(entries["arch"].plain()),
        str(entries["dataset"].plain()),
        tuple(layers),
        output_map,
    )


def _layers(value: Value | None, part: Part, problems: Problems) -> list[LayerEntry]:
    if value is None:
        return []
    if not isinstance(value.content, list) or not value.content:
        problems.add(value.line, "'layers' must be a list with at least one layer")
        return []
    found = [
        entry
        for index, item in enumerate(value.content)
        if (entry := _layer(index, item, part, problems)) is not None
    ]
    _check_names(found, problems)
    _check_conv1d_trap(found, problems)
    if len(value.content) > part.max_layers:
        problems.add(
            value.line,
            f"{len(value.content)} layers; the {part.title} has {part.max_layers}",
        )
    return found


def _layer(index: int, value: Value, part: Part, problems: Problems) -> LayerEntry | None:
    if not isinstance(value.content, dict):
        problems.add(value.line, f"layer {index} is not a mapping of keys")
        return None
    given: dict[str, Any] = {}
    lines: dict[str, int] = {}
    before = len(problems.found)
    for spelled, item in value.content.items():
        key = LAYER_KEYS.get(spelled)
        if key is None:
            problems.add(
                item.line, f"layer {index}: unknown key '{spelled}'{closest(spelled, LAYER_KEYS)}"
            )
        elif key.name in given:
            problems.add(item.line, f"layer {index}: '{spelled}' repeats '{key.name}'")
        else:
            try:
                given[key.name] = read_value(key, item)
                lines[key.name] = item.line
            except BadValueError as error:
                problems.add(item.line, f"layer {index}: '{spelled}' is {item.plain()!r}; {error}")
    if len(problems.found) > before:
        return None
    entry = _complete(index, value.line, given, lines)
    _check(entry, part, problems)
    return entry


def _complete(
    index: int, line: int, given: Mapping[str, Any], lines: Mapping[str, int]
) -> LayerEntry:
    kind = given.get("op", Operator.CONV2D)
    operator = Operator.PASSTHROUGH if isinstance(kind, Eltwise) else kind
    eltwise = kind if isinstance(kind, Eltwise) else given.get("eltwise")
    kernel: tuple[int, ...] = ()
    if operator is Operator.CONV1D:
        kernel = given.get("kernel_size", (9,))
    elif operator in (Operator.CONV2D, Operator.CONV_TRANSPOSE2D):
        kernel = given.get("kernel_size", (3, 3))
    convolves = bool(kernel)
    return LayerEntry(
        index=index,
        line=line,
        given=given,
        lines=lines,
        name=str(given.get("name", f"layer{index:03d}")),
        operator=operator,
        eltwise=eltwise,
        operands=int(given.get("operands", 2)) if eltwise else 1,
        kernel=kernel,
        pad=int(given.get("pad", 1 if convolves else 0)),
    )


def _check(entry: LayerEntry, part: Part, problems: Problems) -> None:
    def wrong(key: str, message: str) -> None:
        problems.add(entry.line_of(key), f"{entry.title}: {message}")

    for key in sorted(UNMODELLED_KEYS & entry.given.keys()):
        wrong(key, f"'{key}' is not supported by this reader")
    if "processors" not in entry.given:
        wrong("processors", "'processors' is missing")
    if entry.get("out_offset", 0) > part.max_offset:
        wrong("out_offset", f"'out_offset' is {entry.get('out_offset'):#x}; "
              f"the {part.title} allows up to {part.max_offset:#x}")  # fmt: skip
    if entry.get("in_skip", 0) and part.device == "MAX78000":
        wrong("in_skip", "'read_gap' must be 0 on the MAX78000")
    _check_kernel(entry, wrong)
    _check_pool(entry, part, wrong)
    _check_output(entry, part, wrong)


def _check_kernel(entry: LayerEntry, wrong: Any) -> None:
    if entry.operator is Operator.CONV1D:
        if len(entry.kernel) != 1 or entry.kernel[0] not in CONV1D_KERNELS:
            wrong("kernel_size", f"1-D kernels are 1 to 9; found {entry.kernel}")
    elif entry.kernel and (
        len(entry.kernel) != 2
        or entry.kernel[0] != entry.kernel[1]
        or entry.kernel[0] not in CONV2D_KERNELS
        or (entry.operator is Operator.CONV_TRANSPOSE2D and entry.kernel[0] != 3)
    ):
        wrong("kernel_size", f"kernel {entry.kernel} does not exist; use 1x1 or 3x3 "
              "(transposed: 3x3)")  # fmt: skip
    if not entry.kernel and "kernel_size" in entry.given:
        wrong("kernel_size", f"'kernel_size' has no meaning for {entry.operator}")
    if entry.kernel and entry.pad >= max(entry.kernel):
        wrong("pad", f"pad {entry.pad} must be smaller than the kernel {entry.kernel}; "
              "the default is 1")  # fmt: skip
    stride = entry.get("stride")
    wanted = 2 if entry.operator is Operator.CONV_TRANSPOSE2D else 1
    if stride is not None and set(stride) != {wanted}:
        wrong("stride", f"{entry.operator} has stride {wanted} only; found {stride}; "
              "subsample with pool_stride in the next layer")  # fmt: skip
    if entry.get("dilation", 1) != 1 and entry.operator is not Operator.CONV1D:
        wrong("dilation", f"{entry.operator} cannot be dilated")


def _check_pool(entry: LayerEntry, part: Part, wrong: Any) -> None:
    pooled = "max_pool" in entry.given or "avg_pool" in entry.given
    stride = entry.get("pool_stride", (1, 1))
    if stride[0] != stride[1]:
        wrong("pool_stride", f"pooling strides must be equal; found {stride}")
    if entry.get("flatten") and (pooled or stride != (1, 1)):
        wrong("flatten", "a flattening layer cannot pool; pool in a layer before it")
    if "pool_dilation" in entry.given and not part.has_pool_dilation:
        wrong("pool_dilation", f"the {part.title} has no pooling dilation")
    if not entry.get("pool_first", True) and not (entry.eltwise and pooled):
        wrong("pool_first", "'pool_first: false' needs element-wise operation and pooling")
    if not entry.get("pool_first", True) and entry.operands > 2:
        wrong("pool_first", f"at most 2 operands may be pooled afterwards; found {entry.operands}")


def _check_output(entry: LayerEntry, part: Part, wrong: Any) -> None:
    active = entry.activation is not Activation.NONE
    if active and entry.is_wide:
        wrong("activate", "an activation needs 8-bit output; 'output_width' is 32")
    if entry.operator is Operator.PASSTHROUGH and (active or entry.is_wide):
        wrong("activate" if active else "output_width",
              "a layer without convolution has neither activation nor 32-bit output")  # fmt: skip
    if entry.get("groups", 1) != 1 and not part.has_depthwise:
        wrong("groups", f"the {part.title} has no grouped convolution")
    if entry.get("quantization") == BINARY and not part.has_binary:
        wrong("quantization", f"the {part.title} has no binary weights")
    if "eltwise" in entry.given and entry.operator in (Operator.PASSTHROUGH, Operator.CONV1D):
        wrong("eltwise", f"'eltwise' cannot stand in front of {entry.operator}")


def _check_names(entries: list[LayerEntry], problems: Problems) -> None:
    seen: dict[str, int] = {}
    for entry in entries:
        if "name" not in entry.given:
            continue
        name = entry.name.lower()
        if name in RESERVED_NAMES:
            problems.add(entry.line_of("name"), f"layer {entry.index}: name '{name}' is reserved")
        elif name in seen:
            problems.add(
                entry.line_of("name"),
                f"layer {entry.index}: name '{name}' already names layer {seen[name]}",
            )
        seen.setdefault(name, entry.index)


def _check_conv1d_trap(entries: list[LayerEntry], problems: Problems) -> None:
    """Refuse the one combination of omitted pads that the compiler silently misreads.

    A 1-D convolution without `pad` changes the compiler's shared default, so a 2-D convolution
    without `pad` is padded in one axis only.
    """
    bare = [e for e in entries if e.kernel and "pad" not in e.given]
    one = next((e for e in bare if e.operator is Operator.CONV1D), None)
    two = next((e for e in bare if e.operator is not Operator.CONV1D), None)
    if one and two:
        problems.add(
            two.line,
            f"layers {one.index} (1-D) and {two.index} (2-D) both omit 'pad'; the compiler then "
            "pads one axis only; write 'pad' in both",
        )
