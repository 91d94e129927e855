"""Shortages: what does not fit, by how much, in which layer, and what would help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nibblefit.errors import LimitError, NibblefitError, UnsupportedError
from nibblefit.results import Finding, Status

#: Rule of networks whose shape the planner does not place.
SHAPE_RULE = "plan.shape"
#: Rule of data memory that is too small.
DATA_RULE = "memory.data"
#: Rule of biases that do not fit; training may make biases zero.
BIAS_RULE = "memory.bias"


@dataclass(frozen=True, slots=True)
class Shortage:
    """One limit that a network breaks.

    Attributes:
        rule: Stable identifier, such as ``memory.weights``.
        layer: Name of the layer, empty for the network as a whole.
        message: What is needed and what there is.
        hint: What would help.
        value, limit, unit: The numbers behind the message.
    """

    rule: str
    layer: str
    message: str
    hint: str
    value: float
    limit: float
    unit: str

    def finding(self) -> Finding:
        """Return it as a failed finding."""
        return Finding(
            self.rule, Status.FAILED, self.message, self.layer, self.hint, self.value, self.limit,
            self.unit,
        )  # fmt: skip

    def line(self) -> str:
        """Return it as one line of a longer message."""
        where = f"layer '{self.layer}': " if self.layer else ""
        return f"{where}{self.message} → {self.hint}"


def refuse(shortages: Sequence[Shortage], title: str) -> NibblefitError:
    """Return one error that carries every shortage: unsupported shapes first, limits otherwise."""
    lines = "".join(f"\n  • {shortage.line()}" for shortage in shortages)
    is_shape = any(shortage.rule == SHAPE_RULE for shortage in shortages)
    kind = UnsupportedError if is_shape else LimitError
    return kind(
        f"the network cannot be placed on the {title}{lines}",
        hint="`nibblefit inspect` shows every layer's needs without training",
    )
