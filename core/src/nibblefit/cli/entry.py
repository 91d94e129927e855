"""The one place where exceptions become text for people and an exit code for scripts."""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path

from nibblefit.cli.invocation import Invocation
from nibblefit.errors import ExitCode, NibblefitError

TRACEBACK_OPTION = "--traceback"
TRACEBACK_FILE = "traceback.txt"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: Arguments without the program's name; None takes the process's own.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    # Accepted in any position: whoever needs it appends it to the command that just failed.
    invocation = Invocation(traceback=TRACEBACK_OPTION in words)
    _print_any_character()
    try:
        return _call([word for word in words if word != TRACEBACK_OPTION], invocation)
    except NibblefitError as error:
        if invocation.traceback:
            traceback.print_exc()
        _say(str(error))
        return int(error.exit_code)
    except KeyboardInterrupt:
        return _interrupted(invocation)
    except Exception as error:  # noqa: BLE001 - the border to the shell: a defect got here
        return _unexpected(error, invocation)


def _call(words: list[str], invocation: Invocation) -> int:
    from nibblefit.cli.app import app

    try:
        result = app(args=words, prog_name="nibblefit", standalone_mode=False, obj=invocation)
    except Exception as error:
        if type(error).__name__ == "Abort":
            return _interrupted(invocation)
        if type(error).__name__ == "NoArgsIsHelpError":
            return int(ExitCode.USAGE)  # the help has been printed
        explain = getattr(error, "format_message", None)  # a usage error of the option parser
        if explain is None:
            raise
        _say(f"{explain().rstrip('.')}\n  → {_help_command(error)} shows what can be given")
        return int(ExitCode.USAGE)
    code = result if isinstance(result, int) else int(ExitCode.OK)
    return _interrupted(invocation) if code == ExitCode.INTERRUPTED else code


def _help_command(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'nibblefit'} --help"


def _interrupted(invocation: Invocation) -> int:
    _say("interrupted" + (f"\n  → {invocation.resume} carries on where it stopped"
                          if invocation.resume else ""))  # fmt: skip
    return int(ExitCode.INTERRUPTED)


def _unexpected(error: Exception, invocation: Invocation) -> int:
    text = traceback.format_exc()
    if invocation.traceback:
        _say(text)
        return int(ExitCode.UNEXPECTED)
    reason = " ".join(str(error).split()) or "no message"
    if len(reason) > 300:
        reason = f"{reason[:300]}…"
    _say(
        f"unexpected {type(error).__name__}: {reason}\n"
        f"  → this is a defect of nibblefit or of a plugin; {_kept(text, invocation.folder)}"
    )
    return int(ExitCode.UNEXPECTED)


def _kept(text: str, folder: Path | None) -> str:
    """Write the traceback beside the run, else to the temporary folder, and say where."""
    for place in (folder, Path(tempfile.gettempdir())):
        if place is None or not place.is_dir():
            continue
        path = place / (TRACEBACK_FILE if place == folder else f"nibblefit-{TRACEBACK_FILE}")
        try:
            path.write_text(text, encoding="utf-8")
        except OSError:
            continue  # read-only or full: the next place, at last the hint below
        return f"full traceback: {path}"
    return f"repeat the command with {TRACEBACK_OPTION} to see the traceback"


def _say(message: str) -> None:
    sys.stderr.write(message.rstrip("\n") + "\n")


def _print_any_character() -> None:
    """Let arrows and accents through on terminals that know only ASCII."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
