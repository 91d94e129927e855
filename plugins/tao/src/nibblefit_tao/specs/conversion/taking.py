"""Taking fields out of a spec while noting which ones nobody took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nibblefit_tao.specs.arithmetic import Numbers, evaluate
from nibblefit_tao.specs.conversion.reasons import reason, says_nothing
from nibblefit_tao.specs.typed import Spec

#: Largest count that recipes take.
_LARGEST = 2**31 - 1


class Taking:
    """A spec whose fields are taken one by one.

    Args:
        spec: The spec.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._taken: set[str] = set()

    def get(self, dotted: str, default: Any) -> Any:
        """Return a field's value, `default` where it is unset or zero."""
        self._taken.add(dotted)
        return self.spec.get(dotted, default)

    def flag(self, dotted: str) -> bool:
        """Return a flag."""
        return bool(self.get(dotted, False))

    def numbers(self, dotted: str) -> Numbers | None:
        """Return the list that a text says, None where it is unset.

        Raises:
            InputError: The text is no list of numbers; names the line.
        """
        text = self.get(dotted, "")
        if not text:
            return None
        try:
            return evaluate(text)
        except ValueError as error:
            raise self.spec.wrong(dotted, f"is '{text[:60]}'; expected {error}") from None

    def row(self, dotted: str) -> list[float] | None:
        """Return a flat list of numbers.

        Raises:
            InputError: Something else stands there.
        """
        found = self.numbers(dotted)
        if found is None:
            return None
        if not isinstance(found, list) or any(isinstance(item, list) for item in found):
            raise self.spec.wrong(dotted, "is no flat list of numbers")
        return [float(item) for item in found if not isinstance(item, list)]

    def count(self, dotted: str) -> int:
        """Return a count that TAO wants to be set.

        Raises:
            InputError: It is missing, 0 or too large.
        """
        found: int = self.get(dotted, 0)
        if not 1 <= found <= _LARGEST:
            raise self.spec.wrong(dotted, f"is {found}; expected 1 to {_LARGEST:,}")
        return found

    def left(self) -> list[str]:
        """Return a note for every field that is set and was not taken."""
        notes = []
        for path, line in self.spec.lines.items():
            known = any(path == t or path.startswith(f"{t}.") or t.startswith(f"{path}.")
                        for t in self._taken)  # fmt: skip
            value = self._at(path)
            if not known and not isinstance(value, Mapping) and not says_nothing(path, value):
                notes.append(f"line {line}: {path} is ignored: {reason(path)}")
        return notes

    def _at(self, path: str) -> Any:
        """Return what stands at a path; the path itself inside repeated blocks."""
        found: Any = self.spec.values
        for key in path.split("."):
            if not isinstance(found, Mapping) or key not in found:
                return path
            found = found[key]
        return found
