"""Checks of a folder, of what came back from the compiler, and of the board's fingerprint."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from nibblefit.errors import InputError, unreadable
from nibblefit.results import Finding, Status
from nibblefit_vitis.devices.fingerprint import parse
from nibblefit_vitis.writing.arch import stated_in

#: A line of ``md5sum``: digest, an optional star, file.
_LINE = re.compile(r"(?P<digest>[0-9a-fA-F]{32})(?:\s+\*?(?P<name>.+))?")
#: Files of ours that another one lists with their digests.
CHECKSUMS = "checksums.json"


def verify(folder: Path, md5: Path | None = None,
           fingerprint: str = "") -> tuple[Finding, ...]:  # fmt: skip
    """Return what holds of a written folder.

    Args:
        folder: As the compile stage wrote it.
        md5: ``md5sum.txt`` that the vendor's compiler wrote; the files it names are looked for
            beside it and in the folder.
        fingerprint: Of the board's DPU, as ``xdputil query`` prints it.

    Raises:
        InputError: The folder or a given file cannot be read.
    """
    found = list(_check_files(folder))
    if md5 is not None:
        found += check_md5(md5, (md5.parent, folder))
    if fingerprint:
        found.append(check_fingerprint(folder, fingerprint))
    return tuple(found)


def _check_files(folder: Path) -> list[Finding]:
    path = folder / CHECKSUMS
    if not path.is_file():
        raise InputError(f"{folder} is no folder of the compile stage: it holds no {CHECKSUMS}",
                         hint="give the folder that the run named, such as "
                         "runs/NAME/stages/08-compile")  # fmt: skip
    body = _json(path)
    sound = isinstance(body, dict) and all(isinstance(entry, str) for entry in body.values())
    if not sound or not body:
        raise InputError(f"{path} is damaged: it is no list of files with their digests",
                         hint="run the compile stage again")  # fmt: skip
    findings = []
    for name, digest in body.items():
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{path} names '{name}', outside the folder", hint="compile again")
        if not file.is_file():
            findings.append(_failed("files", name, f"{name} is missing"))
        elif hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            findings.append(_failed("files", name, f"{name} was changed after it was written"))
        else:
            findings.append(Finding("vitis.files", Status.PASSED, f"{name} is as written", name))
    return findings


def check_md5(md5: Path, folders: tuple[Path, ...]) -> list[Finding]:
    """Return whether the files that a ``md5sum.txt`` names have the digests it states.

    A file with a digest alone speaks of the one ``.xmodel`` beside it.

    Raises:
        InputError: It cannot be read, or holds no digest.
    """
    lines = [line.strip() for line in _text(md5).splitlines() if line.strip()]
    matches = [_LINE.fullmatch(line) for line in lines]
    if not lines or not all(matches):
        raise InputError(f"{md5} holds no md5 digests",
                         hint="give the md5sum.txt that vai_c_xir wrote")  # fmt: skip
    findings = []
    for match in matches:
        if match is None:
            continue
        file = _named(match["name"], md5, folders)
        if file is None:
            name = match["name"] or "the compiled .xmodel"
            findings.append(_failed("md5", name, f"{name} is not beside {md5.name}",
                                    "copy it from the compiler's folder too"))  # fmt: skip
            continue
        digest = hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
        if digest == match["digest"].lower():
            findings.append(Finding("vitis.md5", Status.PASSED, f"{file.name} is as compiled",
                                    file.name))  # fmt: skip
        else:
            findings.append(_failed(
                "md5", file.name, f"{file.name} has md5 {digest}, {md5.name} says "
                f"{match['digest'].lower()}", "copy it again: it was cut off or mixed up",
            ))  # fmt: skip
    return findings


def _named(name: str | None, md5: Path, folders: tuple[Path, ...]) -> Path | None:
    if name is None:
        alone = sorted(md5.parent.glob("*.xmodel"))
        return alone[0] if len(alone) == 1 else None
    plain = Path(name.strip()).name
    return next((folder / plain for folder in folders if (folder / plain).is_file()), None)


def check_fingerprint(folder: Path, fingerprint: str) -> Finding:
    """Return whether the folder's ``arch.json`` is for the DPU with a fingerprint."""
    board, path = parse(fingerprint), folder / "arch.json"
    if not path.is_file():
        return _failed("fingerprint", path.name, f"without {path.name} nobody knows which DPU the "
                       "files are for")  # fmt: skip
    ours = stated_in(_text(path), str(path))
    if ours == board:
        return Finding("vitis.fingerprint", Status.PASSED, f"the board's DPU is 0x{board.value:x}",
                       "arch.json")  # fmt: skip
    return _failed(
        "fingerprint", "arch.json",
        f"the board's DPU is 0x{board.value:x}, the files are for 0x{ours.value:x}",
        f"set target.arch to 0x{board.value:x} and compile again; switching the check off "
        "(XLNX_ENABLE_FINGERPRINT_CHECK=0) does not make other hardware fit",
    )  # fmt: skip


def _failed(rule: str, where: str, message: str, hint: str = "compile again") -> Finding:
    return Finding(f"vitis.{rule}", Status.FAILED, message, where, hint)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as problem:
        raise unreadable(path, problem) from problem
    except UnicodeDecodeError as problem:
        raise InputError(f"{path} is no text file", hint="give another file") from problem


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except ValueError as problem:
        raise InputError(f"{path} is no JSON: {problem}",
                         hint="give a folder of the compile stage") from problem  # fmt: skip
