"""One layer of a network YAML as written, and the whole file: typed records with their lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nibblefit_maxim.layers import Activation, Eltwise, Operator

#: Keys that decide nothing about the shape or the values of what a layer writes; if one of the
#: others is unreadable, the layer cannot be followed.
_PLACING_KEYS = frozenset(
    {
        "processors", "output_processors", "in_offset", "out_offset", "write_gap", "in_skip",
        "bias_group", "name", "activate", "output_shift", "quantization", "output_width",
        "data_format", "streaming", "output", "calcx4", "readahead", "tcalc", "sequence",
        "next_sequence", "simulated_sequence", "snoop_sequence",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LayerEntry:
    """One layer as written; `given` holds the canonical keys that were present.

    `index` is its place in the order in which layers run, `number` the one by which others name it.
    `kernel` is empty for linear and passthrough. `quantization` None means "from the checkpoint".
    `damaged` are the canonical keys whose values could not be used.
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
    damaged: frozenset[str] = frozenset()
    number: int = 0

    def get(self, key: str, default: Any = None) -> Any:
        """Return a key's value, or the default."""
        return self.given.get(key, default)

    def line_of(self, key: str) -> int:
        """Return the line of a key, or where the layer begins."""
        return self.lines.get(key, self.line)

    @property
    def processors(self) -> int:
        """Input map; 0 if it is missing."""
        return int(self.given.get("processors", 0))

    @property
    def can_be_followed(self) -> bool:
        """Whether everything that decides the shape of its output was understood."""
        return self.damaged <= _PLACING_KEYS

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
        return f"layer {self.number}" + (f" ('{self.name}')" if "name" in self.given else "")


@dataclass(frozen=True, slots=True)
class DataBuffer:
    """A rolling buffer of 1-D data that stays from one inference to the next, zero at first."""

    name: str
    processors: int
    channels: int
    length: int
    offset: int
    line: int


@dataclass(frozen=True, slots=True)
class NetworkEntry:
    """A whole file as written.

    Attributes:
        layers: Those that run, in the order in which they do.
        idle: Those that never run; they have weights in the checkpoint all the same.
        buffer: The rolling buffer.
    """

    file: str
    arch: str
    dataset: str
    layers: tuple[LayerEntry, ...]
    output_map: int | None = None
    idle: tuple[LayerEntry, ...] = ()
    buffer: DataBuffer | None = None

    def is_buffer(self, item: Any) -> bool:
        """Return whether an item of `in_sequences` names the rolling buffer."""
        if self.buffer is None:
            return False
        return bool(item == -2 or str(item).lower() == self.buffer.name.lower())
