"""Steps of a candidate that could not be carried out: remembered, so that resuming does not retry.

A refusal lies beside the step's folder, since a step that fails has none, and names the content
key of what was tried. It counts for that key only: whatever the step depends on changes, and the
step is tried again.
"""

from __future__ import annotations

import json
from pathlib import Path

from nibblefit.errors import LimitError, NibblefitError, UnsupportedError
from nibblefit.workspace import StepFolder
from nibblefit.workspace.storage import explained, write_file

#: Errors that say that a setting cannot be carried out; a candidate with one is out of the race.
OWN_ERRORS = (LimitError, UnsupportedError)
_KINDS: dict[str, type[NibblefitError]] = {kind.__name__: kind for kind in OWN_ERRORS}


def remember(folder: StepFolder, key: str, error: LimitError | UnsupportedError) -> None:
    """Keep why a step cannot be carried out."""
    kind = next(name for name, own in _KINDS.items() if isinstance(error, own))
    facts = {"key": key, "kind": kind, "what": error.what, "hint": error.hint}
    write_file(_file(folder), (json.dumps(facts, indent=1) + "\n").encode())


def remembered(folder: StepFolder, key: str) -> NibblefitError | None:
    """Return the error a step ended in with the same key; None if it is to be tried."""
    try:
        facts = json.loads(_file(folder).read_bytes())
        if facts["key"] != key:
            return None
        return _KINDS[facts["kind"]](str(facts["what"]), hint=str(facts["hint"]))
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None  # none was kept, or it is damaged: trying again finds out


def forget(folder: StepFolder) -> None:
    """Remove what was kept of a step that has succeeded since."""
    path = _file(folder)
    with explained(f"remove {path}"):
        path.unlink(missing_ok=True)


def _file(folder: StepFolder) -> Path:
    return folder.path.with_name(f"{folder.path.name}.refused.json")
