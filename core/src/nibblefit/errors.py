"""Errors written for people, and the exit code each one ends in.

Every error that a user can cause is a `NibblefitError`: its text says what happened, where, what
was expected and what to do, so the command line prints it without a traceback. Anything else that
reaches the command line is a defect and keeps its traceback.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Sequence
from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """Exit status of the command line."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    PLUGIN = 3
    LIMIT = 4
    INTERRUPTED = 130


class NibblefitError(Exception):
    """An error already explained for the user.

    Args:
        what: One sentence: what happened and where. No full stop at the end.
        hint: What to do about it; printed on its own line after an arrow.
    """

    exit_code = ExitCode.USAGE

    def __init__(self, what: str, *, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}\n  → {self.hint}" if self.hint else self.what

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders in multi-process training; keyword-only arguments do
        # not survive the default reduction.
        return (_rebuild, (type(self), self.what, self.hint))


def _rebuild(kind: type[NibblefitError], what: str, hint: str) -> NibblefitError:
    error = kind.__new__(kind)
    NibblefitError.__init__(error, what, hint=hint)
    return error


class RecipeError(NibblefitError):
    """The recipe cannot be used; carries every problem found, not only the first."""

    def __init__(self, what: str, *, hint: str = "", problems: Sequence[str] = ()) -> None:
        lines = "".join(f"\n  • {problem}" for problem in problems)
        super().__init__(what + lines, hint=hint)
        self.problems = tuple(problems)


class InputError(NibblefitError):
    """A file or value given by the user is unreadable or malformed (model, data, checkpoint)."""


class UnsupportedError(NibblefitError):
    """The network holds something that cannot be represented or that the target lacks.

    The text names the layer, the reason and the nearest thing that works.
    """

    exit_code = ExitCode.LIMIT


class MissingExtraError(NibblefitError):
    """A feature needs an optional dependency that is not installed."""

    def __init__(self, feature: str, extra: str, *, distribution: str = "nibblefit") -> None:
        super().__init__(
            f"{feature} needs the optional extra '{extra}', which is not installed",
            hint=f"pip install '{distribution}[{extra}]'",
        )


class PluginError(NibblefitError):
    """A plugin cannot be loaded or broke its contract; names plugin, hook and package."""

    exit_code = ExitCode.PLUGIN


class UnknownPluginError(PluginError):
    """The recipe or the command line names a plugin that is not installed."""

    exit_code = ExitCode.USAGE


class StageError(PluginError):
    """Code of a plugin raised something unexpected; wrapped once, raised from the original."""


class GraphError(NibblefitError):
    """A graph breaks a named rule of well-formedness; see `nibblefit.ir.legal`."""

    exit_code = ExitCode.PLUGIN


class LimitError(NibblefitError):
    """A gate, a check or a hardware limit was not met."""

    exit_code = ExitCode.LIMIT


class WorkspaceError(NibblefitError):
    """The run folder cannot be read or written (locked, read-only, disk full, damaged)."""


class MismatchError(NibblefitError):
    """Two executions that must agree on every integer do not."""

    exit_code = ExitCode.LIMIT


class InterruptedRunError(NibblefitError):
    """A run was stopped from outside (Ctrl-C, a kill); the text says how to resume it."""

    exit_code = ExitCode.INTERRUPTED


#: What to do about files that the user named and that cannot be read.
_FILE_REMEDIES = {
    errno.ENOENT: "check the path",
    errno.EISDIR: "give a file, this is a folder",
    errno.ENOTDIR: "check the path: a file stands where a folder is named",
    errno.EACCES: "check its permissions",
    errno.EPERM: "check its permissions",
    errno.ENAMETOOLONG: "check the path",
}


def unreadable(path: Path | str, error: OSError) -> InputError:
    """Return the one line, with its remedy, for a file of the user's that cannot be read."""
    remedy = _FILE_REMEDIES.get(error.errno or 0, "check the disk, and copy the file again")
    return InputError(f"{path} cannot be read: {error.strerror or error}", hint=remedy)


#: Known words that a message lists.
_LISTED = 16


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the closest known word as a question, else a list of known ones."""
    names = sorted(set(known))
    # A word of thousands of letters resembles nothing, and comparing it takes long.
    close = difflib.get_close_matches(word[:100].lower(), names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {listed(names)}" if names else "none is known"


def listed(names: Sequence[str]) -> str:
    """Return names joined by commas; of many, the first ones and how many there are."""
    more = len(names) - _LISTED
    shown = ", ".join(names[:_LISTED])
    return f"{shown} … ({len(names)} in all)" if more > 0 else shown
