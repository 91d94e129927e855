"""``arch.json``: which DPU the compiler compiles for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from nibblefit.errors import InputError, unreadable
from nibblefit_vitis.devices.catalogue import dpu_named, name_of
from nibblefit_vitis.devices.fingerprint import Fingerprint, parse


@dataclass(frozen=True, slots=True)
class Arch:
    """A DPU as the compiler is told of it.

    Attributes:
        name: The compiler's name; empty where only the fingerprint is known.
        fingerprint: Must equal the board's.
    """

    name: str
    fingerprint: Fingerprint

    @property
    def hexadecimal(self) -> str:
        """The fingerprint as AMD's tools print it, without leading zeros."""
        return f"0x{self.fingerprint.value:x}"

    def text(self) -> str:
        """Return the file: the fingerprint, which every DPU has."""
        return json.dumps({"fingerprint": self.hexadecimal}) + "\n"


def arch_for(part: str, arch: str = "") -> Arch:
    """Return the DPU of a part, unless `arch` (a name or a fingerprint) says another one.

    Raises:
        InputError: There is none of that name, or the fingerprint is no number.
    """
    asked = arch or part
    if asked.lower().startswith("0x"):
        fingerprint = parse(asked)
        return Arch(name_of(fingerprint), fingerprint)
    found = dpu_named(asked)
    return Arch(found.name, found.fingerprint)


def arch_of(arch: str, folder: Path) -> str:
    """Return the name or fingerprint that ``target.arch`` means.

    Args:
        arch: A name, a fingerprint, or an ``arch.json``.
        folder: Where relative paths start.

    Raises:
        InputError: The file cannot be read, or says neither.
    """
    if not arch.endswith(".json"):
        return arch
    path = folder / arch
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise unreadable(path, problem) from problem
    except UnicodeDecodeError as problem:
        raise InputError(
            f"{path} is no text file", hint="give a name, a fingerprint or an arch.json"
        ) from problem
    return f"0x{stated_in(text, str(path)).value:x}"


def stated_in(text: str, file: str) -> Fingerprint:
    """Return the fingerprint that an ``arch.json`` states, by number or by name.

    Raises:
        InputError: It states neither.
    """
    try:
        body = json.loads(text)
    except ValueError as problem:
        raise InputError(f"{file} is no JSON: {problem}",
                         hint='write {"fingerprint": "0x…"}') from problem  # fmt: skip
    stated = body if isinstance(body, dict) else {}
    for key in ("fingerprint", "target"):
        if isinstance(stated.get(key), str):
            return arch_for("", stated[key]).fingerprint
    raise InputError(f"{file} has neither fingerprint nor target",
                     hint='write {"fingerprint": "0x…"}')  # fmt: skip
