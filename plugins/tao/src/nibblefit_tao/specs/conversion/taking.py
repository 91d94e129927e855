"""Taking fields out of a spec while noting which ones nobody took."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nibblefit_tao.specs.arithmetic import Numbers, evaluate
from nibblefit_tao.specs.typed import Spec

#: Fields that say where or how loudly TAO ran, not what it trained.
_OF_NO_CONCERN = ("visualizer", "n_workers", "max_queue_size", "use_multiprocessing", "verbose",
                  "enc_key")  # fmt: skip


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

    def left(self) -> list[str]:
        """Return a note for every field that is set and was not taken."""
        notes = []
        for path, line in self.spec.lines.items():
            known = any(path == t or path.startswith(f"{t}.") or t.startswith(f"{path}.")
                        for t in self._taken)  # fmt: skip
            quiet = any(part in _OF_NO_CONCERN for part in path.split("."))
            if not known and not quiet and not self._is_block(path):
                notes.append(f"line {line}: {path} has no counterpart and is left out")
        return notes

    def _is_block(self, path: str) -> bool:
        found: Any = self.spec.values
        for key in path.split("."):
            if not isinstance(found, Mapping):
                return False
            found = found.get(key)
        return isinstance(found, Mapping)
