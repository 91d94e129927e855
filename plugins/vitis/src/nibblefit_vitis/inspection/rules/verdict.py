"""Whether one layer fits a DPU's engines, seen alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nibblefit_vitis.devices.dpu import Allowed


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a layer goes to the CPU.

    Attributes:
        rule: Stable identifier.
        reason: With the value found and the values allowed.
        remedy: How the network may be rewritten.
    """

    rule: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Fits:
    """How a DPU runs a layer.

    Attributes:
        what: Engine, in a few words.
        notes: What happens on the way, such as a replaced slope.
    """

    what: str
    notes: tuple[str, ...] = ()


#: What a rule finds.
Verdict = Refusal | Fits


def outside(
    rule: str, what: str, values: tuple[int, ...], allowed: Allowed, remedy: str
) -> Iterator[Refusal]:  # fmt: skip
    """Yield a refusal if a value is not allowed."""
    if any(value not in allowed for value in values):
        shown = "×".join(str(value) for value in values)
        yield Refusal(rule, f"{what} {shown}: allowed is {allowed.text}", remedy)
