"""What a proof finds wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nibblefit.errors import GraphError, NibblefitError


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which a plan does not work.

    Attributes:
        rule: Stable identifier, such as ``prove.unwritten``.
        layer: Index of the layer; −1 for the network as a whole.
        name: Name of the layer.
        message: What happens there.
        key: Key of the vendor's YAML that decides it, empty if none does alone.
    """

    rule: str
    layer: int
    name: str
    message: str
    key: str = ""

    def line(self) -> str:
        """Return it as one line of a longer message."""
        return f"layer {self.layer} ('{self.name}'): {self.message} [{self.rule}]"


#: Bytes are read that nobody wrote.
UNWRITTEN = "prove.unwritten"
#: Bytes are read that hold something else, usually because it was overwritten.
STALE = "prove.stale"
#: A layer destroys what it still reads.
OVERWRITES_INPUT = "prove.overwrites-input"
#: An address lies outside an instance.
OUTSIDE = "prove.outside"
#: An output of the network does not survive.
OUTPUT_LOST = "prove.output-lost"
#: A processor map has the wrong number of processors, or the wrong ones.
MAP = "prove.map"
#: Rolling buffers of streaming layers overlap, or are not where the layer before writes.
STREAM = "prove.stream"
#: Weights overlap or do not fit.
WEIGHTS = "prove.weights"
#: Biases do not fit.
BIAS = "prove.bias"
#: The layer reads data in a way that this model cannot follow.
SHAPE = "prove.shape"


def broken_plan(violations: Sequence[Violation]) -> NibblefitError:
    """Return the error for a plan of our own that its proof refutes."""
    lines = "".join(f"\n  • {violation.line()}" for violation in violations)
    return GraphError(
        f"the memory plan failed its proof{lines}",
        hint="this is a defect of the planner; please report the network",
    )
