"""The manifest of a finished step: what it was made from, and the digest of all it wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nibblefit.errors import WorkspaceError
from nibblefit.recipe_file import canonical_json, digest_of
from nibblefit.workspace.storage import explained, file_digest, files_below, write_file

FILE_NAME = "manifest.json"
#: Sub-folder of a step that holds its value; the rest of a step's files are by-products.
VALUE = "value"
_SCHEMA = 1
#: Longest value shown when a change is explained.
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Manifest:
    """One finished step.

    Attributes:
        step: Name of the step, such as ``train`` or ``train@fast``.
        stage: Name of its stage.
        kind: Kind of value: ``model``, ``quantized``, ``artifact`` or ``report``.
        key: Digest of `ingredients`.
        ingredients: Everything the result depends on, dotted name → value.
        files: Every file of the step's folder, relative path → SHA-256.
        digest: Digest of the value alone; the next steps depend on it.
        finished: Time, ISO 8601.
        seconds: How long the step took.
    """

    step: str
    stage: str
    kind: str
    key: str
    ingredients: Mapping[str, Any]
    files: Mapping[str, str]
    digest: str
    finished: str
    seconds: float


def digests_of(folder: Path) -> dict[str, str]:
    """Map every file of a step's folder to its SHA-256, the manifest left out."""
    return {
        path.relative_to(folder).as_posix(): file_digest(path)
        for path in files_below(folder)
        if path != folder / FILE_NAME
    }


def value_digest(files: Mapping[str, str]) -> str:
    """Return the digest of the value among a step's files."""
    return digest_of({name: sha for name, sha in files.items() if name.startswith(f"{VALUE}/")})


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write the manifest; its presence says that the folder is complete."""
    content = {"schema": _SCHEMA, **asdict(manifest)}
    content["check"] = digest_of(content)
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True) + "\n"
    write_file(folder / FILE_NAME, text.encode())


def read_manifest(folder: Path) -> Manifest | None:
    """Return a step's manifest, None if the step has not finished.

    Raises:
        WorkspaceError: The manifest is damaged.
    """
    path = folder / FILE_NAME
    if not path.is_file():
        return None
    with explained(f"read {path}"):
        raw = path.read_bytes()
    try:
        content = json.loads(raw)
        check = content.pop("check")
        intact = check == digest_of(content) and content.pop("schema") == _SCHEMA
        manifest = Manifest(**content)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise _damaged(path) from error
    if not intact:
        raise _damaged(path)
    return manifest


def _damaged(path: Path) -> WorkspaceError:
    return WorkspaceError(f"{path} is damaged", hint="run again: the step will be made anew")


def damage(manifest: Manifest, folder: Path) -> list[str]:
    """Return what is wrong with a step's files, empty if all are as they were written."""
    found = []
    for name, sha in manifest.files.items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
            continue
        with explained(f"read {path}"):
            if file_digest(path) != sha:
                found.append(f"{name} has been changed or damaged")
    return found


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return each ingredient that differs, such as ``train.epochs 30 → 40``."""
    found = []
    for name in sorted({**old, **new}):
        before, after = old.get(name), new.get(name)
        if name in old and name in new and canonical_json(before) == canonical_json(after):
            continue
        if _is_table(name, before, new) or _is_table(name, after, old):
            continue  # said by the keys of the table
        if name.startswith(("result of ", "compared with ", "file ")):
            found.append(f"{name} changed")
        else:
            found.append(f"{name} {_shown(before, name in old)} → {_shown(after, name in new)}")
    return found


def _is_table(name: str, value: Any, other: Mapping[str, Any]) -> bool:
    """Return whether a value that is not set is a table on the other side."""
    return value is None and any(key.startswith(f"{name}.") for key in other)


def _shown(value: Any, present: bool) -> str:
    if not present:
        return "(unset)"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
