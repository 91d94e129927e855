"""The command line of ``vai_c_xir``, the vendor's compiler."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from nibblefit.errors import InputError
from nibblefit.ir.graph import Shape, frozen_mapping

#: Characters that would end a text inside the compiler's dictionary of options.
_ENDING = ("'", "\\", "\n")
#: Characters that a shell heeds within double quotes.
_ACTIVE = frozenset('"$`\\!')


@dataclass(frozen=True, slots=True)
class Compilation:
    """One call of the compiler.

    Attributes:
        xmodel: Quantized file.
        arch: ``arch.json``.
        folder: Where results are put.
        name: Of the compiled network.
        options: Keys and values for ``--options``.
    """

    xmodel: str
    arch: str
    folder: str
    name: str
    options: Mapping[str, str] = field(default_factory=frozen_mapping)

    def arguments(self) -> tuple[str, ...]:
        """Return program and arguments, not quoted."""
        found = ("vai_c_xir", "-x", self.xmodel, "-a", self.arch, "-o", self.folder,
                 "-n", self.name)  # fmt: skip
        return (*found, "-e", options_text(self.options)) if self.options else found

    def command(self) -> str:
        """Return the line for a POSIX shell."""
        return " ".join(map(_quoted, self.arguments()))


def _quoted(word: str) -> str:
    """Return a word for the shell; the compiler's single quotes are readable in double ones."""
    if "'" in word and not set(word) & _ACTIVE:
        return f'"{word}"'
    return shlex.quote(word)


def options_text(options: Mapping[str, str]) -> str:
    """Return options as the compiler reads them: a dictionary of texts in single quotes.

    Raises:
        InputError: A key or value cannot be written that way.
    """
    for word in (*options, *options.values()):
        if any(mark in word for mark in _ENDING):
            raise InputError(f"compiler option {word!r} holds a quote, a backslash or a line end",
                             hint="leave those out")  # fmt: skip
    return "{" + ", ".join(f"'{key}': '{value}'" for key, value in options.items()) + "}"


def input_shape_option(shape: Shape) -> str:
    """Return the value of ``input_shape``: batch 1, channels last."""
    order = (*shape[1:], shape[0]) if len(shape) == 3 else shape
    return ",".join(map(str, (1, *order)))
