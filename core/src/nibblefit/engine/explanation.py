"""What the engine chose and why, as data and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from nibblefit.engine.planning import Plan


@dataclass(frozen=True, slots=True)
class Choice:
    """One node: its kernel, the largest partial result (None if not bounded), and why."""

    node: str
    op: str
    kernel: str
    bound: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation(Sequence[Choice]):
    """All choices in graph order; ``str`` makes a table."""

    choices: tuple[Choice, ...]

    def __len__(self) -> int:
        return len(self.choices)

    @overload
    def __getitem__(self, index: int) -> Choice: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Choice, ...]: ...

    def __getitem__(self, index: int | slice) -> Choice | tuple[Choice, ...]:
        return self.choices[index]

    def __iter__(self) -> Iterator[Choice]:
        return iter(self.choices)

    def __str__(self) -> str:
        head = ("node", "operator", "kernel", "bound", "reason")
        rows = [head, *(_cells(choice) for choice in self.choices)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head) - 1)]
        lines = []
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            lines.append("  ".join((*cells, row[-1])).rstrip())
        return "\n".join(lines)


def _cells(choice: Choice) -> tuple[str, str, str, str, str]:
    bound = "" if choice.bound is None else str(choice.bound)
    return choice.node, choice.op, choice.kernel, bound, choice.reason


def explain(plan: Plan) -> Explanation:
    """Return the choices of a plan."""
    return Explanation(
        tuple(
            Choice(o.node.name, o.node.op.value, o.kernel, o.bound, o.reason)
            for o in plan.operations
        )
    )
