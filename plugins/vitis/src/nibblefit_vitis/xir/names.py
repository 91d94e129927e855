"""Names of XIR operators: letters, digits and underscores, unique, the same in every run."""

from __future__ import annotations

import re

#: Source: the original replaces every character that is neither a letter nor a digit.
_FOREIGN = re.compile(r"[^A-Za-z0-9]")


def cleaned(name: str) -> str:
    """Return a name with every foreign character replaced by an underscore."""
    return _FOREIGN.sub("_", name)


class XirNames:
    """Gives out names that nothing has yet.

    Attributes:
        prefix: Name of the graph, in front of all.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = cleaned(prefix) or "network"
        self._taken: set[str] = set()

    def of(self, name: str) -> str:
        """Return the name for something of the graph, such as ``Net__conv1``."""
        return self.fresh(f"{self.prefix}__{cleaned(name)}")

    def fresh(self, wanted: str) -> str:
        """Return a name as wanted, or with the first number that makes it new."""
        name, use = wanted, 1
        while name in self._taken:
            use += 1
            name = f"{wanted}_{use}"
        self._taken.add(name)
        return name
