"""What cannot be represented: collected while a network is read, reported all at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nibblefit.errors import UnsupportedError


class Refused(Exception):  # noqa: N818 - a signal inside a reader, never seen by users
    """A handler cannot express this call in the graph."""

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Problem:
    """One refused call: where it happened, which function, why, and what to do."""

    layer: str
    function: str
    reason: str
    hint: str

    def __str__(self) -> str:
        where = f"layer '{self.layer}'" if self.layer else "the outermost forward"
        advice = f" → {self.hint}" if self.hint else ""
        return f"{where}, {self.function}: {self.reason}{advice}"


def unsupported(name: str, problems: Iterable[Problem]) -> UnsupportedError:
    """Return one error that lists every problem once."""
    lines = list(dict.fromkeys(str(problem) for problem in problems))
    listed = "".join(f"\n  • {line}" for line in lines)
    count = f"{len(lines)} things" if len(lines) > 1 else "something"
    return UnsupportedError(
        f"network '{name}' holds {count} that the graph cannot represent:{listed}",
        hint="change these places in the network; docs/networks.md lists what can be captured",
    )
